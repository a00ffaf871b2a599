"""Malformed and ambiguous messages. What is wrong from a client gets 400 and the end of its connection, from an upstream
502; and no byte of it may be taken for another message."""

import signal

import pytest

from harness.backend import answer, raw
from harness.client import request_bytes
from harness.documents import one_upstream
from harness.wait import eventually
from harness.wire import Closed, Truncated

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def backend(make_once):
    return make_once.backend()


@pytest.fixture(scope="module")
def gateway(make_once, backend):
    return make_once.gateway(one_upstream(backend, ejection={"consecutive_failures": 0}))


@pytest.fixture(autouse=True)
def fresh(backend):
    yield
    backend.clear()


def assert_refused(gateway, data, *statuses):
    """One answer with one of the statuses (400 if none is given), then the end."""
    with gateway.client() as client:
        client.send(data)
        response = client.read_response()
        assert response.status in (statuses or (400,)), response
        if response.status == 400:
            response.problem(400, "bad_request")
        client.expect_close()


def post(*fields, body=b"5\r\nhello\r\n0\r\n\r\n" + SMUGGLED):
    return b"POST /framed HTTP/1.1\r\nHost: x\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


@pytest.mark.parametrize(
    "fields",
    [
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: 5, 6"],
        [b"Content-Length: +5"],
        [b"Content-Length: -5"],
        [b"Content-Length: 0x5"],
        [b"Content-Length: 5 5"],
        [b"Content-Length: five"],
        [b"Content-Length:"],
        [b"Content-Length: 5.0"],
        [b"Content-Length: 99999999999999999999999"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked, chunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"],
        [b"Transfer-Encoding: chunked, gzip"],
        [b"Transfer-Encoding: xchunked"],
        [b"Transfer-Encoding: chunked;q=1"],
        [b"Transfer-Encoding: \x0bchunked"],
        [b"Transfer-Encoding:"],
        [b"Transfer-Encoding : chunked"],
        [b"Transfer-Encoding\t: chunked"],
        [b"X: 1\r\n Transfer-Encoding: chunked"],
        [b"X: 1\nTransfer-Encoding: chunked"],
        [b"X: 1\rTransfer-Encoding: chunked"],
    ],
    ids=repr,
)
def test_ambiguous_lengths_are_refused(gateway, backend, fields):
    assert_refused(gateway, post(*fields), 400, 501)
    assert backend.started == 0


@pytest.mark.parametrize("field", [b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: gzip", b"Transfer-Encoding: identity"])
def test_other_transfer_codings_are_refused(gateway, backend, field):
    assert_refused(gateway, post(field), 400, 501)
    assert backend.started == 0


def test_chunked_in_http_10_is_refused(gateway, backend):
    assert_refused(gateway, b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert backend.started == 0


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\nY: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x01b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x7fb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX\xff: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX(y): a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: user@x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x:port\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / \r\nHost: x\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
        b"GET\t/\tHTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GE(T / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / http/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/11\r\nHost: x\r\n\r\n",
        b"GET / FTP/1.1\r\nHost: x\r\n\r\n",
        b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http:///nohost HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://user:pw@x/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x00\x00\x00\r\n\r\n",
    ],
    ids=repr,
)
def test_malformed_heads_are_refused(gateway, backend, data):
    with gateway.client() as client:
        client.send(data + SMUGGLED)
        response = client.read_response()
        assert response.status in (400, 405, 501) if data.startswith((b"\x16", b"\x00", b" GET", b"GE(")) else response.status == 400, response
        client.expect_close()
    assert backend.started == 0


@pytest.mark.parametrize("line", [b"GET / HTTP/2.0", b"GET / HTTP/3.0", b"PRI * HTTP/2.0"])
def test_other_versions_are_refused(gateway, backend, line):
    assert_refused(gateway, line + b"\r\nHost: x\r\n\r\n", *((400, 505) if b"PRI" in line else (505,)))
    assert backend.started == 0


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;a\x00b\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        b"5\r\nhello\r\n0\n\n",
    ],
    ids=repr,
)
def test_malformed_chunks_are_refused(gateway, backend, body):
    with gateway.client() as client:
        client.send(post(b"Transfer-Encoding: chunked", body=body + SMUGGLED))
        client.reader.sock.settimeout(3)
        assert client.read_response().status == 400
        client.expect_close()
    assert backend.hits == 0, "a malformed body arrived as a whole one"


def test_a_body_that_ends_early_never_looks_whole(gateway, backend):
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this")
        eventually(lambda: backend.started, within=2)
    eventually(lambda: backend.open_connections, 0, within=3)
    assert backend.hits == 0


def test_nothing_after_a_refused_request_is_read(gateway, backend):
    with gateway.client() as client:
        client.send(request_bytes("GET", "/first") + b"GET / HTTP/1.1\r\nBroken\r\n\r\n" + SMUGGLED)
        assert client.read_response().status == 200
        assert client.read_response().status == 400
        client.expect_close()
    assert backend.paths() == ["/first"]


def test_odd_but_valid_heads_are_accepted(gateway, backend):
    data = b"GET /odd HTTP/1.1\r\nhOsT:x\r\nX-Tabs:\t a\tb \t\r\nX-Empty:\r\nX-Obs: \xe9\r\n!#$%&'*+-.^_`|~9: token\r\n\r\n"
    with gateway.client() as client:
        client.send(data)
        assert client.read_response().status == 200
    assert backend.last.fields["x-tabs"] == "a\tb"
    assert backend.last.fields["!#$%&'*+-.^_`|~9"] == "token"


# Upstreams


@pytest.mark.parametrize(
    "data",
    [
        b"this is not HTTP\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n X: folded start\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
    ],
    ids=repr,
)
def test_malformed_answers_are_502(gateway, backend, data):
    backend.default = raw(data, then="close")
    response = gateway.get("/")
    response.problem(502, "upstream_failed")
    assert b"not HTTP" not in response.body


def test_a_reset_is_no_end_of_a_body(gateway, backend):
    """Even when the gateway hears of both at once: it is held while they come."""

    def handler(exchange):
        gateway.signal(signal.SIGSTOP)
        eventually(gateway.is_stopped)
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\nonly a part")
        exchange.reset()
        gateway.signal(signal.SIGCONT)

    backend.default = handler
    with gateway.client() as client, pytest.raises((Truncated, Closed)):
        client.send_request("GET", "/")
        response = client.read_response()
        assert response.status == 502, "a part looked whole"
        raise Truncated("the reset overtook the head")


def test_an_endless_head_is_502(gateway, backend):
    def handler(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\n")
        for number in range(100_000):
            exchange.send(b"X-%d: %s\r\n" % (number, b"y" * 1000))

    backend.default = handler
    gateway.get("/").problem(502, "upstream_failed")


def test_a_flood_of_interim_answers_does_no_harm(gateway, backend):
    def handler(exchange):
        for _ in range(1000):
            exchange.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 10)
        exchange.reply()

    backend.on("/flood", handler)
    try:
        assert gateway.get("/flood").status in (200, 502)
    except (Truncated, Closed):
        pass
    assert gateway.get("/").status == 200


@pytest.mark.parametrize(
    "extra",
    [b"HTTP/1.1 200 OK\r\nX-Backend: poison\r\nContent-Length: 6\r\n\r\npoison", b"garbage", b"\r\n"],
    ids=["a-whole-answer", "garbage", "an-empty-line"],
)
def test_bytes_behind_an_answer_never_reach_the_next_request(make, backend, extra):
    gateway = make.gateway(one_upstream(backend), workers=1)
    backend.on("/poison", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + extra))
    with gateway.client() as client:
        for _ in range(5):
            assert client.get("/poison").body == b"ok"
            assert client.get("/").body == b"backend"


def test_late_bytes_on_a_pooled_connection_never_reach_the_next_request(make, backend):
    gateway = make.gateway(one_upstream(backend), workers=1)
    connections = []

    def handler(exchange):
        connections.append(exchange.connection)
        exchange.reply(200, b"ok")

    backend.on("/poison", handler)
    with gateway.client() as client:
        assert client.get("/poison").body == b"ok"
        connections[0].send(b"HTTP/1.1 200 OK\r\nX-Backend: poison\r\nContent-Length: 6\r\n\r\npoison")
        for _ in range(3):
            assert client.get("/").body == b"backend"


@pytest.mark.parametrize("method, head", [("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"), ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n"), ("GET", b"HTTP/1.1 204 No Content\r\n\r\n")])
def test_a_body_where_none_belongs_never_reaches_the_next_request(make, backend, method, head):
    gateway = make.gateway(one_upstream(backend), workers=1)
    backend.on("/bare", raw(head + b"HTTP/1"))
    with gateway.client() as client:
        for _ in range(3):
            assert client.request(method, "/bare").body == b""
            assert client.get("/").body == b"backend"


def test_an_upstreams_line_breaks_cannot_split_a_response(gateway, backend):
    backend.default = answer(fields=[("X-Value", "a"), ("X-Other", "b")])
    response = gateway.get("/")
    assert response.fields["x-value"] == "a" and response.fields["x-other"] == "b"
