"""`retries` of a route in full: which failures, how often, which methods, which bodies, and where the next try goes."""

import collections
import time

import pytest

from harness.backend import Refusing, answer, hangs_up, never, raw, resets, streaming, then_default
from harness.client import Truncated
from harness.documents import one_upstream
from harness.load import tally
from harness.wait import eventually, scaled

KEPT = 65536


def start(make, *targets, **retries):
    return make.gateway(one_upstream(*targets, route={"retries": retries}, ejection={"consecutive_failures": 0}), workers=1)


def retries_of(gateway):
    found = gateway.admin.metrics().find("lictor_retries_total", service="web")
    return {labels["reason"]: count for labels, count in found if count}


def slow(exchange):
    time.sleep(scaled(0.6))
    exchange.reply(200, b"late")


FAILURES = {"reset": resets, "timeout": never, "503": answer(503)}


@pytest.mark.parametrize("attempts", [0, 1, 3])
@pytest.mark.parametrize("on", FAILURES)
def test_attempts_are_the_tries_after_the_first(make, on, attempts):
    backend = make.backend()
    backend.default = FAILURES[on]
    gateway = start(make, backend, attempts=attempts, on=[on], per_try_timeout="100ms")
    response = gateway.get("/")
    assert response.status == {"reset": 502, "timeout": 504, "503": 503}[on]
    assert backend.hits == 1 + attempts


@pytest.mark.parametrize("on, other", [("reset", "503"), ("503", "reset"), ("503", "timeout"), ("timeout", "reset"), ("connect", "503")])
def test_only_what_is_listed_is_tried_again(make, on, other):
    backend = make.backend()
    backend.default = FAILURES[other]
    gateway = start(make, backend, attempts=2, on=[on], per_try_timeout="100ms")
    gateway.get("/")
    assert backend.hits == 1
    assert retries_of(gateway) == {}


def test_a_connect_is_not_tried_again_when_it_is_not_listed(make):
    gateway = start(make, make.keep(Refusing()), make.backend(), attempts=2, on=["503"])
    statuses = collections.Counter(gateway.get("/").status for _ in range(10))
    assert statuses == {200: 5, 502: 5}


def test_a_status_may_be_a_number(make):
    backend = make.backend()
    backend.default = then_default(answer(429), answer(500))
    gateway = start(make, backend, attempts=2, on=[429, "500"])
    assert gateway.get("/").status == 200
    assert backend.hits == 3


def test_the_last_answer_is_given_when_the_attempts_are_over(make):
    backend = make.backend()
    backend.default = then_default(answer(503, b"first"), answer(503, b"second", fields={"X-Its": "own"}))
    gateway = start(make, backend, attempts=1, on=["503"])
    response = gateway.get("/")
    assert (response.status, response.body, response.fields["x-its"]) == (503, b"second", "own")


def test_per_try_timeout_is_for_each_try(make):
    a, b = make.backends("a", "b")
    a.default = slow
    gateway = start(make, a, b, attempts=1, per_try_timeout="200ms")
    began = time.monotonic()
    assert [gateway.get("/").backend for _ in range(4)] == ["b"] * 4
    assert time.monotonic() - began < scaled(1.5)
    assert retries_of(gateway)["timeout"] == a.hits >= 2


def test_per_try_timeout_is_over_when_the_head_came(make):
    backend = make.backend()

    def slow_body(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhe")
        time.sleep(0.5)
        exchange.send(b"re")

    backend.default = slow_body
    gateway = start(make, backend, attempts=1, per_try_timeout="200ms")
    assert gateway.get("/").body == b"here"
    assert backend.hits == 1


@pytest.mark.parametrize("method, again", [("GET", True), ("PUT", True), ("DELETE", True), ("OPTIONS", True), ("POST", False), ("PATCH", False)])
def test_methods_that_may_have_had_effect_are_not_sent_again(make, method, again):
    backend = make.backend()
    backend.default = then_default(answer(503))
    gateway = start(make, backend, attempts=1, on=["503"])
    assert gateway.request(method, "/").status == (200 if again else 503)
    assert backend.hits == (2 if again else 1)


def test_methods_of_the_route_take_the_place_of_the_default(make):
    backend = make.backend()
    gateway = start(make, backend, attempts=1, on=["503"], methods=["POST"])
    for method, hits in (("POST", 2), ("GET", 1)):
        backend.clear()
        backend.default = then_default(answer(503))
        gateway.request(method, "/", body=b"data")
        assert backend.hits == hits, method
        assert {request.body for request in backend.requests} == {b"data"}


@pytest.mark.parametrize("failure", ["503", "reset"])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size, again", [(1, True), (KEPT, True), (KEPT + 1, False), (1_000_000, False)])
def test_bodies_up_to_64_kib_are_sent_again(make, failure, chunked, size, again):
    backend = make.backend()
    backend.default = then_default(FAILURES[failure])
    gateway = start(make, backend, attempts=1, on=[failure])
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    pieces = [body[at : at + 10_000] for at in range(0, size, 10_000)] if chunked else body
    response = gateway.request("PUT", "/", body=pieces)
    assert response.status == (200 if again else {"503": 503, "reset": 502}[failure])
    assert [request.body == body for request in backend.requests] == [True] * (2 if again else 1)


def test_trailers_are_sent_again_with_their_body(make):
    backend = make.backend()
    backend.default = then_default(answer(503))
    gateway = start(make, backend, attempts=1, on=["503"])
    response = gateway.request("PUT", "/", body=[b"one", b"two"], trailers=[("X-Sum", "7")])
    assert response.status == 200
    assert [(request.body, request.trailers.get("x-sum")) for request in backend.requests] == [(b"onetwo", "7")] * 2


def test_an_answer_before_the_whole_body_is_tried_again_with_all_of_it(make):
    backend, bodies = make.backend(), []

    @streaming
    def hasty_once(exchange):
        if backend.started == 1:
            exchange.reply(503, b"no", fields={"Connection": "close"})
            exchange.close()
        else:
            bodies.append(b"".join(exchange.body_pieces()))
            exchange.reply(200, b"yes")

    backend.default = hasty_once
    gateway = start(make, backend, attempts=1, on=["503"])
    with gateway.client() as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: test.example\r\nContent-Length: 8\r\n\r\nhalf")
        eventually(lambda: backend.started, 2)
        client.send(b"half")
        assert client.read_response().body == b"yes"
    assert bodies == [b"halfhalf"]


@pytest.mark.parametrize("cut", ["close", "reset"])
def test_nothing_is_tried_again_after_the_first_byte_of_the_response(make, cut):
    backend = make.backend()
    backend.default = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", then=cut)
    gateway = start(make, backend, attempts=3, on=["connect", "reset", "timeout"])
    with pytest.raises(Truncated):
        gateway.get("/")
    assert backend.hits == 1


@pytest.mark.parametrize("failing", [resets, hangs_up, answer(503)])
def test_the_next_try_goes_to_another_instance(make, failing):
    bad, *good = make.backends("bad", "a", "b")
    bad.default = failing
    gateway = start(make, bad, *good, attempts=1, on=["reset", "503"])
    answers = tally(gateway.address, 30)
    assert answers["bad"] == 0 and answers["a"] >= 10 and answers["b"] >= 10, answers


def test_every_try_goes_to_an_instance_of_its_own(make):
    backends = make.backends("a", "b", "c", "d")
    for backend in backends:
        backend.default = answer(503)
    gateway = start(make, *backends, attempts=3, on=["503"])
    for number in range(1, 6):
        assert gateway.get("/").status == 503
        assert [backend.hits for backend in backends] == [number] * 4


def test_the_log_and_the_metrics_count_retries(make):
    backend = make.backend()
    backend.default = then_default(answer(503), resets)
    gateway = start(make, backend, attempts=2, on=["503", "reset"])
    assert gateway.get("/").status == 200
    assert retries_of(gateway) == {"status": 1, "reset": 1} or retries_of(gateway) == {"status": 1, "stale": 1}


def test_the_routes_timeout_bounds_all_tries(make):
    backend = make.backend()
    backend.default = never
    route = {"timeout": "500ms", "retries": {"attempts": 10, "on": ["timeout"], "per_try_timeout": "200ms"}}
    gateway = make.gateway(one_upstream(backend, route=route, ejection={"consecutive_failures": 0}))
    began = time.monotonic()
    gateway.get("/").problem(504, "upstream_timeout")
    assert 0.4 < time.monotonic() - began < scaled(1.5)
    assert backend.hits == 3
