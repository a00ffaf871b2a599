"""GET /v1/events: whoever listens hears of every change."""

import json
import socket

import pytest

from harness.documents import all_to
from harness.wait import eventually, scaled

SOON = 1.0


class Ear:
    """A listener that keeps what it hears: (type, data)."""

    def __init__(self, gateway):
        host, port = gateway.admin.address
        self.socket = socket.create_connection((host, port))
        self.socket.sendall(f"GET /v1/events HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        self.text = b""

    def listen(self, within=0.05):
        self.socket.settimeout(within)
        try:
            while piece := self.socket.recv(65536):
                self.text += piece
        except TimeoutError:
            pass

    def heard(self, kind):
        self.listen()
        blocks = self.text.decode().split("\r\n\r\n", 1)[-1].split("\n\n")
        fields = [dict(line.split(": ", 1) for line in block.splitlines() if ": " in line) for block in blocks]
        return [json.loads(one["data"]) for one in fields if one.get("event") == kind]

    def stop(self):
        self.socket.close()


@pytest.fixture
def gateway(make, fake):
    fake.put("routes/all", all_to("web"))
    fake.set_backends("web", make.backend("a"), make.backend("b"))
    return make.gateway_on(fake)


@pytest.fixture
def ear(make, gateway):
    ear = make.keep(Ear(gateway))
    eventually(lambda: ear.listen() or b"200 OK" in ear.text)
    return ear


def test_a_change_of_configuration(ear, fake):
    fake.put("routes/more", {"path": "/more", "service": "web"})
    event = eventually(lambda: ear.heard("config"), within=SOON)[0]
    assert event["changed"] == ["lictor/routes/more"]
    assert event["routes"] == 2


def test_a_change_of_health(make, ear, fake):
    fake.set_backends("web", make.backend("a"))
    eventually(lambda: [(one["id"], one["change"]) for one in ear.heard("health")], lambda seen: ("b", "removed") in seen, within=SOON)


def test_an_ejection_and_the_return(gateway, ear):
    gateway.admin.order("eject", "web", "a")
    eventually(lambda: [(one["id"], one["ejected"]) for one in ear.heard("ejection")], [("a", True)], within=2)
    gateway.admin.order("restore", "web", "a")
    eventually(lambda: [(one["id"], one["ejected"]) for one in ear.heard("ejection")], [("a", True), ("a", False)], within=2)


def test_a_listener_that_goes_harms_nobody(make, gateway, fake):
    for _ in range(3):
        make.keep(Ear(gateway)).stop()
    fake.put("routes/more", {"path": "/more", "service": "web"})
    ear = make.keep(Ear(gateway))
    fake.put("routes/most", {"path": "/most", "service": "web"})
    eventually(lambda: ear.heard("config"), within=SOON)


def test_there_is_an_end_to_listeners(make, gateway):
    ears = [make.keep(Ear(gateway)) for _ in range(64)]
    for ear in ears:
        eventually(lambda ear=ear: ear.listen(0.01) or b"200 OK" in ear.text)
    assert gateway.admin.get("/v1/events").status == 503


def test_the_end_ends_it(gateway, ear):
    gateway.stop()
    ear.socket.settimeout(scaled(2))
    while ear.socket.recv(65536):
        pass
