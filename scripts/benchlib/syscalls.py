"""System calls and profiles: where the time of a request goes."""

import os
import re
import shutil
import signal
import subprocess
import time

from load import open_connection, read_answer, send_get
from machine import BenchError, accepts, children, free_ports, send_signal, wait_until
from proxies import Plan, answers_ready, check

READS = ("read", "readv", "recvfrom", "recvmsg", "recvmmsg", "pread64")
WRITES = ("write", "writev", "sendto", "sendmsg", "sendmmsg", "pwrite64", "sendfile")
CONNECTIONS = 8


def count_calls(stage, scenario, requests_each):
    """{name: calls} of a whole life of lictor: start, requests over 8 connections, drain."""
    folder = stage.folder / "syscalls"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    port, admin_port = free_ports(2)
    plan = Plan(scenario, folder, port, admin_port, stage.backend_port, stage.connections,
                stage.descriptors, stage.all_headers, stage.nginx_user, stage.haproxy_metrics)
    argv, log, _ = stage.command("lictor", plan)
    table = folder / "strace.txt"
    tracer = stage.processes.start(
        ["strace", "-f", "-c", "-o", table, "--", *argv], stage.proxy_core, log, stage.environment
    )
    traced = []
    connections = []
    try:
        wait_until(lambda: accepts(port) and answers_ready(admin_port), tracer, log,
                   "lictor under strace", 30)
        traced = children(tracer.pid)
        connections = [open_connection(port) for _ in range(CONNECTIONS)]
        for _ in range(requests_each):
            for connection in connections:
                send_get(connection, scenario.path)
            for connection in connections:
                read_answer(connection, scenario.length)
    except OSError as error:
        raise BenchError(f"lictor under strace: {error!r}") from None
    finally:
        for connection in connections:
            connection.close()
        # strace ends, and writes its table, when what it traces has ended.
        for pid in traced:
            send_signal(pid, signal.SIGTERM)
        try:
            tracer.wait(10)
        except subprocess.TimeoutExpired:
            for pid in traced:
                send_signal(pid, signal.SIGKILL)
        stage.processes.stop(tracer)
    return parse(table.read_text())


def parse(text):
    """strace's table: % time, seconds, usecs/call, calls, errors (may be empty), syscall."""
    counts = {}
    for line in text.splitlines():
        found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
        if found and found[2] != "total":
            counts[found[2]] = counts.get(found[2], 0) + int(found[1])
    if not counts:
        raise BenchError(f"strace counted nothing:\n{text[:500]}")
    return counts


def per_request(stage, scenario, say):
    """{name: calls a request}: of two runs that differ in the number of requests alone."""
    if not shutil.which("strace"):
        say("strace is not installed: no system calls are counted")
        return None
    few, many = 50, 300
    say(f"system calls: lictor under strace, {few * CONNECTIONS} and {many * CONNECTIONS} requests")
    first = count_calls(stage, scenario, few)
    second = count_calls(stage, scenario, many)
    requests = (many - few) * CONNECTIONS
    calls = {name: (count - first.get(name, 0)) / requests for name, count in second.items()}
    return dict(sorted(
        ((name, count) for name, count in calls.items() if count >= 0.005),
        key=lambda item: -item[1],
    ))


def total(calls, names):
    return sum(calls.get(name, 0.0) for name in names)


# --- profile -------------------------------------------------------------------------------------


def profile(stage, load, kind, scenario, seconds, say):
    """perf's list of where a proxy's time goes under a scenario's load."""
    if not shutil.which("perf"):
        raise BenchError("--profile needs perf (Debian's package linux-perf)")
    one = stage.start(kind, scenario)
    data = stage.folder / "perf.data"
    try:
        check(one)
        load.run_wrk(one, 1)
        recorder = stage.processes.start(
            ["perf", "record", "-q", "-F", "1999", "-o", data, "-p", one.worker],
            stage.load_core, stage.folder / "perf.log",
        )
        time.sleep(0.5)
        got = load.measure(one, seconds)
        recorder.send_signal(signal.SIGINT)
        recorder.wait(20)
    finally:
        stage.stop(one)
    say(f"{scenario.name}, {one.label}: {got.cpu:.2f} us a request ({got.user:.2f} user)")
    return "\n\n".join(perf_report(data, *how) for how in (("dso", "0.5"), ("dso,symbol", "0.7")))


def perf_report(data, keys, least):
    done = subprocess.run(
        ["perf", "report", "-q", "--stdio", "--sort", keys, "--percent-limit", least, "-i", data],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "LC_ALL": "C"},
    )
    # Columns that the processor has nothing for end the lines with dashes.
    lines = [re.sub(r"(\s+-)*\s*$", "", line) for line in done.stdout.splitlines()]
    return "\n".join(line for line in lines if line) or done.stderr
