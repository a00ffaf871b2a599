"""Upgrades: a WebSocket or any other protocol as a tunnel after 101, and what is no upgrade."""

import os

import pytest

from harness import websocket
from harness.backend import answer, raw, tunnel_echo
from harness.client import request_bytes
from harness.documents import one_upstream
from harness.wait import eventually

UPGRADE = {"Connection": "upgrade", "Upgrade": "echo/1"}


@pytest.fixture(scope="module")
def backend(make_once):
    return make_once.backend()


@pytest.fixture(scope="module")
def gateway(make_once, backend):
    return make_once.gateway(one_upstream(backend))


@pytest.fixture(autouse=True)
def fresh(backend):
    yield
    backend.clear()


def upgraded(client, target="/"):
    client.send_request("GET", target, fields=UPGRADE)
    response = client.read_response_head()
    assert response.status == 101, response
    assert response.fields["upgrade"] == "echo/1"
    assert "upgrade" in [token.lower() for token in response.fields.tokens("connection")]
    return response


def test_a_websocket_works_both_ways(gateway, backend):
    backend.default = websocket.echo_server
    with gateway.client() as client:
        websocket.connect(client, "/chat")
        for message in (b"hello", b"", b"x" * 200_000, os.urandom(70_000)):
            websocket.send(client, websocket.BINARY, message)
            assert websocket.read_frame(client.reader) == (websocket.BINARY, message)
        websocket.send(client, websocket.PING, b"there?")
        assert websocket.read_frame(client.reader) == (websocket.PONG, b"there?")
        websocket.send(client, websocket.CLOSE, b"\x03\xe8")
        assert websocket.read_frame(client.reader)[0] == websocket.CLOSE
        client.expect_close()


def test_the_upstream_sees_the_upgrade(gateway, backend):
    backend.default = tunnel_echo("echo/1")
    with gateway.client() as client:
        upgraded(client, "/tunnel?x=1")
    fields = backend.last.fields
    assert backend.last.target == "/tunnel?x=1"
    assert fields["upgrade"] == "echo/1"
    assert "upgrade" in [token.lower() for token in fields.tokens("connection")]
    assert fields["x-forwarded-for"] == "127.0.0.1" and fields["via"] == "1.1 lictor"


def test_any_bytes_pass_through_the_tunnel(gateway, backend):
    backend.default = tunnel_echo("echo/1")
    data = os.urandom(300_000) + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    with gateway.client() as client:
        upgraded(client)
        client.send(data)
        assert client.reader.exactly(len(data)) == data
    assert backend.paths() == ["/"]


def test_the_server_may_speak_first(gateway, backend):
    backend.default = raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\nwelcome", then="close")
    with gateway.client() as client:
        upgraded(client)
        assert client.reader.exactly(7) == b"welcome"
        client.expect_close()


def test_a_half_closed_tunnel_still_answers(gateway, backend):
    backend.default = tunnel_echo("echo/1")
    with gateway.client() as client:
        upgraded(client)
        client.send(b"last words")
        client.half_close()
        assert client.reader.rest() == b"last words"


def test_a_client_that_resets_ends_the_tunnel(gateway, backend):
    backend.default = tunnel_echo("echo/1")
    client = gateway.client()
    upgraded(client)
    before = backend.open_connections
    client.reset()
    eventually(lambda: backend.open_connections < before, within=2)


def test_the_route_timeout_does_not_end_a_tunnel(make, backend):
    gateway = make.gateway(one_upstream(backend, route={"timeout": "300ms"}))
    backend.default = tunnel_echo("echo/1")
    with gateway.client() as client:
        upgraded(client)
        client.expect_silence(0.8)
        client.send(b"still here")
        assert client.reader.exactly(10) == b"still here"


@pytest.mark.parametrize("status", [200, 403, 426])
def test_a_refused_upgrade_is_an_ordinary_answer(gateway, backend, status):
    backend.on("/tunnel", answer(status, b"not today"))
    with gateway.client() as client:
        response = client.get("/tunnel", fields=UPGRADE)
        assert (response.status, response.body) == (status, b"not today")
        assert client.get("/").status == 200


def test_bytes_behind_a_refused_upgrade_are_the_next_request(gateway, backend):
    backend.on("/tunnel", answer(403, b"no", delay=0.1))
    with gateway.client() as client:
        client.send(request_bytes("GET", "/tunnel", fields=UPGRADE) + request_bytes("GET", "/next"))
        assert client.read_response().status == 403
        assert client.read_response().status == 200
    assert backend.paths() == ["/tunnel", "/next"]


def test_upgrade_without_connection_is_an_ordinary_request(gateway, backend):
    assert gateway.get("/", fields={"Upgrade": "echo/1"}).status == 200
    assert "upgrade" not in backend.last.fields


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other/2\r\n\r\n",
    ],
    ids=["no-upgrade", "another-protocol"],
)
def test_a_101_to_something_else_is_502(gateway, backend, head):
    backend.default = raw(head, then="close")
    gateway.get("/", fields=UPGRADE).problem(502, "upstream_failed")


def test_an_unasked_101_is_502(gateway, backend):
    backend.default = raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n", then="close")
    gateway.get("/").problem(502, "upstream_failed")


def test_h2c_is_not_offered_upstream(gateway, backend):
    fields = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    assert gateway.get("/", fields=fields).status == 200
    assert not {"upgrade", "http2-settings"} & backend.last.fields.names


def test_connect_is_refused(gateway, backend):
    with gateway.client() as client:
        client.send(b"CONNECT db.internal:5432 HTTP/1.1\r\nHost: db.internal:5432\r\n\r\n")
        assert client.read_response().status in (400, 403, 405, 501)
    assert backend.started == 0


def test_a_tunnel_is_counted_and_leaves_nothing_behind(gateway, backend):
    backend.default = tunnel_echo("echo/1")
    with gateway.client() as client:
        upgraded(client)
    eventually(lambda: gateway.admin.metrics().sum("lictor_requests_total", code="101") > 0, within=2)
    eventually(lambda: gateway.admin.instance("web", backend.address)["active_requests"], 0, within=2)
