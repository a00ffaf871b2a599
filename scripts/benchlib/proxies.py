"""Starts the backend and the proxies, and checks that they answer right before the figures."""

import dataclasses
import functools
import http.client
import os
import pathlib
import pwd
import shutil
import ssl
import urllib.request

import configs
from machine import (LOOPBACK, BenchError, accepts, children, first_line, free_ports, wait_until)

LABELS = {"lictor": "lictor", "baseline": "baseline", "nginx": "nginx", "haproxy": "HAProxy"}


@dataclasses.dataclass
class Plan:
    """All that a configuration is made of (see configs.py)."""

    scenario: object
    folder: pathlib.Path
    port: int
    admin_port: int
    backend_port: int
    connections: int
    descriptors: int
    all_headers: bool
    nginx_user: str
    haproxy_metrics: bool


@dataclasses.dataclass
class Running:
    """A proxy that runs: `pids` are all of it, `worker` is the one that serves."""

    kind: str
    process: object
    pids: list
    worker: int
    plan: Plan
    access_log: pathlib.Path

    @property
    def label(self):
        return LABELS[self.kind]

    @property
    def url(self):
        scheme = "https" if self.plan.scenario.tls else "http"
        return f"{scheme}://{LOOPBACK}:{self.plan.port}{self.plan.scenario.path}"

    def read_metrics(self):
        """One scrape; nothing for nginx, which has none."""
        if self.kind == "nginx" or (self.kind == "haproxy" and not self.plan.haproxy_metrics):
            return
        url = f"http://{LOOPBACK}:{self.plan.admin_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            answer.read()


def find_program(name):
    """Debian keeps servers where an ordinary user's PATH does not look."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


def version(kind, path):
    if kind in ("lictor", "baseline"):
        return first_line([path, "version"])
    if kind == "nginx":
        return first_line([path, "-v"]).replace("nginx version: ", "")
    return " ".join(first_line([path, "-v"]).replace(" version", "").split()[:2])


class Stage:
    """One run's backend and the proxies around it."""

    def __init__(self, processes, folder, cores, descriptors, programs, all_headers):
        self.processes = processes
        self.folder = folder
        self.proxy_core, self.load_core = cores
        self.descriptors = descriptors
        self.connections = min(16384, descriptors - 2048)
        self.programs = programs  # kind -> path
        self.all_headers = all_headers
        self.backend_port = 0
        user = pwd.getpwuid(os.getuid()).pw_name
        # Only root may say so; as another user, nginx's worker is that user anyway.
        self.nginx_user = f"user {user};\n" if os.getuid() == 0 else ""
        haproxy = programs.get("haproxy")
        self.haproxy_metrics = bool(haproxy) and "PROMEX=1" in os.popen(f"{haproxy} -vv").read()
        # The gateway takes nothing from the caller's environment.
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("CONSUL_")}

    def start_backend(self):
        (self.backend_port,) = free_ports(1)
        folder = self.folder / "backend"
        folder.mkdir()
        config = folder / "backend.conf"
        config.write_text(
            configs.backend(self.backend_port, folder, self.connections, self.nginx_user)
        )
        log = folder / "backend.log"
        process = self.processes.start(
            [find_program("nginx"), "-p", folder, "-e", "stderr", "-c", config], self.load_core, log
        )
        wait_until(lambda: accepts(self.backend_port), process, log, "the backend (nginx)")

    def start(self, kind, scenario):
        """Starts one proxy for a scenario and waits until it takes connections."""
        folder = self.folder / f"{scenario.name}-{kind}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        port, admin_port = free_ports(2)
        plan = Plan(scenario, folder, port, admin_port, self.backend_port, self.connections,
                    self.descriptors, self.all_headers, self.nginx_user, self.haproxy_metrics)
        argv, log, access_log = self.command(kind, plan)
        process = self.processes.start(argv, self.proxy_core, log, self.environment)

        def ready():
            if kind in ("lictor", "baseline"):
                return accepts(port) and answers_ready(admin_port)
            return accepts(port)

        wait_until(ready, process, log, LABELS[kind])
        pids = [process.pid, *children(process.pid)]
        return Running(kind, process, pids, pids[-1], plan, access_log)

    def command(self, kind, plan):
        """What to run, and the files that its messages and its access log go to."""
        program = self.programs[kind]
        log = plan.folder / f"{kind}.log"
        access_log = plan.folder / "access.log"
        if kind == "nginx":
            config = configs.nginx(plan)
            return [program, "-p", plan.folder, "-e", "stderr", "-c", config], log, access_log
        if kind == "haproxy":
            # It logs to its standard output alone, or to a syslog server.
            return [program, "-db", "-f", configs.haproxy(plan)], log, log
        return [program, "run", "--config", configs.lictor(plan)], log, access_log

    def stop(self, running):
        self.processes.stop(running.process)
        shutil.rmtree(running.plan.folder, ignore_errors=True)


def answers_ready(admin_port):
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{admin_port}/readyz", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


@functools.cache
def anyone():
    """Takes every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# --- the check before the figures ----------------------------------------------------------------


def check(running):
    """The answers must be right, or their speed says nothing."""
    scenario = running.plan.scenario
    if scenario.tls:
        client = http.client.HTTPSConnection(LOOPBACK, running.plan.port, timeout=10, context=anyone())
    else:
        client = http.client.HTTPConnection(LOOPBACK, running.plan.port, timeout=10)
    try:
        for _ in range(3):  # the second and third on connections that are open already
            ask(client, running.label, scenario)
        if scenario.chain and running.kind != "nginx":
            check_refused(client, running.label, scenario)
        if not scenario.routes:
            check_headers(client, running)
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"{running.label}: {scenario.path}: {error!r}") from None
    finally:
        client.close()


def ask(client, label, scenario):
    body = b"x" * scenario.upload
    headers = scenario.headers()
    if scenario.close:
        headers["Connection"] = "close"
    client.request("POST" if body else "GET", scenario.path, body or None, headers)
    answer = client.getresponse()
    got = answer.read()
    if answer.status != 200 or got != b"x" * scenario.length:
        raise BenchError(
            f"{label}: {scenario.path}: status {answer.status} and {len(got)} bytes, "
            f"expected 200 and {scenario.length} bytes: {got[:200]!r}"
        )
    if scenario.routes and answer.getheader("X-Route") != scenario.path.split("/")[1]:
        raise BenchError(f"{label}: {scenario.path}: the response has no right X-Route header")


def check_refused(client, label, scenario):
    """Without the token, and with one that is not signed so, nobody gets in."""
    good = scenario.headers()["Authorization"]
    for headers in ({}, {"Authorization": good[:-6] + "AAAAAA"}):
        client.request("GET", scenario.path, headers=headers)
        answer = client.getresponse()
        answer.read()
        if answer.status != 401:
            raise BenchError(f"{label}: {headers}: status {answer.status}, expected 401")


def check_headers(client, running):
    """All proxies do the same work: the headers that lictor adds reach the backend from each."""
    client.request("GET", "/headers", headers=running.plan.scenario.headers())
    answer = client.getresponse().read().decode("latin-1")
    seen = dict(part.partition("=")[::2] for part in answer.split("|"))
    expected = configs.ADDED if running.plan.all_headers else configs.ADDED[:1]
    missing = [name for name in expected if not seen.get(name)]
    if missing:
        raise BenchError(f"{running.label}: does not send {', '.join(missing)} to the backend")
