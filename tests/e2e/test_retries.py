"""A request that met a dead connection or instance is tried elsewhere when that is safe, and only then."""

import time

import pytest

from harness.backend import Refusing, answer, hangs_up, resets, then_default
from harness.documents import one_upstream
from harness.load import tally
from harness.wait import eventually


@pytest.fixture
def backend(make):
    return make.backend()


NEVER_EJECT = {"consecutive_failures": 0}


def start(make, *targets, **bootstrap):
    return make.gateway(one_upstream(*targets, ejection=NEVER_EJECT), workers=1, **bootstrap)


@pytest.mark.parametrize("method, body", [("GET", None), ("POST", b"data"), ("POST", [b"da", b"ta"])])
def test_a_refused_connect_is_tried_on_another_instance(make, backend, method, body):
    gateway = start(make, make.keep(Refusing()), backend)
    with gateway.client() as client:
        assert [client.request(method, "/", body=body).status for _ in range(20)] == [200] * 20
    if body:
        assert {request.body for request in backend.requests} == {b"data"}
    assert gateway.admin.metrics().sum("lictor_retries_total", service="web") > 0


def test_every_instance_refusing_is_502(make):
    gateway = start(make, make.keep(Refusing()), make.keep(Refusing()))
    gateway.get("/").problem(502, "upstream_failed")


def after_one_good_request(gateway, backend, then):
    """A client whose first request left the gateway a connection to reuse; the next request on it meets `then`."""
    client = gateway.client()
    backend.default = then_default(answer(), then)
    assert client.get("/first").status == 200
    return client


@pytest.mark.parametrize("closes", [hangs_up, resets])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_a_safe_request_on_a_connection_just_closed_is_replayed(make, backend, method, closes):
    gateway = start(make, backend)
    with after_one_good_request(gateway, backend, closes) as client:
        assert client.request(method, "/again", body=b"data" if method == "PUT" else None).status == 200
    assert backend.paths() == ["/first", "/again", "/again"]
    assert backend.requests[1].connection != backend.requests[2].connection
    if method == "PUT":
        assert backend.last.body == b"data"


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_request_that_may_have_had_effect_is_not_replayed(make, backend, method):
    gateway = start(make, backend)
    with after_one_good_request(gateway, backend, hangs_up) as client:
        client.request(method, "/once", body=b"data").problem(502, "upstream_failed")
    assert backend.paths() == ["/first", "/once"]


def test_a_replay_happens_once(make, backend):
    gateway = start(make, backend)
    with after_one_good_request(gateway, backend, hangs_up) as client:
        backend.default = hangs_up
        client.get("/again").problem(502, "upstream_failed")
    assert backend.paths().count("/again") <= 2


def test_a_body_too_large_to_keep_is_not_replayed(make, backend):
    gateway = start(make, backend)
    with after_one_good_request(gateway, backend, hangs_up) as client:
        client.request("PUT", "/large", body=b"x" * 300_000).problem(502, "upstream_failed")
    assert backend.paths() == ["/first", "/large"]


def test_a_fresh_connection_that_breaks_is_not_tried_again(make, backend):
    backend.default = then_default(resets)
    gateway = start(make, backend)
    gateway.get("/").problem(502, "upstream_failed")
    assert backend.hits == 1


def test_an_answer_is_never_tried_again(make, backend):
    backend.default = answer(503, b"its own")
    gateway = start(make, backend)
    assert gateway.get("/").body == b"its own"
    assert backend.hits == 1


def test_a_connection_known_to_be_closed_is_not_used(make, backend):
    gateway = start(make, backend)
    with gateway.client() as client:
        for number in range(10):
            assert client.get("/").status == 200
            backend.drop_connections()
            eventually(lambda: connections(gateway, "idle"), 0, within=2)
            assert client.request("POST", "/", body=b"%d" % number).status == 200
    assert [request.body for request in backend.requests if request.method == "POST"] == [b"%d" % n for n in range(10)]


def connections(gateway, state):
    return gateway.admin.metrics().sum("lictor_upstream_connections", service="web", state=state)


def test_an_upstream_that_restarts_under_load_loses_no_safe_request(make, backend):
    spare = make.backend("spare")
    gateway = start(make, backend, spare)
    for _ in range(5):
        backend.stop_listening()
        backend.drop_connections(reset=True)
        assert sum(tally(gateway.address, 20).values()) == 20
        backend.listen()
    assert tally(gateway.address, 20)["backend"] == 10


def test_tries_are_bounded(make):
    gateway = start(make, *[make.keep(Refusing()) for _ in range(10)])
    began = time.monotonic()
    gateway.get("/").problem(502, "upstream_failed")
    assert time.monotonic() - began < 2
    tries = gateway.admin.metrics().sum("lictor_upstream_requests_total", service="web", outcome="connect_error")
    assert tries <= 3
