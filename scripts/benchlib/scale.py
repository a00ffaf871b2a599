"""A large fleet in Consul: how soon lictor is ready, what it costs, how late a change is seen.

scale-consul: one real agent, 1,000 services with 10 instances each. scale-fake: 10,000 services with
100,000 instances, answered from memory by a server here that speaks as much of Consul as is needed.
"""

import asyncio
import base64
import concurrent.futures
import http.client
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

from machine import BenchError

TICKS = os.sysconf("SC_CLK_TCK")
NAMES = {
    "scale-consul": "1,000 services, 10,000 instances, one real agent",
    "scale-fake": "10,000 services, 100,000 instances, a scripted Consul",
}
IDLE_SECONDS = 20
SAMPLES = 30
WAKES = ("/v1/health/state/any", "/v1/catalog/services", "/v1/catalog/nodes")  # for services beyond the connections


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def call(port, method, path, body=None, timeout=30):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def wait_until(condition, seconds, what, step=0.02):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(step)
    raise BenchError(f"{what}: not within {seconds} s")


def route(number):
    return {"path": f"/s{number}/*", "service": f"service-{number}"}


# --- the gateway ---------------------------------------------------------------------------------


class Gateway:
    def __init__(self, program, folder, consul_port):
        self.admin = free_ports(1)[0]
        config = {
            "consul": {"address": f"http://127.0.0.1:{consul_port}"},
            "register": None,
            "snapshot": None,
            "listeners": [{"name": "http", "address": "127.0.0.1:0"}],
            "admin": {"address": f"127.0.0.1:{self.admin}"},
            "workers": 2,
            "limits": {"connections": 100},
            "log": {"access": {"path": "off"}},
            "drain": {"lead": "1ms", "timeout": "1s"},
        }
        path = pathlib.Path(folder) / "lictor.json"
        path.write_text(json.dumps(config))
        self.began = time.monotonic()
        self.log = open(pathlib.Path(folder) / "lictor.log", "wb")
        self.process = subprocess.Popen([program, "run", "--config", path], stdout=self.log, stderr=self.log)

    def wait_ready(self, seconds):
        wait_until(lambda: call(self.admin, "GET", "/readyz")[0] == 200, seconds, "ready")
        return time.monotonic() - self.began

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, key):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) / 1024
        raise BenchError(f"no {key}")

    def connections(self):
        return json.loads(call(self.admin, "GET", "/v1/status")[1])["consul"]["connections"]

    def instance(self, service, instance_id):
        entry = json.loads(call(self.admin, "GET", f"/v1/upstreams/{service}")[1])[0]
        return next(one for one in entry["instances"] if one["id"] == instance_id)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def measure(gateway, services, change, ready_within, say, samples=SAMPLES):
    """change(service number, weight) makes one instance of a service have another weight."""
    result = {"ready_s": gateway.wait_ready(ready_within)}
    most = []
    over = threading.Event()

    def watch():
        while not over.is_set():
            most.append(gateway.connections())
            over.wait(0.25)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        time.sleep(3)
        result["rss_mib"] = gateway.memory("VmRSS")
        say(f"  ready after {result['ready_s']:.2f} s; idle for {IDLE_SECONDS} s")
        over.set()
        watcher.join()
        before = gateway.cpu()
        time.sleep(IDLE_SECONDS)
        result["idle_cpu"] = (gateway.cpu() - before) / IDLE_SECONDS
        most.append(gateway.connections())
        late = []
        for sample in range(samples):
            number = random.randrange(services)
            weight = 2 + sample
            began = time.monotonic()
            change(number, weight)
            service = f"service-{number}"
            wait_until(lambda: gateway.instance(service, f"{service}-0")["weight"] == weight, 120, "a change", 0.01)
            late.append(time.monotonic() - began)
        result["late_p50_s"] = statistics.median(late)
        result["late_max_s"] = max(late)
    finally:
        over.set()
    result["connections"] = max(most)
    result["peak_mib"] = gateway.memory("VmHWM")
    return result


# --- a real agent --------------------------------------------------------------------------------


def registration(number, instance, weight=1):
    service = f"service-{number}"
    return {
        "Node": f"node-{instance}",
        "Address": f"10.0.0.{instance + 1}",
        "SkipNodeUpdate": number != 0,
        "Service": {
            "ID": f"{service}-{instance}", "Service": service, "Port": 1024 + number,
            "Address": f"10.0.0.{instance + 1}", "Weights": {"Passing": weight, "Warning": 1},
        },
        "Check": {"Node": f"node-{instance}", "CheckID": f"check:{service}-{instance}", "Name": "check",
                  "ServiceID": f"{service}-{instance}", "Status": "passing", "Output": "fine"},
    }  # fmt: skip


def fill_agent(port, services, instances):
    def register(number):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for instance in range(instances):
            connection.request("PUT", "/v1/catalog/register", json.dumps(registration(number, instance)))
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise BenchError(f"register: {answer.status} {text}")
        connection.request("PUT", f"/v1/kv/lictor/routes/r{number}", json.dumps(route(number)))
        connection.getresponse().read()
        connection.close()

    register(0)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(register, range(1, services)))


def run_consul(program, say, services=1000, instances=10):
    consul = os.environ.get("CONSUL_BIN") or shutil.which("consul")
    local = pathlib.Path(__file__).resolve().parents[2] / ".deps" / "bin" / "consul"
    consul = consul or (str(local) if local.exists() else None)
    if not consul:
        raise BenchError("no consul: scripts/setup provides one")
    with tempfile.TemporaryDirectory(prefix="lictor-scale-") as folder:
        port, server, serf = free_ports(3)
        config = {
            "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "log_level": "err", "disable_update_check": True,
            "ports": {"http": port, "server": server, "serf_lan": serf, "serf_wan": -1, "dns": -1, "grpc": -1},
        }  # fmt: skip
        path = pathlib.Path(folder) / "agent.json"
        path.write_text(json.dumps(config))
        agent = subprocess.Popen([consul, "agent", "-dev", f"-config-file={path}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        gateway = None
        try:
            wait_until(lambda: call(port, "PUT", "/v1/kv/ready", 1)[0] == 200, 30, "the agent")
            say(f"  registering {services * instances} instances")
            fill_agent(port, services, instances)
            gateway = Gateway(program, folder, port)
            return measure(gateway, services, lambda number, weight: call(port, "PUT", "/v1/catalog/register", registration(number, 0, weight)), 60, say)
        finally:
            if gateway:
                gateway.stop()
            agent.terminate()
            agent.wait()


# --- a scripted one ------------------------------------------------------------------------------


class Fake:
    def __init__(self, services, instances):
        self.instances = instances
        documents = [
            {"LockIndex": 0, "Key": f"lictor/routes/r{n}", "Flags": 0, "CreateIndex": 5, "ModifyIndex": 5,
             "Value": base64.b64encode(json.dumps(route(n)).encode()).decode()}
            for n in range(services)
        ]  # fmt: skip
        self.kv = json.dumps(documents).encode()
        self.index = 10
        self.changed = {}  # service number: (index, weight)
        self.waiting = {}  # service number: events

    def entries(self, number):
        weight = self.changed.get(number, (10, 1))[1]
        found = []
        for instance in range(self.instances):
            one = registration(number, instance, weight if instance == 0 else 1)
            found.append({"Node": {"Node": one["Node"], "Address": one["Address"], "Datacenter": "dc1"}, "Service": one["Service"], "Checks": [one["Check"]]})
        return json.dumps(found).encode()

    def change(self, number, weight):
        self.index += 1
        self.changed[number] = (self.index, weight)
        for event in (*self.waiting.get(number, ()), *self.waiting.get("/v1/catalog/services", ())):
            event.set()

    async def answer(self, path, params):
        if path.startswith("/change/"):
            number, weight = path.split("/")[2:]
            self.change(int(number), int(weight))
            return 1, b"true"
        wait = params.get("wait", "0s")
        wait = float(wait[:-2]) / 1000 if wait.endswith("ms") else float(wait[:-1])
        asked = int(params.get("index", 0))
        if path.startswith("/v1/kv/"):
            if asked:
                await asyncio.sleep(wait)
            return 10, self.kv
        if path in WAKES:
            moved = self.index if path == "/v1/catalog/services" else 10
            if asked >= moved:
                event = asyncio.Event()
                self.waiting.setdefault(path, []).append(event)
                try:
                    await asyncio.wait_for(event.wait(), wait)
                except TimeoutError:
                    pass
                finally:
                    self.waiting[path].remove(event)
            return self.index if path == "/v1/catalog/services" else 10, b"[]"
        number = int(path.rsplit("-", 1)[1])
        if asked >= self.changed.get(number, (10, 1))[0]:
            event = asyncio.Event()
            self.waiting.setdefault(number, []).append(event)
            try:
                await asyncio.wait_for(event.wait(), wait)
            except TimeoutError:
                pass
            finally:
                self.waiting[number].remove(event)
        return self.changed.get(number, (10, 1))[0], self.entries(number)

    async def serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1].decode()
                path, _, query = target.partition("?")
                params = dict(one.partition("=")[::2] for one in query.split("&"))
                index, body = await self.answer(path, params)
                writer.write(b"HTTP/1.1 200 OK\r\nX-Consul-Index: %d\r\nX-Consul-KnownLeader: true\r\nContent-Length: %d\r\n\r\n" % (index, len(body)) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def serve_fake(port, services, instances):
    async def main():
        fake = Fake(services, instances)
        server = await asyncio.start_server(fake.serve, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(main())


def run_fake(program, say, services=10000, instances=10):
    port = free_ports(1)[0]
    server = multiprocessing.Process(target=serve_fake, args=(port, services, instances), daemon=True)
    server.start()
    gateway = None
    with tempfile.TemporaryDirectory(prefix="lictor-scale-") as folder:
        try:
            wait_until(lambda: call(port, "GET", "/v1/kv/lictor/")[0] == 200, 30, "the scripted Consul")
            gateway = Gateway(program, folder, port)
            return measure(gateway, services, lambda number, weight: call(port, "GET", f"/change/{number}/{weight}"), 120, say, samples=8)
        finally:
            if gateway:
                gateway.stop()
            server.terminate()
            server.join()


RUNS = {"scale-consul": run_consul, "scale-fake": run_fake}


def section(results):
    lines = ["## Large fleets", "",
             "| | ready | connections to the agent | RSS | peak | idle, of a core | a change is seen: p50 | max |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, one in results.items():
        lines.append(
            f"| {NAMES[name]} | {one['ready_s']:.1f} s | {one['connections']} | {one['rss_mib']:.0f} MiB | {one['peak_mib']:.0f} MiB "
            f"| {one['idle_cpu'] * 100:.1f} % | {one['late_p50_s']:.2f} s | {one['late_max_s']:.2f} s |"
        )
    lines += ["", f"*idle* over {IDLE_SECONDS} s; *a change* is one instance's new weight, from the write to `/v1/upstreams`, {SAMPLES} times (8 with the scripted Consul).", ""]
    return "\n".join(lines)


def run(names, program, say):
    results = {}
    for name in names:
        say(f"{name}: {NAMES[name]}")
        results[name] = RUNS[name](program, say)
    return section(results)
