"""compress: bodies encoded on their way, by what the client accepts."""

import ctypes
import ctypes.util
import json
import threading
import zlib

import pytest

from harness.backend import answer
from harness.client import Client
from harness.documents import one_upstream
from harness.lictor import is_sanitized

TEXT = json.dumps([{"id": number, "name": f"user {number}", "tags": ["a", "b"]} for number in range(2000)]).encode()
JSON = {"Content-Type": "application/json"}


def _decompress_brotli(data):
    library = ctypes.CDLL("libbrotlidec.so.1")
    out, size = ctypes.create_string_buffer(1 << 22), ctypes.c_size_t(1 << 22)
    assert library.BrotliDecoderDecompress(ctypes.c_size_t(len(data)), data, ctypes.byref(size), out) == 1
    return out.raw[: size.value]


def _decompress_zstd(data):
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_decompress.restype = ctypes.c_size_t
    out = ctypes.create_string_buffer(1 << 22)
    size = library.ZSTD_decompress(out, ctypes.c_size_t(1 << 22), data, ctypes.c_size_t(len(data)))
    assert size < 1 << 22
    return out.raw[:size]


DECODE = {"gzip": lambda data: zlib.decompress(data, 31), "br": _decompress_brotli, "zstd": _decompress_zstd}


@pytest.fixture(scope="module")
def backend(make_once):
    return make_once.backend()


@pytest.fixture(scope="module")
def gateway(make_once, backend):
    return make_once.gateway(one_upstream(backend, route={"filters": [{"compress": {}}]}))


@pytest.fixture(autouse=True)
def fresh(backend):
    yield
    backend.clear()


def get(gateway, accept="gzip, br, zstd", method="GET", **how):
    return gateway.request(method, "/", fields={"Accept-Encoding": accept} if accept is not None else {}, **how)


@pytest.mark.parametrize("chunked", [False, True], ids=["known length", "chunked"])
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_every_coding_gives_back_the_body(gateway, backend, coding, chunked):
    backend.default = answer(body=[TEXT[at : at + 5000] for at in range(0, len(TEXT), 5000)] if chunked else TEXT, fields=JSON)
    response = get(gateway, coding)
    assert response.fields["content-encoding"] == coding
    assert "content-length" not in response.fields
    assert len(response.body) < len(TEXT) / 3
    assert DECODE[coding](response.body) == TEXT


@pytest.mark.parametrize(
    "accept, want",
    [("gzip, br, zstd", "zstd"), ("gzip;q=1, br;q=0.5, zstd;q=0", "gzip"), ("*", "zstd"), ("gzip, identity;q=0", "gzip"),
     ("identity", None), ("gzip;q=0", None), ("deflate", None), ("", None), (None, None)],
)  # fmt: skip
def test_the_client_chooses(gateway, backend, accept, want):
    backend.default = answer(body=TEXT, fields=JSON)
    response = get(gateway, accept)
    assert response.fields.get("content-encoding") == want
    assert response.fields["vary"] == "Accept-Encoding"  # whoever asked
    assert (DECODE[want](response.body) if want else response.body) == TEXT


@pytest.mark.parametrize(
    "fields, body, status",
    [({"Content-Type": "image/png"}, TEXT, 200), ({}, TEXT, 200), ({**JSON, "Content-Encoding": "br"}, TEXT, 200), (JSON, b"[]", 200),
     ({**JSON, "Cache-Control": "no-transform"}, TEXT, 200), ({"Content-Type": "text/event-stream"}, TEXT, 200),
     ({**JSON, "Content-Range": f"bytes 0-{len(TEXT) - 1}/{len(TEXT)}"}, TEXT, 206), (JSON, b"", 204)],
    ids=["another type", "no type", "encoded", "small", "no-transform", "events", "a part", "204"],
)  # fmt: skip
def test_what_is_left_alone(gateway, backend, fields, body, status):
    backend.default = answer(status, body, {**fields, "ETag": '"a"'})
    response = get(gateway)
    assert response.status == status and response.body == body
    assert response.fields.get("content-encoding") == fields.get("Content-Encoding")
    assert response.fields["etag"] == '"a"' and "vary" not in response.fields


def test_validators_are_weak_and_ranges_are_not_offered(gateway, backend):
    backend.default = answer(body=TEXT, fields={**JSON, "ETag": '"a"', "Accept-Ranges": "bytes", "Vary": "Origin"})
    fields = get(gateway).fields
    assert fields["etag"] == 'W/"a"' and "accept-ranges" not in fields
    backend.default = answer(304, fields={"ETag": '"a"'})
    assert get(gateway).fields["etag"] == 'W/"a"'
    assert get(gateway, "identity").fields["etag"] == '"a"'


def test_head_says_what_get_would(gateway, backend):
    backend.default = answer(body=TEXT, fields={**JSON, "ETag": '"a"'})
    got, head = get(gateway), get(gateway, method="HEAD")
    for name in ("content-encoding", "etag", "vary", "content-type", "content-length"):
        assert head.fields.get(name) == got.fields.get(name)
    assert head.body == b""
    small = answer(body=b"[]", fields=JSON)
    backend.default = small
    assert get(gateway, method="HEAD").fields["content-length"] == "2"


def test_a_slow_stream_is_not_held_back(gateway, backend):
    seen = threading.Event()

    def slow(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst \r\n")
        assert seen.wait(5)
        exchange.send(b"6\r\nsecond\r\n0\r\n\r\n")

    backend.default = slow
    with Client(gateway.address) as client:
        client.send_request("GET", "/", fields={"Accept-Encoding": "gzip"})
        response = client.read_response_head()
        decoder, text = zlib.decompressobj(31), b""
        for piece in client.body_pieces(response):
            text += decoder.decompress(piece)
            if text == b"first ":
                seen.set()
        assert text == b"first second" and decoder.eof


def test_an_upstream_that_breaks_off_breaks_off(gateway, backend):
    def broken(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50000)
        exchange.close()

    backend.default = broken
    with Client(gateway.address) as client:
        client.send_request("GET", "/", fields={"Accept-Encoding": "gzip"})
        with pytest.raises(Exception):
            client.read_response()


def test_http_1_0_gets_it_until_the_close(gateway, backend):
    backend.default = answer(body=TEXT, fields=JSON)
    with Client(gateway.address) as client:
        client.send_request("GET", "/", fields={"Accept-Encoding": "gzip"}, version="HTTP/1.0")
        response = client.read_response()
        assert response.framing == "close" and DECODE["gzip"](response.body) == TEXT


def test_a_body_of_many_megabytes_needs_little_memory(gateway, backend):
    piece = TEXT[:60000]

    def large(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % (len(piece) * 500))
        for _ in range(500):
            exchange.send(piece)

    backend.default = large
    get(gateway, "gzip")
    before = gateway.rss()
    for coding in ("gzip", "br", "zstd"):
        with Client(gateway.address, timeout=30) as client:
            client.send_request("GET", "/", fields={"Accept-Encoding": coding})
            response = client.read_response_head()
            sizes = [len(part) for part in client.body_pieces(response)]
            assert 0 < sum(sizes) < len(piece) * 100
    assert gateway.rss() - before < (64 if is_sanitized() else 16) << 20


def test_answers_of_the_gateways_own_are_encoded_too(make, backend):
    documents = {"routes/page": {"path": "/*", "filters": [{"compress": {"encodings": ["gzip"], "min_bytes": 10}}, {"respond": {"status": 200, "body": "hello " * 100}}]}}
    gateway = make.gateway(documents)
    response = get(gateway)
    assert DECODE["gzip"](response.body) == b"hello " * 100
