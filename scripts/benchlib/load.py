"""The load: wrk for requests, plain sockets for idle connections; and what a proxy used for it."""

import dataclasses
import re
import socket
import statistics
import subprocess
import threading
import time

from machine import (LOOPBACK, TICKS, BenchError, core_busy_ticks, cpu_ticks, peak_rss, rss, tail)
from proxies import anyone, check

ERRORS = ("connect", "read", "write", "timeout", "status")


@dataclasses.dataclass
class Round:
    """One round of one proxy. Microseconds; shares are of the core, 0 to 1."""

    cpu: float
    user: float
    system: float
    per_second: float
    p50: float
    p99: float
    busy: float  # share of its core that the proxy used
    others: float  # share of its core that anything else used
    errors: dict
    lines: float = 0.0  # access log lines a request


@dataclasses.dataclass
class Result:
    """The rounds of one proxy in one scenario, and their medians."""

    label: str
    rounds: list
    peak: int = 0

    def median(self, name):
        return statistics.median(getattr(one, name) for one in self.rounds)

    def spread(self, name):
        values = [getattr(one, name) for one in self.rounds]
        return min(values), max(values)

    def errors(self):
        total = {name: sum(one.errors[name] for one in self.rounds) for name in ERRORS}
        return {name: count for name, count in total.items() if count}


class Load:
    def __init__(self, stage, wrk):
        self.stage = stage
        self.wrk = wrk

    def run_wrk(self, running, seconds):
        """One run of wrk; returns what its script printed."""
        scenario = running.plan.scenario
        if scenario.handshake:
            return self.run_handshakes(running, seconds)
        script = self.stage.folder / "load.lua"
        log = self.stage.folder / "wrk.log"
        script.write_text(scenario.lua())
        log.unlink(missing_ok=True)
        process = self.stage.processes.start(
            [self.wrk, "-t1", f"-c{scenario.connections}", f"-d{seconds}s", "--timeout", "10s",
             "-s", script, running.url],
            self.stage.load_core,
            log,
        )
        scrape = None
        if scenario.logged:
            scrape = threading.Timer(seconds / 2, running.read_metrics)
            scrape.start()
        try:
            process.wait(seconds + 20)
        except subprocess.TimeoutExpired:
            raise BenchError(f"wrk did not end: {running.label}, {scenario.name}") from None
        finally:
            self.stage.processes.stop(process)
            if scrape:
                scrape.cancel()
                scrape.join()
        found = re.search(r"^BENCH (.*)$", log.read_text(errors="replace"), re.MULTILINE)
        if not found:
            raise BenchError(f"wrk failed: {running.label}, {scenario.name}:\n{tail(log)}")
        if running.process.poll() is not None:
            raise BenchError(f"{running.label} ended during the load")
        return {key: int(value) for key, value in (p.split("=") for p in found[1].split())}

    def run_handshakes(self, running, seconds):
        """A connection a request, one after the other; openssl s_time tells how many there were."""
        scenario = running.plan.scenario
        log = self.stage.folder / "s_time.log"
        log.unlink(missing_ok=True)
        process = self.stage.processes.start(
            ["openssl", "s_time", f"-{scenario.handshake}", "-www", scenario.path, "-time", str(seconds),
             "-connect", f"{LOOPBACK}:{running.plan.port}"],
            self.stage.load_core, log)
        began = time.monotonic()
        try:
            process.wait(seconds + 20)
        finally:
            self.stage.processes.stop(process)
        took = time.monotonic() - began
        found = re.search(r"^(\d+) connections in [\d.]+ real seconds", log.read_text(errors="replace"), re.MULTILINE)
        if not found:
            raise BenchError(f"openssl s_time failed: {running.label}, {scenario.name}:\n{tail(log)}")
        # The first connection of "reuse" is made before the time begins.
        requests = int(found[1]) + (1 if scenario.handshake == "reuse" else 0)
        return {"requests": requests, "duration_us": int(took * 1e6), "p50_us": 0, "p99_us": 0, **dict.fromkeys(ERRORS, 0)}

    def measure(self, running, seconds):
        core = self.stage.proxy_core
        user, system = cpu_ticks(running.pids)
        busy = core_busy_ticks(core)
        start = time.monotonic()
        got = self.run_wrk(running, seconds)
        wall_ticks = (time.monotonic() - start) * TICKS
        user, system = (now - before for now, before in
                        zip(cpu_ticks(running.pids), (user, system)))
        busy = core_busy_ticks(core) - busy
        requests = got["requests"]
        if requests == 0:
            raise BenchError(f"{running.label}: no request was answered")
        us = 1e6 / TICKS / requests
        return Round(
            cpu=(user + system) * us,
            user=user * us,
            system=system * us,
            per_second=requests / (got["duration_us"] / 1e6),
            p50=got["p50_us"],
            p99=got["p99_us"],
            busy=(user + system) / wall_ticks,
            others=max(0.0, busy - user - system) / wall_ticks,
            errors={name: got[name] for name in ERRORS},
            lines=self.count_lines(running, requests),
        )

    @staticmethod
    def count_lines(running, requests):
        """Lines that reached the access log a request; empties it, for it is in memory."""
        if not running.plan.scenario.logged:
            return 0.0
        time.sleep(1.2)  # nginx writes its buffer once a second
        lines = 0
        with open(running.access_log, "rb+") as log:
            while block := log.read(1 << 20):
                lines += block.count(b"\n")
            log.truncate(0)
        return lines / requests

    def scenario(self, kinds, scenario, rounds, seconds, say):
        """All rounds of a scenario, the proxies in turn. Returns {kind: Result}."""
        running, results = {}, {}
        try:
            for kind in kinds:
                one = self.stage.start(kind, scenario)
                running[kind] = one
                check(one)
                self.run_wrk(one, 1)
                self.count_lines(one, 1)
                results[kind] = Result(one.label, [])
            for number in range(rounds):
                for kind, one in running.items():
                    got = self.measure(one, seconds)
                    results[kind].rounds.append(got)
                    say(f"{scenario.name} {number + 1}/{rounds} {one.label}: {got.cpu:.2f} us, "
                        f"{got.per_second:,.0f}/s, p99 {got.p99 / 1000:.2f} ms")
            for kind, one in running.items():
                results[kind].peak = peak_rss(one.worker)
        finally:
            for one in running.values():
                self.stage.stop(one)
        return results

    # --- idle connections ------------------------------------------------------------------------

    def idle(self, kind, scenario):
        """Memory before and with idle connections: (before, with) in bytes, of the worker alone."""
        one = self.stage.start(kind, scenario)
        held = []
        try:
            check(one)
            for _ in range(64):  # so that what the first requests cost is there before
                with open_connection(one.plan.port, scenario.tls) as connection:
                    get(connection, scenario)
            time.sleep(0.3)
            before = rss(one.worker)
            for _ in range(scenario.idle):
                connection = open_connection(one.plan.port, scenario.tls)
                held.append(connection)
                get(connection, scenario)
            time.sleep(0.5)
            loaded = rss(one.worker)
            for connection in held[::50]:  # they were kept open, not just not noticed to be closed
                get(connection, scenario)
            return before, loaded
        except OSError as error:
            raise BenchError(
                f"{one.label}: after {len(held)} idle connections: {error!r}"
            ) from None
        finally:
            for connection in held:
                connection.close()
            self.stage.stop(one)


def open_connection(port, tls=False):
    connection = socket.create_connection((LOOPBACK, port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return anyone().wrap_socket(connection) if tls else connection


def get(connection, scenario):
    send_get(connection, scenario.path)
    read_answer(connection, scenario.length)


def send_get(connection, path):
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bench.example\r\n\r\n".encode())


def read_answer(connection, length):
    """Reads one answer whose body has `length` bytes."""
    got = b""
    while True:
        head, end, body = got.partition(b"\r\n\r\n")
        if end and len(body) >= length:
            break
        block = connection.recv(65536)
        if not block:
            raise ConnectionError("closed before the end of the answer")
        got += block
    if not head.startswith(b"HTTP/1.1 200 ") or len(body) != length:
        raise ConnectionError(f"a wrong answer: {head[:100]!r}, {len(body)} bytes")
