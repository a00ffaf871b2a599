"""The machine that the figures are made on: cores, processes, their CPU time and memory."""

import ctypes
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
LOOPBACK = "127.0.0.1"
PR_SET_PDEATHSIG = 1
# With fewer, HAProxy keeps fewer connections to the backend than 1,000 clients need, and not 5,000
# idle ones: it would look slower than it is.
LEAST_DESCRIPTORS = 12288


class BenchError(Exception):
    """Something that ends a measurement, in words for the user."""


def choose_cores(wanted):
    """The core of the proxy and the core of everything else: "0,1", or the first two we may use."""
    allowed = sorted(os.sched_getaffinity(0))
    if wanted:
        try:
            cores = [int(core) for core in wanted.split(",")]
        except ValueError:
            cores = []
        if len(cores) != 2 or cores[0] == cores[1] or not set(cores) <= set(allowed):
            raise BenchError(f"--cores wants two different ones of {allowed}, such as 0,1")
        return cores
    if len(allowed) < 2:
        raise BenchError("two cores are needed: one for the proxy, one for load and backend")
    return allowed[:2]


def raise_descriptor_limit():
    """Takes all the descriptors we may have; children inherit it. Returns how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = 1 << 20 if hard == resource.RLIM_INFINITY else min(hard, 1 << 20)
    if most < LEAST_DESCRIPTORS:
        raise BenchError(f"{LEAST_DESCRIPTORS} open files are needed, and the limit is {most}: "
                         "raise it (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def free_ports(count):
    """Loopback ports that nothing listens on, below those that outgoing connections take."""
    held = []
    try:
        low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        low = 32768
    try:
        while len(held) < count:
            listener = socket.socket()
            # Left out of the range: ask the system.
            port = random.randrange(10240, low) if low > 11000 else 0
            try:
                listener.bind((LOOPBACK, port))
                listener.listen(1)
            except OSError:
                listener.close()
                continue
            held.append(listener)
        return [listener.getsockname()[1] for listener in held]
    finally:
        for listener in held:
            listener.close()


def make_folder():
    """A folder in memory where there is one: a disk that writes logs back would take CPU time."""
    shm = pathlib.Path("/dev/shm")
    in_memory = shm.is_dir() and os.access(shm, os.W_OK) and shutil.disk_usage(shm).free > 1 << 30
    return pathlib.Path(tempfile.mkdtemp(prefix="lictor-bench.", dir=shm if in_memory else None))


# --- processes -----------------------------------------------------------------------------------


class Processes:
    """All that was started, so that all of it is stopped, by its own id."""

    def __init__(self):
        self._running = []
        self._libc = ctypes.CDLL(None, use_errno=True)

    def start(self, argv, core, log, env=None):
        """Starts a program on one core, its output in `log`; it goes when this script does."""

        def in_child():
            self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            os.sched_setaffinity(0, {core})

        with open(log, "ab") as out:
            process = subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=env,
                preexec_fn=in_child,
                start_new_session=True,  # a Ctrl-C is for this script, which then stops the others
            )
        self._running.append(process)
        return process

    def stop(self, process, seconds=5):
        """SIGTERM, then SIGKILL for what is left of it and its children."""
        family = [process.pid, *children(process.pid)]
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                for pid in family:
                    send_signal(pid, signal.SIGKILL)
                process.wait(5)
        if process in self._running:
            self._running.remove(process)

    def stop_all(self):
        for process in reversed(list(self._running)):
            try:
                self.stop(process)
            except (OSError, subprocess.SubprocessError):
                pass


def send_signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def children(pid):
    """The ids of a process's children."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(after_name[1]) == pid:
            found.append(int(entry.name))
    return found


def tail(path, lines=15):
    try:
        text = pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def wait_until(ready, process, log, what, seconds=15):
    """Waits for `ready()`; an early end of the process, or too long a wait, is an error."""
    until = time.monotonic() + seconds
    while True:
        if process.poll() is not None:
            raise BenchError(f"{what} ended with status {process.returncode}:\n{tail(log)}")
        if ready():
            return
        if time.monotonic() > until:
            raise BenchError(f"{what} did not become ready in {seconds} s:\n{tail(log)}")
        time.sleep(0.05)


def accepts(port):
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


# --- what a process has used ---------------------------------------------------------------------


def cpu_ticks(pids):
    """(user, system) ticks of processes, with all their threads."""
    user = system = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        user += int(fields[11])
        system += int(fields[12])
    return user, system


def core_busy_ticks(core):
    """Ticks that a core spent on anything, or that the host took from it."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            ticks = [int(field) for field in fields]
            return sum(ticks[:3]) + sum(ticks[5:8])
    return 0


def status_kib(pid, name):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0


def peak_rss(pid):
    return status_kib(pid, "VmHWM") * 1024


def rss(pid):
    """Exact: what /proc/<pid>/status says lags by some pages a CPU on newer kernels."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(re.search(r"^Rss:\s+(\d+) kB", text, re.MULTILINE)[1]) * 1024
    except (OSError, TypeError):
        return status_kib(pid, "VmRSS") * 1024


# --- what to call it -----------------------------------------------------------------------------


def first_line(argv):
    """The first line that a program prints, on either stream."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout + done.stderr).strip().partition("\n")[0].strip()


def cpu_model():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return "unknown"
    for name in ("model name", "Model", "CPU part"):
        found = re.search(rf"^{name}\s*:\s*(.+)$", text, re.MULTILINE)
        if found:
            return found[1].strip()
    return "unknown"


def is_virtual():
    try:
        return "hypervisor" in pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def distribution():
    try:
        text = pathlib.Path("/etc/os-release").read_text()
    except OSError:
        return "unknown"
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', text, re.MULTILINE)
    return found[1] if found else "unknown"
