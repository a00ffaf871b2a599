"""An agent behind TLS: HTTP/2 carries all watches on few connections; without it the budget holds as ever."""

import socket
import ssl
import threading
import time

import pytest

from harness.authority import Authority
from harness.consul import ConsulAgent, free_ports
from harness.documents import all_to
from harness.fake_consul import FakeConsul, entry
from harness.wait import eventually

SERVICES = 300


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def connections_to(port):
    """As the kernel has them: established, with this port at the far end."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(1 for row in rows if row[3] == "01" and int(row[2].rpartition(":")[2], 16) == port)


def queries(gateway):
    return gateway.admin.status()["consul"]["queries"]


@pytest.fixture(scope="module")
def secured(make_once, authority, tmp_path_factory):
    """A real agent with an HTTPS port, and that port."""
    port = free_ports(1)[0]
    agent = ConsulAgent(tmp_path_factory.mktemp("secured"), extra={"cert_file": authority.cert, "key_file": authority.key, "ca_file": authority.ca})
    agent.extra["ports"] = {"http": agent.http_port, "server": agent._server_port, "serf_lan": agent._serf_port, "serf_wan": -1, "dns": -1, "grpc": -1, "https": port}
    make_once.keep(agent).start()
    for number in range(SERVICES):
        agent.kv_put(f"lictor/routes/r{number}", {"path": f"/{number}", "service": f"s{number}"})
        agent.register(f"s{number}", f"s{number}", 80, check=None)
    return agent, port


def test_http2_carries_all_watches_on_few_connections(make, authority, secured):
    agent, port = secured
    gateway = make.gateway_on(agent, "lictor", consul={"address": f"https://127.0.0.1:{port}", "ca_file": authority.ca, "max_connections": 10}, register=None)
    time.sleep(1)
    before = queries(gateway)
    time.sleep(2)
    assert queries(gateway) == before, "somebody is asked in turns"
    assert gateway.admin.status()["consul"]["connections"] <= 5
    assert connections_to(port) == gateway.admin.status()["consul"]["connections"]
    began = time.monotonic()
    agent.register(f"s{SERVICES - 1}", "last", 81, check=None)
    eventually(lambda: len(gateway.admin.instances(f"s{SERVICES - 1}")), 2, within=1)
    assert time.monotonic() - began < 1
    assert queries(gateway) - before < 10, "one change woke others"
    agent.deregister("last")
    eventually(lambda: len(gateway.admin.instances(f"s{SERVICES - 1}")), 1, within=1)


def test_all_watches_come_back_after_the_agent(make, authority, secured):
    agent, port = secured
    gateway = make.gateway_on(agent, "lictor", consul={"address": f"https://127.0.0.1:{port}", "ca_file": authority.ca, "max_connections": 10}, register=None)
    agent.restart()  # as an empty one
    agent.kv_put("lictor/routes/after", all_to("after"))
    agent.register("after", "after", 80, check=None)
    eventually(lambda: list(gateway.admin.instances("after")), ["127.0.0.1:80"], within=10)
    assert gateway.admin.status()["consul"]["connections"] <= 10


class Terminator:
    """TLS in front of a fake, with HTTP/1.1 alone."""

    def __init__(self, authority, target, protocols):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.cert, authority.key)
        if protocols:
            context.set_alpn_protocols(protocols)
        self.target, self.most, self.open = target, 0, 0
        self._lock = threading.Lock()
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, plain):
        with self._lock:
            self.open += 1
            self.most = max(self.most, self.open)
        try:
            with self._context.wrap_socket(plain, server_side=True) as client, socket.create_connection(self.target) as server:
                threading.Thread(target=self._copy, args=(server, client), daemon=True).start()
                self._copy(client, server)
        except OSError:
            pass
        finally:
            with self._lock:
                self.open -= 1

    def _copy(self, source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@pytest.mark.parametrize("protocols", [["http/1.1"], None], ids=["alpn", "no-alpn"])
def test_an_agent_without_http2_sees_no_more_connections_than_allowed(make, authority, protocols):
    fake = make.keep(FakeConsul())
    names = [f"s{number}" for number in range(60)]
    for name in names:
        fake.put(f"routes/{name}", {"path": f"/{name}", "service": name})
        fake.set_instances(name, entry("x", 1000))
    front = make.keep(Terminator(authority, fake.endpoint, protocols))
    gateway = make.gateway_on(fake, consul={"address": f"https://localhost:{front.port}", "ca_file": authority.ca, "max_connections": 10}, register=None)
    fake.set_instances("s59", entry("x", 4000))
    eventually(lambda: list(gateway.admin.instances("s59")), ["127.0.0.1:4000"], within=3)
    time.sleep(2)
    assert 1 < front.most <= 10
    assert gateway.admin.status()["consul"]["errors_total"] == 0
