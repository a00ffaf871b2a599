"""The end of a gateway's life: nobody's request is lost, and it does end."""

import signal
import time

import pytest

from harness.backend import answer, dribbles, never, tunnel_echo
from harness.client import Client
from harness.documents import one_upstream
from harness.wait import eventually, scaled


@pytest.fixture
def backend(make):
    return make.backend()


@pytest.fixture
def start(make, backend):
    def start(lead="1ms", timeout="5s", **more):
        return make.gateway(one_upstream(backend, **more), drain={"lead": lead, "timeout": timeout})

    return start


def refuses(gateway):
    try:
        gateway.client().close()
        return False
    except ConnectionRefusedError:
        return True


def assert_ends(gateway, within=3.0):
    gateway.assert_clean(gateway.wait(within))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_an_idle_gateway_ends_at_once(start, number):
    gateway = start()
    gateway.get("/")
    gateway.signal(number)
    assert_ends(gateway)


def test_a_request_in_flight_finishes_and_its_connection_closes(start, backend):
    gateway = start()
    backend.default = answer(delay=0.6)
    with gateway.client() as client:
        client.send_request("GET", "/")
        eventually(lambda: backend.started)
        gateway.signal(signal.SIGTERM)
        response = client.read_response()
        assert response.status == 200 and response.closes
        client.expect_close()
    assert_ends(gateway)


def test_a_response_in_flight_finishes(start, backend):
    gateway = start()
    backend.default = dribbles(b"one", b"two", b"three", interval=0.3)
    with gateway.client() as client:
        client.send_request("GET", "/")
        response = client.read_response_head()
        gateway.signal(signal.SIGTERM)
        assert b"".join(client.body_pieces(response)) == b"onetwothree"
        client.expect_close()
    assert_ends(gateway)


def test_an_upload_in_flight_finishes(start, backend):
    gateway = start()
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n1234")
        eventually(lambda: backend.started)
        gateway.signal(signal.SIGTERM)
        time.sleep(0.3)
        client.send(b"5678")
        assert client.read_response().status == 200
    assert backend.last.body == b"12345678"
    assert_ends(gateway)


def test_idle_connections_close_and_listeners_too(start, backend):
    gateway = start()
    backend.default = answer(delay=1.0)
    with gateway.client() as idle, gateway.client() as busy:
        busy.send_request("GET", "/")
        eventually(lambda: backend.started)
        gateway.signal(signal.SIGTERM)
        idle.expect_close()
        eventually(lambda: refuses(gateway), within=0.8)
        assert busy.read_response().status == 200
    assert_ends(gateway)


def test_during_the_lead_readiness_fails_and_traffic_goes_on(start):
    gateway = start(lead="1s")
    with gateway.client() as open_before:
        open_before.get("/")
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        response = eventually(lambda: gateway.admin.get("/readyz"), lambda answer: answer.status == 503, within=0.5)
        assert b"drain" in response.body
        assert gateway.admin.get("/healthz").status == 200
        assert gateway.admin.status()["state"] == "draining"
        while time.monotonic() - began < 0.7:
            assert gateway.get("/").status == 200
        assert open_before.get("/").status == 200
    eventually(lambda: refuses(gateway), within=2)
    assert_ends(gateway)


def test_a_request_that_takes_too_long_is_cut_at_the_timeout(start, backend):
    gateway = start(timeout="600ms", route={"timeout": "0s"})
    backend.default = never
    with gateway.client() as client:
        client.send_request("GET", "/")
        eventually(lambda: backend.started)
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        assert_ends(gateway)
        assert 0.4 < time.monotonic() - began < scaled(2)


def test_a_tunnel_is_cut_at_the_timeout(start, backend):
    gateway = start(timeout="600ms")
    backend.default = tunnel_echo("echo/1")
    with gateway.client() as client:
        client.send_request("GET", "/", fields={"Connection": "upgrade", "Upgrade": "echo/1"})
        assert client.read_response_head().status == 101
        gateway.signal(signal.SIGTERM)
        client.send(b"last words")
        assert client.reader.exactly(10) == b"last words"
        client.expect_close()
    assert_ends(gateway)


def test_a_second_signal_ends_at_once(start, backend):
    gateway = start(lead="30s", timeout="30s", route={"timeout": "0s"})
    backend.default = never
    with gateway.client() as client:
        client.send_request("GET", "/")
        eventually(lambda: backend.started)
        gateway.signal(signal.SIGTERM)
        eventually(lambda: gateway.admin.get("/readyz").status, 503)
        gateway.signal(signal.SIGTERM)
        gateway.wait(2)


def test_a_client_without_end_cannot_hold_the_drain(start):
    """It sends the next request as soon as it has an answer."""
    gateway = start()
    gateway.signal(signal.SIGTERM)
    deadline = time.monotonic() + scaled(4)
    while gateway.process.poll() is None and time.monotonic() < deadline:
        try:
            with Client(gateway.address) as client:
                while not client.get("/").closes:
                    pass
        except (OSError, AssertionError):
            pass
    assert_ends(gateway, within=0.5)


def test_a_gateway_that_waits_for_consul_ends_too(make, fake):
    fake.put("routes/all", {"path": "/*", "service": "web"})
    gateway = make.gateway_on(fake)
    eventually(lambda: fake.waiting("kv"))
    gateway.signal(signal.SIGTERM)
    assert_ends(gateway)


def test_a_gateway_that_was_never_ready_ends_too(make, fake):
    fake.stop_listening()
    gateway = make.gateway_on(fake, wait_ready=False)
    gateway.signal(signal.SIGTERM)
    assert_ends(gateway)


def test_sigpipe_and_sighup_do_not_end_it(start):
    gateway = start()
    for number in (signal.SIGPIPE, signal.SIGHUP):
        gateway.signal(number)
    assert gateway.get("/").status == 200
    assert gateway.process.poll() is None
