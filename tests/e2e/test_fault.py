"""fault: requests that are made slow, or fail."""

import time

import pytest

from harness.documents import endpoints
from harness.wait import eventually


@pytest.fixture(scope="module")
def backend(make_once):
    return make_once.backend()


@pytest.fixture(scope="module")
def gateway(make_once, backend):
    def route(path, **fault):
        return {"path": path, "service": "web", "filters": [{"fault": fault}], "timeout": "1s"}

    return make_once.gateway(
        {
            "upstreams/web": endpoints(backend),
            "routes/abort": route("/abort", abort=503),
            "routes/slow": route("/slow", delay="200ms"),
            "routes/both": route("/both", delay="200ms", abort=418),
            "routes/half": route("/half", abort=500, percent=50),
            "routes/long": route("/long", delay="1m"),
            "routes/alone": {"path": "/alone", "filters": [{"fault": {"abort": 404}}]},
        }
    )


def timed(ask):
    began = time.monotonic()
    return ask(), time.monotonic() - began


def test_a_request_is_aborted_with_the_status(gateway, backend):
    before = backend.hits
    assert gateway.get("/abort").status == 503
    assert gateway.request("HEAD", "/abort").status == 503
    assert gateway.get("/alone").status == 404
    assert backend.hits == before


def test_a_request_is_delayed_body_and_all(gateway, backend):
    response, took = timed(lambda: gateway.request("POST", "/slow", body=b"x" * 100_000))
    assert response.status == 200 and took >= 0.2
    assert len(backend.last.body) == 100_000


def test_a_request_is_delayed_and_then_aborted(gateway):
    response, took = timed(lambda: gateway.get("/both"))
    assert response.status == 418 and took >= 0.2


def test_half_of_the_requests_fail(gateway):
    with gateway.client() as client:
        statuses = [client.get("/half").status for _ in range(400)]
    assert set(statuses) == {200, 500}
    assert 120 < statuses.count(500) < 280


def test_the_routes_timeout_counts_the_delay(gateway):
    gateway.get("/long").problem(504, "upstream_timeout")


def test_clients_that_go_while_they_wait_leave_nothing(gateway):
    def active():
        return gateway.admin.metrics().one("lictor_connections", listener="http")

    for _ in range(20):
        client = gateway.client()
        client.send_request("GET", "/long")
        client.reset()
    eventually(active, lambda open: not open, within=5)
    assert gateway.get("/slow").status == 200
