"""The corpus (tests/corpus) against the real binary: every message once in one piece and once byte by byte, with the same
verdict. A recording upstream tells what came through."""

import pytest

from harness import corpus
from harness.documents import one_upstream
from harness.recorder import Recorder, Script, pieces
from harness.wire import Closed, Truncated

PROBE = b"GET /next HTTP/1.1\r\nHost: probe\r\n\r\n"
ASKS = {
    "GET": b"GET /asked HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD": b"HEAD /asked HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET 1.0": b"GET /asked HTTP/1.0\r\nHost: x\r\n\r\n",
    "GET upgrade": b"GET /asked HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n",
}

@pytest.fixture(scope="module")
def recorder(make_once):
    return make_once.keep(Recorder())


@pytest.fixture(scope="module")
def gateway(make_once, recorder):
    documents = one_upstream(recorder, ejection={"consecutive_failures": 0})
    documents["routes/gone"] = {"path": "/gone", "filters": [{"respond": {"status": 410, "body": "gone"}}]}
    # One worker: what it does for one connection comes before what a later byte on another asks for.
    return make_once.gateway(documents, workers=1, limits={"body_bytes": "64KiB"})


@pytest.fixture(scope="module")
def fence(gateway):
    with gateway.client() as client:
        yield client


class Heard:
    """A socket that keeps a copy of what was read."""

    def __init__(self, sock):
        self._sock, self.bytes = sock, b""

    def recv(self, *how):
        data = self._sock.recv(*how)
        self.bytes += data
        return data

    def __getattr__(self, name):
        return getattr(self._sock, name)


def heard(client):
    client.sock = client.reader.sock = Heard(client.sock)
    return client


def send(client, data, one_by_one):
    """As far as the gateway takes it: it may close in the middle of what it refuses."""
    try:
        for piece in pieces(data, one_by_one):
            client.send(piece)
    except ConnectionError:
        pass


# What clients send


def expected_upstream(case):
    """[(method, target, body)] of the requests that arrive whole."""
    found = []
    for text in case.all("upstream"):
        if text not in ("begins", "any"):
            method, target, *body = text.split(" ", 2)
            found.append((method, target, corpus.unescape(body[0]) if body else b""))
    return found


def converse(client, case, one_by_one):
    """Sends the case and a probe behind it; returns the statuses that came."""
    wanted = case.one("answer").split(" ")
    if wanted == ["none"]:
        send(client, case.bytes, one_by_one)
        client.expect_silence(0.2)
        return []
    send(client, case.bytes + PROBE, one_by_one)
    statuses = []
    method = case.bytes.split(b" ", 1)[0].decode("latin-1")
    for _ in case.one("answer").replace(" | ", "|").split(" "):
        response = client.read_response("HEAD" if method == "HEAD" else "GET")
        statuses.append(response.status)
        if response.status == 400 and method != "HEAD":
            response.problem(400, "bad_request")
    then = case.one("then", "close" if statuses[-1] >= 400 else "next")
    if then == "close":
        client.expect_close()
    else:
        response = client.read_response()
        assert (response.status, response.backend) == (200, "recorder"), f"the next request got {response}"
    return statuses


def check_statuses(case, statuses):
    wanted = [one.split("|") for one in case.one("answer").replace(" | ", "|").split(" ")]
    if wanted == [["none"]]:
        wanted = []
    assert len(statuses) == len(wanted) and all(str(got) in right for got, right in zip(statuses, wanted)), statuses


def check_upstream(case, recorder):
    whole = recorder.whole()
    if "any" not in case.all("upstream"):
        assert [(one.method, one.target, one.body) for one in whole] == expected_upstream(case)
    if "begins" not in case.all("upstream"):
        assert recorder.begun() == 0, "a part of a request reached the upstream"
    for text in case.all("lacks"):
        assert all(text.lower().encode() not in one.raw.lower() for one in whole), f"{text} went through"
    for text in case.all("with"):
        assert text in whole[-1].fields
    for text in case.all("has"):
        name, _, value = text.partition(": ")
        assert whole[-1].fields.one(name) == corpus.unescape(value).decode("latin-1")
    for text in case.all("trailer"):
        name, _, value = text.partition(": ")
        assert whole[-1].trailers.one(name) == value


def request_verdict(gateway, recorder, fence, case, one_by_one):
    recorder.clear()
    with gateway.client() as client:
        statuses = converse(client, case, one_by_one)
    assert fence.get("/fence").status == 200
    assert not recorder.violations, recorder.violations
    check_statuses(case, statuses)
    check_upstream(case, recorder)
    if case.one("then", "next" if statuses and statuses[-1] < 400 else "close") == "close":
        assert not [one for one in recorder.requests if one.target == "/next"], "a request behind it was served"
    return statuses


@pytest.mark.parametrize("case", corpus.read("requests"), ids=lambda case: case.id)
def test_a_request(gateway, recorder, fence, case):
    whole = request_verdict(gateway, recorder, fence, case, one_by_one=False)
    assert request_verdict(gateway, recorder, fence, case, one_by_one=True) == whole, "the verdict depends on the pieces"


# What upstreams answer


def hear(client, method):
    """(status, body): all of it; or ("cut", what there was of the body)."""
    body = b""
    try:
        response = client.read_response_head(method)
        for piece in client.body_pieces(response):
            body += piece
    except (Truncated, Closed):
        return "cut", body
    if response.status == 502 and method != "HEAD":
        response.body = body
        response.problem(502, "upstream_failed")
        return 502, b""
    return response.status, body


def check_client(case, status, body):
    wanted, _, text = case.one("client").partition(" ")
    if case.one("upstream") == "resets" and status == 502:
        return  # a reset may take with it what was sent before
    assert str(status) == wanted, (status, body)
    if status == "cut":
        assert corpus.unescape(text).startswith(body)
    elif status != 502:
        assert body == corpus.unescape(text)


def next_request(client, gateway):
    """On the same connection if that may go on."""
    try:
        return client.get("/next")
    except (Truncated, Closed, OSError):
        return gateway.get("/next")


def response_verdict(gateway, recorder, fence, case, one_by_one):
    recorder.clear()
    script = Script(case.bytes, case.one("upstream", "stays"), one_by_one)
    recorder.script = script
    ask = case.one("ask", "GET")
    with heard(gateway.client()) as client:
        client.send(ASKS[ask])
        status, body = hear(client, ask.split(" ")[0])
        assert script.done.wait(5)
        # Answered without the upstream, by the same worker: by now it has read all that the script sent.
        assert fence.get("/gone").status == 410
        response = next_request(client, gateway)
        assert (response.status, response.backend) == (200, "recorder"), f"the next request got {response}"
        said = client.sock.bytes
    check_client(case, status, body)
    # A pooled connection that ends without a byte is asked again on another one.
    assert {one.target for one in recorder.whole()} == {"/asked"}
    kept = recorder.requests[-1].connection == script.connection
    assert kept == (case.one("connection") == "kept"), f"the upstream's connection was {'kept' if kept else 'dropped'}"
    for text in case.all("lacks"):
        assert text.lower().encode() not in said.lower(), f"{text} went through"
    return status


@pytest.mark.parametrize("case", corpus.read("responses"), ids=lambda case: case.id)
def test_a_response(gateway, recorder, fence, case):
    whole = response_verdict(gateway, recorder, fence, case, one_by_one=False)
    split = response_verdict(gateway, recorder, fence, case, one_by_one=True)
    assert split == whole or case.one("upstream") == "resets", "the verdict depends on the pieces"
