"""Traces: W3C Trace Context in and out, and spans at an OpenTelemetry collector."""

import json
import re
import time

import pytest

from harness.backend import Refusing, answer, hangs_up, never
from harness.client import Client
from harness.collector import Collector
from harness.documents import all_to, endpoints, one_upstream
from harness.lictor import is_sanitized
from harness.wait import eventually

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])\Z")


@pytest.fixture(scope="module")
def backend(make_once):
    return make_once.backend("web")


@pytest.fixture(scope="module")
def collector(make_once):
    return make_once.keep(Collector())


@pytest.fixture(scope="module")
def plain(make_once, backend):
    """A gateway that records nothing."""
    return make_once.gateway(one_upstream(backend))


@pytest.fixture(scope="module")
def gateway(make_once, backend, collector):
    """Records what callers sample, and nothing of its own accord."""
    return make_once.gateway(one_upstream(backend), tracing={"otlp_endpoint": collector.url, "sample_ratio": 0})


@pytest.fixture(scope="module")
def recording(make_once, backend, collector):
    return make_once.gateway(one_upstream(backend), tracing={"otlp_endpoint": collector.url + "/", "sample_ratio": 1, "service_name": "edge"})


@pytest.fixture(autouse=True)
def fresh(backend, collector):
    yield
    backend.clear()
    collector.spans.clear()
    collector.status = 200


def sent(gateway, backend, fields=(), **how):
    """(trace id, parent id, flags) as the upstream got them."""
    assert gateway.get("/", fields=fields, **how).status == 200
    return TRACEPARENT.match(backend.last.fields["traceparent"]).groups()


# Trace context


def test_every_request_has_a_traceparent(plain, gateway, backend):
    for through in (plain, gateway):
        first, second = sent(through, backend), sent(through, backend)
        assert first[0] != second[0] and first[1] != second[1] and first[2] == second[2] == "00"
        assert first[0] != "0" * 32 and first[1] != "0" * 16


def test_what_is_not_recorded_goes_on_as_it_came(plain, gateway, backend):
    for traceparent in (SAMPLED, UNSAMPLED):
        assert plain.get("/", fields={"traceparent": traceparent, "tracestate": "a=1"}).status == 200
        assert backend.last.fields["traceparent"] == traceparent and backend.last.fields["tracestate"] == "a=1"
    assert sent(gateway, backend, {"traceparent": UNSAMPLED}) == (TRACE, PARENT, "00")


@pytest.mark.parametrize(
    "traceparent",
    ["", "x", f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{PARENT}-01", SAMPLED + "-x", SAMPLED[:-1]],
)
def test_an_invalid_traceparent_is_replaced(plain, backend, traceparent):
    trace, _, flags = sent(plain, backend, [("traceparent", traceparent), ("tracestate", "a=1")])
    assert trace not in (TRACE, "0" * 32) and flags == "00"
    assert "tracestate" not in backend.last.fields


def test_two_traceparents_are_none(plain, backend):
    assert sent(plain, backend, [("traceparent", SAMPLED), ("traceparent", SAMPLED)])[0] != TRACE


def test_an_invalid_tracestate_is_dropped(plain, backend):
    sent(plain, backend, {"traceparent": SAMPLED, "tracestate": "A B"})
    assert "tracestate" not in backend.last.fields


def test_a_client_can_not_strip_it(plain, backend):
    assert sent(plain, backend, {"Connection": "traceparent", "traceparent": SAMPLED})


def test_of_a_later_version_what_is_known_goes_on(plain, backend):
    assert sent(plain, backend, {"traceparent": f"01-{TRACE}-{PARENT}-01-more"})[:2] == (TRACE, PARENT)


def test_the_trace_id_is_logged_and_in_problems(make, backend, tmp_path):
    log = tmp_path / "access.log"
    documents = {"routes/users": {"path": "/users", "service": "web"}, "upstreams/web": endpoints(backend)}
    gateway = make.gateway(documents, log={"access": {"path": str(log)}})
    assert gateway.get("/users", fields={"traceparent": SAMPLED}).status == 200
    assert gateway.get("/nowhere", fields={"traceparent": SAMPLED}).problem(404, "no_route")["trace_id"] == TRACE
    lines = eventually(lambda: log.read_text().splitlines(), lambda lines: len(lines) == 2)
    assert [json.loads(line)["trace_id"] for line in lines] == [TRACE, TRACE]
    assert "trace_id" not in gateway.get("/nowhere").problem(404, "no_route")  # nobody else knows it
    assert "trace_id" not in json.loads(eventually(lambda: log.read_text().splitlines(), lambda lines: len(lines) == 3)[-1])


# Spans


def test_a_request_is_two_spans_under_the_callers(gateway, backend, collector):
    fields = {"traceparent": SAMPLED, "tracestate": "a=1", "User-Agent": "test/1"}
    trace, parent, flags = sent(gateway, backend, fields, host="api.example.com:8443")
    assert backend.last.fields["tracestate"] == "a=1"
    server, attempt = collector.trace(TRACE, 2)
    assert (trace, flags) == (TRACE, "01")
    assert server.kind == "server" and server.parent == PARENT
    assert attempt.kind == "client" and attempt.parent == server.id and attempt.id == parent
    assert server.data["traceState"] == "a=1" and server.data["flags"] & 1
    assert server.start <= attempt.start <= attempt.end <= server.end
    assert abs(server.start / 1e9 - time.time()) < 60
    assert server.name == "GET /*" and attempt.name == "GET"
    assert server.attributes.items() >= {
        "http.request.method": "GET", "url.path": "/", "url.scheme": "http", "http.route": "/*", "http.response.status_code": 200,
        "server.address": "api.example.com", "server.port": 8443, "network.protocol.version": "1.1", "client.address": "127.0.0.1",
        "user_agent.original": "test/1", "lictor.route": "all", "lictor.service": "web", "lictor.listener": "http",
    }.items()  # fmt: skip
    assert attempt.attributes.items() >= {
        "http.request.method": "GET", "http.response.status_code": 200, "server.address": "127.0.0.1", "server.port": backend.port,
        "url.full": f"http://127.0.0.1:{backend.port}/", "lictor.service": "web", "lictor.instance": f"127.0.0.1:{backend.port}",
    }.items()  # fmt: skip
    assert not server.failed and not attempt.failed
    assert server.resource["service.name"] == "lictor" and server.resource["service.version"]
    assert server.resource["service.instance.id"]


def test_a_trace_that_begins_here_has_no_parent(recording, backend, collector):
    trace, parent, flags = sent(recording, backend)
    server, attempt = collector.trace(trace, 2)
    assert flags == "01" and server.parent is None and attempt.id == parent
    assert server.resource["service.name"] == "edge"


def test_a_gateway_that_records_names_every_trace(recording, collector):
    problem = recording.request("CONNECT", "a:1").problem(405, "method_not_allowed")
    assert problem["trace_id"] == problem["request_id"]
    collector.trace(problem["trace_id"], 1)


def test_who_is_not_sampled_is_not_recorded(recording, gateway, backend, collector):
    assert sent(recording, backend, {"traceparent": UNSAMPLED})[2] == "00"
    assert sent(gateway, backend)[2] == "00"
    seen = sent(recording, backend)[0]
    collector.trace(seen, 2)
    assert {span.trace for span in collector.spans} == {seen}


def test_secrets_and_odd_methods(gateway, backend, collector):
    assert gateway.request("BREW", "/pot?access_token=abc&x=1", fields={"traceparent": SAMPLED}).status in (200, 501)
    if not backend.hits:
        gateway.get("/pot?access_token=abc&x=1", fields={"traceparent": SAMPLED})
    spans = collector.trace(TRACE, 2)
    assert spans[0]["url.query"] == "access_token=REDACTED&x=1" and spans[1]["url.full"].endswith("/pot?access_token=REDACTED&x=1")


def test_each_try_is_a_span(make, backend, collector):
    down = make.keep(Refusing())
    retries = {"attempts": 5, "on": ["connect", "503"]}
    documents = one_upstream(backend, down, balance="round_robin", ejection={"consecutive_failures": 0}, route={"retries": retries})
    gateway = make.gateway(documents, tracing={"otlp_endpoint": collector.url})
    parents = []

    def flaky(exchange):
        parents.append(exchange.request.fields["traceparent"].split("-")[2])
        exchange.reply(503 if len(parents) == 1 else 200)

    backend.default = flaky
    assert gateway.get("/", fields={"traceparent": SAMPLED}).status == 200
    spans = eventually(lambda: [span for span in collector.spans if span.trace == TRACE], lambda spans: any(span.kind == "server" for span in spans))
    (server,) = [span for span in spans if span.kind == "server"]
    attempts = sorted((span for span in spans if span.kind == "client"), key=lambda span: span.start)
    assert all(attempt.parent == server.id for attempt in attempts)
    assert [attempt.get("http.request.resend_count") for attempt in attempts] == [None, *range(1, len(attempts))]
    answered = [attempt for attempt in attempts if attempt.get("error.type") != "connect_error"]
    assert [attempt.get("error.type") for attempt in answered] == ["503", None]
    assert [attempt.id for attempt in answered] == parents and len(attempts) > 2
    assert server["lictor.retries"] == len(attempts) - 1 and not server.failed


@pytest.mark.parametrize("handler, status, error, attempt_error", [(hangs_up, 502, "upstream_failed", "reset"), (answer(500), 500, "500", "500"), (answer(404), 404, None, "404")])
def test_failures_are_named(gateway, backend, collector, handler, status, error, attempt_error):
    backend.default = handler
    assert gateway.request("POST", "/", body=b"x", fields={"traceparent": SAMPLED}).status == status  # is not sent twice
    server, attempt = collector.trace(TRACE, 2)
    assert server.get("error.type") == error and server.failed == (error is not None)
    assert server["http.response.status_code"] == status
    assert attempt["error.type"] == attempt_error and attempt.failed


def test_a_client_that_goes_is_told(gateway, backend, collector):
    backend.default = never
    client = Client(gateway.address)
    client.send_request("GET", "/", fields={"traceparent": SAMPLED})
    eventually(lambda: backend.hits, 1)
    client.close()
    server, attempt = collector.trace(TRACE, 2)
    assert server["error.type"] == "client_abort" and server.get("http.response.status_code") is None
    assert attempt["error.type"] == "cancelled"


def test_a_request_without_a_route_is_one_span(make, collector):
    gateway = make.gateway({}, tracing={"otlp_endpoint": collector.url})
    gateway.get("/nowhere", fields={"traceparent": SAMPLED}).problem(404, "no_route")
    (server,) = collector.trace(TRACE, 1)
    assert server.name == "GET" and server.get("http.route") is None and not server.failed


def test_a_question_of_external_auth_is_a_span(make, backend, collector):
    authz = make.backend("authz")
    documents = {
        "routes/all": all_to("web", filters=[{"external_auth": {"service": "authz", "path": "/check"}}]),
        "upstreams/web": endpoints(backend), "upstreams/authz": endpoints(authz),
    }  # fmt: skip
    gateway = make.gateway(documents, tracing={"otlp_endpoint": collector.url})
    assert gateway.get("/", fields={"traceparent": SAMPLED, "tracestate": "a=1"}).status == 200
    server, question, attempt = collector.trace(TRACE, 3)
    assert question.parent == attempt.parent == server.id
    assert question["lictor.service"] == "authz" and attempt["lictor.service"] == "web"
    assert authz.last.fields["traceparent"] == f"00-{TRACE}-{question.id}-01" and authz.last.fields["tracestate"] == "a=1"
    assert backend.last.fields["traceparent"] == f"00-{TRACE}-{attempt.id}-01"
    assert gateway.get("/", fields={"traceparent": UNSAMPLED}).status == 200
    assert authz.last.fields["traceparent"] == UNSAMPLED


# The collector


def dropped(gateway):
    return gateway.admin.metrics().one("lictor_traces_dropped_total")


def test_a_collector_that_is_away_costs_requests_nothing(make, backend):
    gateway = make.gateway(one_upstream(backend), tracing={"otlp_endpoint": f"http://{make.keep(Refusing()).address}", "sample_ratio": 1})
    with Client(gateway.address) as client:
        for _ in range(200):
            assert client.get("/").status == 200
    assert gateway.admin.get("/readyz").status == 200


def test_a_collector_that_hangs_costs_spans_alone(make, backend):
    collector = make.keep(Collector())
    gateway = make.gateway(one_upstream(backend), tracing={"otlp_endpoint": collector.url, "sample_ratio": 1})
    collector.gate.clear()
    assert gateway.get("/").status == 200
    eventually(lambda: collector.posts, 1)
    with Client(gateway.address) as client:
        for _ in range(1200):  # some 5 MB of spans
            assert client.get("/", fields={"User-Agent": "x" * 1000, "Host": "h"}, host=None).status == 200
            assert client.get("/" + "y" * 1000, fields={"User-Agent": "x" * 1000}).status == 200
    assert dropped(gateway) > 0
    before = gateway.rss()
    collector.gate.set()
    eventually(lambda: len(collector.spans) > 1000, within=10)
    assert gateway.rss() - before < (64 if is_sanitized() else 8) << 20


def test_a_collector_that_refuses_costs_spans(make, backend):
    collector = make.keep(Collector())
    collector.status = 400
    gateway = make.gateway(one_upstream(backend), tracing={"otlp_endpoint": collector.url, "sample_ratio": 1})
    assert gateway.get("/").status == 200
    eventually(lambda: dropped(gateway), 2)
    assert sum("does not take them" in line for line in gateway.stderr) == 1


def test_what_is_left_goes_out_at_the_end(make, backend):
    collector = make.keep(Collector())
    gateway = make.gateway(one_upstream(backend), tracing={"otlp_endpoint": collector.url, "sample_ratio": 1})
    for _ in range(5):
        assert gateway.get("/").status == 200
    gateway.stop()
    assert len(collector.spans) == 10


def test_a_share_of_traces(make, backend):
    collector = make.keep(Collector())
    gateway = make.gateway(one_upstream(backend), tracing={"otlp_endpoint": collector.url, "sample_ratio": 0.25})
    with Client(gateway.address) as client:
        for _ in range(400):
            client.get("/")
    gateway.stop()
    assert 120 <= len(collector.spans) <= 280
