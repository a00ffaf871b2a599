"""The gateway as a process: started from a bootstrap file on free ports, watched, and stopped in good order."""

import copy
import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import quote

from .client import Client, fetch
from .metrics import Metrics
from .wait import eventually, scaled

ROOT = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("LICTOR_BIN", ROOT / "build" / "lictor")).resolve()

SANITIZER_REPORT = re.compile(r"(ERROR|WARNING): (Address|Thread|Leak|Memory)Sanitizer|runtime error:")
CONSUL_VARIABLES = [name for name in os.environ if name.startswith("CONSUL_")]

DEFAULTS = {
    "listeners": [{"name": "http", "address": "127.0.0.1:0"}],
    "admin": {"address": "127.0.0.1:0"},
    "workers": 2,
    "register": None,
    "snapshot": None,
    "log": {"access": {"path": "off"}},
    "drain": {"lead": "1ms", "timeout": "5s"},
}


def is_sanitized():
    try:
        return b"__asan_init" in (binary := BINARY.read_bytes()) or b"__tsan_init" in binary
    except OSError:
        return False


def environment(**extra):
    """This process's environment without its Consul variables."""
    env = {name: value for name, value in os.environ.items() if name not in CONSUL_VARIABLES}
    return {**env, **extra}


def run_lictor(*arguments, stdin=None, timeout=20, env=None):
    """Runs the binary to its end, for commands that have one."""
    return subprocess.run(
        [BINARY, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=scaled(timeout), env=env or environment()
    )


def write_documents(folder, documents):
    """{"routes/users": {...}} as files; a str is written as it is."""
    for key, document in documents.items():
        path = Path(folder) / f"{key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))


class Lictor:
    def __init__(self, folder, bootstrap=None, documents=None, env=None):
        """documents: the gateway reads these from a directory instead of Consul."""
        self.folder = Path(folder)
        self.bootstrap = copy.deepcopy(DEFAULTS)
        self.bootstrap.update(bootstrap or {})
        if documents is not None:
            write_documents(self.folder / "documents", documents)
            (self.folder / "documents").mkdir(exist_ok=True)
            self.bootstrap["source"] = {"directory": str(self.folder / "documents")}
        self.env = env or environment()
        self.listeners = {}
        self.process = None
        self.stdout, self.stderr = [], []  # lines

    # Life

    def start(self):
        config = self.folder / "lictor.json"
        config.write_text(json.dumps(self.bootstrap, indent=2))
        self.process = subprocess.Popen(
            [BINARY, "run", "--config", config], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=self.env
        )
        self._readers = [
            threading.Thread(target=self._collect, args=(pipe, lines), daemon=True)
            for pipe, lines in ((self.process.stdout, self.stdout), (self.process.stderr, self.stderr))
        ]
        for reader in self._readers:
            reader.start()
        self._learn_ports()
        return self

    def _collect(self, pipe, lines):
        for line in pipe:
            lines.append(line.rstrip("\n"))

    def _learn_ports(self):
        def learned():
            if self.process.poll() is not None:
                raise RuntimeError(f"lictor ended with {self.wait()}: {self.stderr}")
            for line in list(self.stderr):
                if match := re.search(r"listener (\S+) on (\S+):(\d+)", line):
                    self.listeners[match[1]] = (match[2], int(match[3]))
                elif match := re.search(r"admin on (\S+):(\d+)", line):
                    self.admin = Admin((match[1], int(match[2])))
            return hasattr(self, "admin") and len(self.listeners) == len(self.bootstrap["listeners"])

        eventually(learned, within=10)

    def wait_ready(self, within=10):
        eventually(lambda: self.admin.get("/readyz").status, 200, within=within)
        return self

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=15):
        code = self.process.wait(timeout=scaled(timeout))
        for reader in self._readers:
            reader.join(timeout=5)
        return code

    def stop(self):
        """SIGTERM, and everything that must be true of a gateway's end."""
        if self.process is None or self.process.returncode is not None:
            return
        self.signal(signal.SIGTERM)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("lictor did not end within its drain.timeout") from None
        self.assert_clean(code)

    def assert_clean(self, code):
        reports = [line for line in self.stderr if SANITIZER_REPORT.search(line)]
        assert not reports, "\n".join(self.stderr[-80:])
        assert code == 0, f"exit code {code}: {self.stderr[-20:]}"

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.wait()

    # Traffic

    @property
    def address(self):
        """Of its only (or first) listener."""
        return next(iter(self.listeners.values()))

    def client(self, **how):
        return Client(self.address, **how)

    def get(self, target="/", **how):
        return fetch(self.address, target, **how)

    def request(self, method, target, **how):
        return fetch(self.address, target, method, **how)

    # What the kernel knows

    def rss(self):
        """Resident bytes that are the process's own (code pages that happen to be mapped in don't count)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) * 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def is_stopped(self):
        """By SIGSTOP."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Admin:
    """The admin port."""

    def __init__(self, address):
        self.address = address

    def get(self, path, **how):
        return fetch(self.address, path, host=how.pop("host", f"{self.address[0]}:{self.address[1]}"), **how)

    def post(self, path, **how):
        return self.get(path, method="POST", body=b"", **how)

    def json(self, path):
        response = self.get(path)
        assert response.status == 200, f"{path}: {response.status} {response.body!r}"
        assert response.fields["content-type"].split(";")[0] == "application/json"
        return response.json()

    def metrics(self):
        response = self.get("/metrics")
        assert response.status == 200
        return Metrics(response.text)

    def status(self):
        return self.json("/v1/status")

    def upstream(self, service):
        """The entry of one service, None while there is none."""
        return next((entry for entry in self.json("/v1/upstreams") if entry["service"] == service), None)

    def instances(self, service):
        """{address: instance} of one service."""
        entry = self.upstream(service)
        return {instance["address"]: instance for instance in entry["instances"]} if entry else {}

    def instance(self, service, address):
        return self.instances(service)[address]

    def document(self, key):
        """What /v1/config knows of one document, None when nothing. The key without the prefix will do."""
        documents = self.json("/v1/config")["documents"]
        return next((document for document in documents if document["key"] == key or document["key"].endswith("/" + key)), None)

    def state(self, key):
        document = self.document(key)
        return document and document["state"]

    def order(self, action, service, instance_id):
        """eject or restore"""
        return self.post(f"/v1/upstreams/{quote(service, safe='')}/instances/{quote(instance_id, safe='')}/{action}")


def wait_for_port(address, within=5):
    def connects():
        Client(address).close()
        return True

    eventually(connects, within=within)


def now():
    return time.monotonic()
