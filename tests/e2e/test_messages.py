"""Messages of every shape through the gateway: lengths, chunks, trailers, interim answers, versions, pipelines."""

import hashlib
import random
import threading
import time

import pytest

from harness.backend import answer, dribbles, hangs_up, raw, streaming
from harness.client import request_bytes
from harness.documents import one_upstream
from harness.lictor import is_sanitized
from harness.wait import eventually
from harness.wire import Closed, Truncated

MiB = 1 << 20


@pytest.fixture(scope="module")
def backend(make_once):
    return make_once.backend()


@pytest.fixture(scope="module")
def gateway(make_once, backend):
    return make_once.gateway(one_upstream(backend, route={"timeout": "0s"}))


@pytest.fixture(autouse=True)
def fresh(backend):
    yield
    backend.clear()


# Requests


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 100_000, [b"one", b"two"], [b"x" * 70_000] * 3, []], ids=["empty", "one", "long", "chunks", "large-chunks", "no-chunks"])
def test_a_request_body_arrives(gateway, backend, body):
    assert gateway.request("POST", "/", body=body).status == 200
    assert backend.last.body == (b"".join(body) if isinstance(body, list) else body)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS"])
def test_any_method_may_have_a_body(gateway, backend, method):
    assert gateway.request(method, "/", body=b"some").status == 200
    assert (backend.last.method, backend.last.body) == (method, b"some")


@pytest.mark.parametrize("method", ["PURGE", "PROPFIND", "REPORT", "M-SEARCH"])
def test_known_extension_methods_pass(gateway, backend, method):
    assert gateway.request(method, "/").status == 200
    assert backend.last.method == method


def test_an_unknown_method_passes_or_is_501(gateway, backend):
    with gateway.client() as client:
        client.send(request_bytes("BREW", "/"))
        status = client.read_response().status
    assert status in (200, 501)
    assert backend.hits == (1 if status == 200 else 0)


def test_a_request_without_a_body_stays_so(gateway, backend):
    gateway.get("/")
    assert not {"content-length", "transfer-encoding"} & backend.last.fields.names


def test_request_trailers_stay_trailers(gateway, backend):
    gateway.request("POST", "/", body=[b"data"], trailers={"Checksum": "abc", "X-Last": "1"}, fields={"Trailer": "Checksum"})
    assert backend.last.body == b"data"
    assert backend.last.trailers["checksum"] == "abc" and backend.last.trailers["x-last"] == "1"
    assert "checksum" not in backend.last.fields


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "X-Forwarded-For", "Authorization"])
def test_a_trailer_cannot_pose_as_a_header(gateway, backend, name):
    with gateway.client() as client:
        client.send_request("POST", "/", body=[b"data"], trailers={name: "forged"})
        status = client.read_response().status
    assert status in (200, 400)
    if status == 200:
        assert "forged" not in str(backend.last.fields)


def test_chunk_extensions_do_not_pass(gateway, backend):
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4;name=\"value\"\r\ndata\r\n0;last\r\n\r\n")
        assert client.read_response().status == 200
    assert backend.last.body == b"data"


def test_a_byte_at_a_time(gateway, backend):
    data = request_bytes("POST", "/drip", body=[b"abc", b"defgh"], trailers={"Sum": "8"}, fields={"X-Field": "value"})
    with gateway.client() as client:
        for position in range(len(data)):
            client.send(data[position : position + 1])
        assert client.read_response().status == 200
    assert backend.last.body == b"abcdefgh" and backend.last.trailers["sum"] == "8"


def test_empty_lines_before_a_request_are_forgiven(gateway):
    with gateway.client() as client:
        client.send(b"\r\n\r\n" + request_bytes("GET", "/"))
        assert client.read_response().status == 200


# Expect: 100-continue


def test_the_client_is_told_to_go_on(gateway, backend):
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert client.reader.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(b"data")
        assert client.read_response().status == 200
        assert client.get("/").status == 200
    assert backend.requests[0].body == b"data"


def test_a_body_that_does_not_wait_for_100_is_fine(gateway, backend):
    response = gateway.request("POST", "/", body=b"data", fields={"Expect": "100-continue"})
    assert response.status == 200 and len(response.interim) <= 1
    assert backend.last.body == b"data"


def test_an_upstream_can_refuse_before_the_body(gateway, backend):
    @streaming
    def refuse(exchange):
        exchange.reply(413, b"too much", {"Connection": "close"})
        exchange.keep_open = False

    backend.on("/upload", refuse)
    with gateway.client() as client:
        client.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
        assert client.read_response().status == 413


def test_another_expectation_is_417_or_ignored(gateway):
    assert gateway.request("POST", "/", body=b"x", fields={"Expect": "miracles"}).status in (200, 417)


# Responses


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 300_000, [b"one", b"two"], []], ids=["empty", "one", "long", "chunks", "no-chunks"])
def test_a_response_body_arrives_in_its_framing(gateway, backend, body):
    backend.default = answer(body=body)
    response = gateway.get("/")
    assert response.body == (b"".join(body) if isinstance(body, list) else body)
    assert response.framing == ("chunked" if isinstance(body, list) else "length")


def test_response_trailers_stay_trailers(gateway, backend):
    backend.default = answer(body=[b"data"], trailers={"Checksum": "abc"}, fields={"Trailer": "Checksum"})
    response = gateway.get("/", fields={"TE": "trailers", "Connection": "TE"})
    assert response.trailers["checksum"] == "abc" and "checksum" not in response.fields


def test_early_hints_pass(gateway, backend):
    hint = raw(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")

    def handler(exchange):
        hint(exchange)
        exchange.reply()

    backend.default = handler
    response = gateway.get("/")
    assert response.status == 200
    assert [(one.status, one.fields["link"]) for one in response.interim] == [(103, "</style.css>; rel=preload")]


@pytest.mark.parametrize(
    "method, head",
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n"),
    ],
)
def test_answers_without_a_body_keep_the_connection_usable(gateway, backend, method, head):
    backend.on("/bare", raw(head))
    with gateway.client() as client:
        response = client.request(method, "/bare")
        assert str(response.status).encode() in head and response.body == b""
        assert client.get("/").body == b"backend"


def test_head_keeps_the_content_length(gateway, backend):
    backend.default = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
    assert gateway.request("HEAD", "/").fields["content-length"] == "1234"


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_a_response_that_ends_with_the_connection(gateway, backend, version):
    backend.on("/until-close", raw(version + b" 200 OK\r\n\r\nall of it", then="close"))
    with gateway.client() as client:
        response = client.get("/until-close")
        assert response.body == b"all of it"
        if response.framing == "chunked":
            assert client.get("/").status == 200


def test_a_response_flows_while_it_is_made(gateway, backend):
    backend.default = dribbles(b"first", b"second", interval=0.3)
    with gateway.client() as client:
        client.send_request("GET", "/")
        pieces = client.body_pieces(client.read_response_head())
        assert next(pieces) == b"first"
        began = time.monotonic()
        assert next(pieces) == b"second"
        assert time.monotonic() - began > 0.1


def test_a_request_flows_while_it_is_made(gateway, backend):
    seen = []

    @streaming
    def handler(exchange):
        seen.extend(exchange.body_pieces())
        exchange.reply()

    backend.default = handler
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        eventually(lambda: seen, lambda pieces: pieces == [b"first"], within=2)
        client.send(b"0\r\n\r\n")
        assert client.read_response().status == 200


def test_an_answer_may_come_before_the_request_has_ended(gateway, backend):
    @streaming
    def handler(exchange):
        exchange.reply(403, b"enough")
        exchange.close()

    backend.default = handler
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        response = client.read_response()
        assert (response.status, response.body) == (403, b"enough")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\nxyz\r\n",
    ],
    ids=["length", "between-chunks", "inside-chunk", "before-trailers", "bad-chunk"],
)
@pytest.mark.parametrize("then", ["close", "reset"])
def test_a_response_cut_short_is_cut_short_for_the_client(gateway, backend, data, then):
    backend.default = raw(data, then=then)
    with gateway.client() as client, pytest.raises((Truncated, Closed)):
        client.send_request("GET", "/")
        response = client.read_response()
        assert then == "reset" and response.status == 502, "a cut response looked whole"
        raise Truncated("the reset overtook the head")


def test_a_response_cut_before_its_head_is_502(gateway, backend):
    backend.default = raw(b"HTTP/1.1 200 OK\r\nContent-Le", then="close")
    gateway.get("/").problem(502, "upstream_failed")
    backend.default = hangs_up
    gateway.request("POST", "/", body=b"x").problem(502, "upstream_failed")


# HTTP/1.0


def test_http_10_gets_no_chunks(gateway, backend):
    backend.default = answer(body=[b"one", b"two"])
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        response = client.read_response()
        assert response.body == b"onetwo" and response.framing != "chunked"
        client.expect_close()


def test_http_10_closes_after_the_answer(gateway):
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        assert client.read_response().status == 200
        client.expect_close()


def test_http_10_can_ask_for_keep_alive(gateway):
    with gateway.client() as client:
        for _ in range(3):
            client.send(b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
            response = client.read_response()
            assert response.status == 200
            assert "keep-alive" in [token.lower() for token in response.fields.tokens("connection")]


def test_http_10_without_host_reaches_the_upstream_as_http_11_with_one(gateway, backend):
    with gateway.client() as client:
        client.send(b"GET /old HTTP/1.0\r\n\r\n")
        assert client.read_response().status == 200
    assert backend.last.target == "/old"
    assert len(backend.last.fields.all("host")) == 1


def test_http_10_gets_no_interim_answers(gateway, backend):
    backend.default = raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        response = client.read_response()
        assert response.status == 200 and response.interim == []


# Connections


def test_a_connection_serves_many_requests(gateway, backend):
    with gateway.client() as client:
        assert all(client.get("/").status == 200 for _ in range(100))
    assert len({request.connection for request in backend.requests}) <= 2


def test_connection_close_is_honoured(gateway):
    with gateway.client() as client:
        response = client.get("/", fields={"Connection": "close"})
        assert response.closes
        client.expect_close()


def test_an_upstream_that_closes_does_not_close_the_client(gateway, backend):
    backend.default = raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", then="close")
    with gateway.client() as client:
        for _ in range(20):
            response = client.get("/")
            assert response.status == 200 and not response.closes


def test_a_client_that_closes_its_side_counts_as_gone(gateway, backend):
    """As in nginx: a closed connection looks the same, and nobody may be left to read the answer."""
    backend.default = answer(delay=0.1)
    with gateway.client() as client:
        client.send_request("GET", "/")
        client.half_close()
        client.expect_close()
    eventually(lambda: gateway.admin.metrics().sum("lictor_requests_total", code=499) > 0)


def test_pipelined_requests_are_answered_in_order(gateway, backend):
    for number in range(10):
        backend.on(f"/{number}", answer(body=f"answer {number}".encode(), delay=0.05 if number % 3 == 0 else 0))
    with gateway.client() as client:
        client.send(b"".join(request_bytes("GET", f"/{number}") for number in range(10)))
        assert [client.read_response().text for _ in range(10)] == [f"answer {number}" for number in range(10)]


def test_pipelined_bodies_stay_with_their_requests(gateway, backend):
    bodies = [b"a" * 10, [b"b" * 1000, b"c"], b"", b"d" * 70_000, [b"e"]]
    with gateway.client() as client:
        client.send(b"".join(request_bytes("POST", "/", body=body) for body in bodies))
        assert [client.read_response().status for _ in bodies] == [200] * 5
    assert [request.body for request in backend.requests] == [b"".join(b) if isinstance(b, list) else b for b in bodies]


def test_nothing_is_answered_after_close(gateway, backend):
    with gateway.client() as client:
        client.send(request_bytes("GET", "/1") + request_bytes("GET", "/2", fields={"Connection": "close"}) + request_bytes("GET", "/3"))
        assert [client.read_response().status for _ in range(2)] == [200, 200]
        client.expect_close()
    assert "/3" not in backend.paths()


def test_a_local_reply_in_a_pipeline_keeps_its_place(make, backend):
    gateway = make.gateway({**one_upstream(backend), "routes/all": {"path": "/here/*", "service": "web"}})
    with gateway.client() as client:
        client.send(b"".join(request_bytes("GET", target) for target in ("/here/1", "/nowhere", "/here/2")))
        assert [client.read_response().status for _ in range(3)] == [200, 404, 200]


def test_a_local_reply_to_a_request_with_a_body_keeps_the_connection_in_step(make, backend):
    gateway = make.gateway({**one_upstream(backend), "routes/all": {"path": "/here", "service": "web"}})
    with gateway.client() as client:
        client.send(request_bytes("POST", "/nowhere", body=b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"))
        response = client.read_response()
        response.problem(404, "no_route")
        if not response.closes:
            assert client.get("/here").status == 200
    assert "/smuggled" not in backend.paths()


# Large bodies and slow readers


def blocks(total, seed=7, size=64 * 1024):
    """The same random bytes for the same seed, without holding them."""
    source = random.Random(seed)
    while total:
        block = source.randbytes(min(size, total))
        total -= len(block)
        yield block


def digest(pieces):
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(piece)
    return whole.hexdigest()


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_large_upload_arrives_whole(gateway, backend, chunked):
    size, received = 24 * MiB, []

    @streaming
    def handler(exchange):
        received.append(digest(exchange.body_pieces()))
        exchange.reply()

    backend.default = handler
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\n" + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % size))
        for block in blocks(size):
            client.send(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
        if chunked:
            client.send(b"0\r\n\r\n")
        assert client.read_response().status == 200
    assert received == [digest(blocks(size))]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_large_download_arrives_whole(gateway, backend, chunked):
    size = 24 * MiB

    def handler(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % size))
        for block in blocks(size):
            exchange.send(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
        if chunked:
            exchange.send(b"0\r\n\r\n")

    backend.default = handler
    with gateway.client() as client:
        client.send_request("GET", "/")
        assert digest(client.body_pieces(client.read_response_head())) == digest(blocks(size))


# What the kernel's buffers on two connections may take, and what the gateway may add of its own.
KERNEL_BUFFERS = 48 * MiB
OWN_MEMORY = (64 if is_sanitized() else 4) * MiB
PATIENCE = 1.0


def stalls_at(progress):
    """Waits until a counter stands still, and returns it."""
    last, since = progress[0], time.monotonic()
    while time.monotonic() - since < PATIENCE:
        time.sleep(0.05)
        if progress[0] != last:
            last, since = progress[0], time.monotonic()
    return last


def test_a_slow_reader_stops_the_upstream(gateway, backend):
    size, progress = 96 * MiB, [0]

    def handler(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for block in blocks(size):
            exchange.send(block)
            progress[0] += len(block)

    backend.default = handler
    before = gateway.rss()
    with gateway.client(receive_buffer=64 * 1024) as client:
        client.send_request("GET", "/")
        response = client.read_response_head()
        assert stalls_at(progress) < KERNEL_BUFFERS
        assert gateway.rss() - before < OWN_MEMORY
        assert digest(client.body_pieces(response)) == digest(blocks(size))
    assert gateway.rss() - before < OWN_MEMORY


def test_a_slow_upstream_stops_the_client(make):
    backend = make.backend(receive_buffer=64 * 1024)
    gateway = make.gateway(one_upstream(backend, route={"timeout": "0s"}))
    size, progress, received, go_on = 96 * MiB, [0], [], []

    @streaming
    def handler(exchange):
        eventually(lambda: go_on, within=30)
        received.append(digest(exchange.body_pieces()))
        exchange.reply()

    backend.default = handler
    before = gateway.rss()
    with gateway.client(timeout=30) as client:

        def upload():
            client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
            for block in blocks(size):
                client.send(block)
                progress[0] += len(block)

        uploader = threading.Thread(target=upload, daemon=True)
        uploader.start()
        assert stalls_at(progress) < KERNEL_BUFFERS
        assert gateway.rss() - before < OWN_MEMORY
        go_on.append(True)
        uploader.join(timeout=30)
        assert client.read_response().status == 200
    assert received == [digest(blocks(size))]


def test_a_slow_reader_does_not_hold_up_others(gateway, backend):
    backend.on("/big", answer(body=b"x" * (16 * MiB)))
    with gateway.client(receive_buffer=64 * 1024) as slow:
        slow.send_request("GET", "/big")
        slow.read_response_head()
        began = time.monotonic()
        with gateway.client() as quick:
            assert all(quick.get("/").status == 200 for _ in range(50))
        assert time.monotonic() - began < 2


def test_a_client_that_goes_away_frees_the_upstream(gateway, backend):
    gone = []

    def handler(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                exchange.send(b"4\r\ndata\r\n")
                time.sleep(0.01)
        except OSError:
            gone.append(True)
            raise

    backend.default = handler
    with gateway.client() as client:
        client.send_request("GET", "/")
        client.read_response_head()
        client.reset()
    eventually(lambda: gone, within=2)
