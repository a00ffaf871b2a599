"""The limits of the bootstrap file and the timeouts of routes and upstreams."""

import time

import pytest

from harness.backend import Deaf, Refusing, answer, dribbles, never
from harness.client import Client, request_bytes
from harness.documents import one_upstream
from harness.wait import eventually
from harness.wire import Closed, Truncated


@pytest.fixture(scope="module")
def backend(make_once):
    return make_once.backend()


@pytest.fixture(autouse=True)
def fresh(backend):
    yield
    backend.clear()


@pytest.fixture(scope="module")
def gateway(make_once, backend):
    limits = {
        "header_bytes": "8KiB",
        "header_count": 20,
        "uri_bytes": 1000,
        "body_bytes": "10KiB",
        "header_timeout": "500ms",
        "idle_timeout": "700ms",
        "body_timeout": "500ms",
        "requests_per_connection": 5,
    }
    return make_once.gateway(one_upstream(backend), limits=limits)


def test_a_long_uri_is_414(gateway, backend):
    assert gateway.get("/" + "x" * 900).status == 200
    gateway.get("/" + "x" * 1100).problem(414, "uri_too_long")
    gateway.get("/?" + "x" * 100_000).problem(414, "uri_too_long")
    assert backend.hits == 1


def test_a_large_head_is_431(gateway, backend):
    assert gateway.get("/", fields={"X-Large": "x" * 7000}).status == 200
    gateway.get("/", fields={"X-Large": "x" * 9000}).problem(431, "headers_too_large")
    gateway.get("/", fields=[(f"X-{n}", "x" * 1000) for n in range(9)]).problem(431, "headers_too_large")
    assert backend.hits == 1


def test_many_fields_are_431(gateway, backend):
    assert gateway.get("/", fields=[(f"X-{n}", "x") for n in range(18)]).status == 200
    gateway.get("/", fields=[(f"X-{n}", "x") for n in range(21)]).problem(431, "headers_too_large")
    assert backend.hits == 1


def test_a_head_over_the_limit_ends_the_connection(gateway):
    with gateway.client() as client:
        client.send_request("GET", "/", fields={"X-Large": "x" * 20_000})
        assert client.read_response().status == 431
        client.expect_close()


def test_a_declared_body_over_the_limit_is_413(gateway, backend):
    assert gateway.request("POST", "/", body=b"x" * 10_240).status == 200
    gateway.request("POST", "/", body=b"x" * 10_241).problem(413, "body_too_large")
    assert backend.started == 1


def test_a_declared_body_over_the_limit_is_413_before_it_is_sent(gateway):
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10000000\r\n\r\n")
        client.read_response().problem(413, "body_too_large")


def test_a_chunked_body_over_the_limit_is_413_and_never_arrives(gateway, backend):
    assert gateway.request("POST", "/", body=[b"x" * 5_000] * 2).status == 200
    with gateway.client() as client:
        client.send(request_bytes("POST", "/", body=[b"x" * 5_000] * 3))
        client.read_response().problem(413, "body_too_large")
        client.expect_close()
    assert backend.hits == 1


def test_an_unfinished_head_is_408(gateway, backend):
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        client.read_response().problem(408, "request_timeout")
        assert 0.3 < time.monotonic() - began < 3
        client.expect_close()
    assert backend.started == 0


def test_a_head_that_trickles_is_408(gateway):
    def trickle_on():
        client.send(b"X: y\r\n")
        return client.read_response()

    with gateway.client(timeout=0.1) as client:
        client.send(b"GET / HTTP/1.1\r\n")
        eventually(trickle_on, within=3).problem(408, "request_timeout")


def test_a_connection_that_says_nothing_is_closed(gateway):
    with gateway.client() as client:
        client.expect_close(timeout=5)


def test_an_idle_connection_is_closed(gateway):
    with gateway.client() as client:
        client.get("/")
        began = time.monotonic()
        client.expect_close()
        assert 0.5 < time.monotonic() - began < 3


def test_a_body_that_stalls_is_408(gateway, backend):
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        assert client.read_response().status == 408
        client.expect_close()
    assert backend.hits == 0


def test_a_slow_but_steady_body_is_no_timeout(gateway, backend):
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            time.sleep(0.1)
            client.send(b"x")
        assert client.read_response().status == 200
    assert backend.last.body == b"x" * 8


def test_waiting_for_the_upstream_is_not_idleness(gateway, backend):
    backend.default = answer(delay=1.2)
    assert gateway.get("/").status == 200


def test_the_last_request_of_a_connection_says_close(gateway):
    with gateway.client() as client:
        closes = [client.get("/").closes for _ in range(5)]
        assert closes == [False] * 4 + [True]
        client.expect_close()


def test_no_limit_means_no_limit(make, backend):
    limits = {"requests_per_connection": 0, "body_bytes": 0, "header_timeout": "0s", "idle_timeout": "0s", "body_timeout": "0s"}
    gateway = make.gateway(one_upstream(backend), limits=limits)
    with gateway.client() as client:
        assert all(not client.get("/").closes for _ in range(30))
        assert client.request("POST", "/", body=b"x" * 3_000_000).status == 200
        client.expect_silence(0.5)


def test_connections_over_the_limit_wait_or_are_closed(make, backend):
    gateway = make.gateway(one_upstream(backend), limits={"connections": 4})
    held = [gateway.client() for _ in range(4)]
    assert all(client.get("/").status == 200 for client in held)
    with pytest.raises((OSError, AssertionError)):
        with gateway.client(timeout=0.5) as client:
            assert client.get("/").status == 200
    held.pop().close()
    eventually(lambda: gateway.get("/", timeout=0.5).status, 200, within=5)
    for client in held:
        assert client.get("/").status == 200
        client.close()


# Timeouts of routes and upstreams


def test_a_client_that_reads_slowly_but_steadily_is_not_cut(make):
    """However long the kernel takes to call its full buffers writable again."""
    size = 24 << 20
    backend = make.backend()
    backend.on("/large", answer(body=b"x" * size))
    gateway = make.gateway(one_upstream(backend, route={"timeout": "0s"}), limits={"body_timeout": "500ms"})
    with gateway.client(receive_buffer=32768) as client:
        client.send_request("GET", "/large")
        assert client.read_response_head().status == 200
        until = time.monotonic() + 4
        while time.monotonic() < until:
            assert client.sock.recv(8192)
            time.sleep(0.05)
        # Now it reads no more.
        eventually(lambda: gateway.admin.metrics().sum("lictor_requests_total", code="499"), 1)


def test_a_route_that_takes_too_long_is_504(make, backend):
    gateway = make.gateway(one_upstream(backend, route={"timeout": "300ms"}))
    backend.default = never
    others = backend.open_connections
    began = time.monotonic()
    gateway.get("/").problem(504, "upstream_timeout")
    assert 0.25 < time.monotonic() - began < 2
    eventually(lambda: backend.open_connections, others, within=2)


def test_a_route_timeout_inside_the_body_cuts_the_response(make, backend):
    gateway = make.gateway(one_upstream(backend, route={"timeout": "500ms"}))
    backend.default = dribbles(*[b"piece"] * 50, interval=0.1)
    began = time.monotonic()
    with pytest.raises((Truncated, Closed)):
        gateway.get("/")
    assert time.monotonic() - began < 3


def test_no_route_timeout_lets_a_stream_go_on(make, backend):
    gateway = make.gateway(one_upstream(backend, route={"timeout": "0s"}))
    backend.default = dribbles(b"a", b"b", b"c", interval=0.4)
    assert gateway.get("/").body == b"abc"


def test_an_instance_that_does_not_answer_the_connect_is_504(make):
    deaf = make.keep(Deaf())
    gateway = make.gateway(one_upstream(deaf, connect_timeout="300ms"))
    began = time.monotonic()
    gateway.get("/").problem(504, "upstream_timeout")
    assert time.monotonic() - began < 3


def test_an_instance_that_refuses_the_connect_is_502(make):
    refusing = make.keep(Refusing())
    gateway = make.gateway(one_upstream(refusing))
    response = gateway.get("/")
    response.problem(502, "upstream_failed")
    assert "connection_refused" in response.fields["proxy-status"]


def test_an_idle_upstream_connection_is_closed(make, backend):
    gateway = make.gateway(one_upstream(backend, idle_timeout="300ms"))
    others = backend.open_connections
    assert gateway.get("/").status == 200
    assert backend.open_connections > others
    eventually(lambda: backend.open_connections, others, within=3)
    assert gateway.get("/").status == 200


def test_a_service_without_instances_is_503(make):
    gateway = make.gateway({"routes/r": {"path": "/*", "service": "nobody"}})
    gateway.get("/").problem(503, "no_instance")


def test_trailers_over_their_bound_do_no_harm(gateway, backend):
    with gateway.client() as client:
        client.send(request_bytes("POST", "/", body=[b"x"], trailers=[(f"T-{n}", "x" * 1000) for n in range(40)]))
        assert client.read_response().status in (200, 400, 431)
    assert gateway.get("/").status == 200


def test_a_flood_of_chunk_extensions_does_no_harm(gateway):
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(200):
                client.send(b"1;" + b"e" * 1000 + b"\r\nx\r\n")
            client.send(b"0\r\n\r\n")
            assert client.read_response().status in (200, 400, 413)
        except ConnectionError:
            pass
    assert gateway.get("/").status == 200


def test_many_idle_connections_cost_little(make, backend):
    gateway = make.gateway(one_upstream(backend))
    gateway.get("/")
    before = gateway.rss()
    clients = [Client(gateway.address) for _ in range(500)]
    try:
        assert clients[0].get("/").status == 200
        eventually(lambda: gateway.descriptors() > 500, within=5)
        assert (gateway.rss() - before) / 500 < 16 * 1024
    finally:
        for client in clients:
            client.close()
