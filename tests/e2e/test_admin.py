"""The admin port: health, metrics, and what the gateway tells of itself."""

import os
import re

import pytest

from harness.backend import answer
from harness.client import Client, request_bytes
from harness.documents import all_to, endpoints, one_upstream
from harness.load import tally
from harness.wait import eventually


@pytest.fixture(scope="module")
def backend(make_once):
    return make_once.backend()


@pytest.fixture(scope="module")
def gateway(make_once, backend):
    documents = {
        **one_upstream(backend),
        "routes/users": {"hosts": ["api.example.com"], "path": "/users/*", "methods": ["GET", "HEAD"], "service": "users"},
        "upstreams/users": endpoints((backend, 3)),
        "routes/nobody": {"path": "/nobody", "service": "nobody"},
    }
    return make_once.gateway(documents)


@pytest.fixture
def admin(gateway):
    return gateway.admin


def test_health_and_readiness(admin):
    assert admin.get("/healthz").status == 200
    assert admin.get("/readyz").status == 200


def test_admin_keeps_its_connections(gateway):
    with Client(gateway.admin.address) as client:
        for path in ("/healthz", "/v1/status", "/metrics"):
            assert client.get(path, host="localhost").status == 200


@pytest.mark.parametrize("path", ["/nowhere", "/v1/nowhere", "/v1/routes/nowhere", "/v1/upstreams/nowhere"])
def test_unknown_admin_paths_are_404(admin, path):
    assert admin.get(path).status == 404


def test_a_wrong_method_on_the_admin_port_is_405(admin):
    assert admin.post("/v1/status").status == 405
    assert admin.get("/v1/status", method="HEAD").status == 200


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n"])
def test_nonsense_on_the_admin_port_is_400(gateway, data):
    with Client(gateway.admin.address) as client:
        client.send(data)
        assert client.read_response().status == 400
        client.expect_close()


def test_a_body_that_does_not_come_is_not_waited_for(gateway):
    with Client(gateway.admin.address) as client:
        client.send(b"PUT /v1/log-level HTTP/1.1\r\nHost: localhost\r\nContent-Length: 17\r\n\r\n{")
        response = client.read_response()
        assert response.status == 408 and response.json()["code"] == "request_timeout"
        client.expect_close()


# Whose browser asks


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9900", "localhost", "localhost:9900", "[::1]:9900", "192.0.2.7"])
def test_addresses_and_localhost_are_fine_as_host(admin, host):
    assert admin.get("/v1/status", host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9900"])
def test_another_host_is_421(admin, host):
    assert admin.get("/v1/status", host=host).status == 421
    assert admin.post("/v1/upstreams/web/instances/x/eject", host=host).status == 421


@pytest.mark.parametrize("fields", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}], ids=str)
def test_a_cross_site_post_is_403(admin, backend, fields):
    instance = admin.instance("web", backend.address)["id"]
    assert admin.post(f"/v1/upstreams/web/instances/{instance}/eject", fields=fields).status == 403
    assert not admin.instance("web", backend.address)["ejected"]


def test_a_same_origin_post_is_fine(gateway, admin, backend):
    instance = admin.instance("web", backend.address)["id"]
    origin = f"http://127.0.0.1:{gateway.admin.address[1]}"
    response = admin.post(f"/v1/upstreams/web/instances/{instance}/restore", fields={"Origin": origin, "Sec-Fetch-Site": "same-origin"})
    assert response.status in (200, 204)


# JSON


def test_status(admin):
    status = admin.status()
    assert re.match(r"\d+\.\d+", status["version"])
    assert status["uptime_s"] >= 0
    assert (status["state"], status["workers"], status["source"]) == ("ready", 2, "directory")
    assert status["config_revision"] >= 1


def test_status_of_consul(make, agent, documents):
    consul = make.gateway_on(agent, documents.prefix).admin.status()["consul"]
    assert consul["address"].endswith(f"127.0.0.1:{agent.http_port}")
    assert consul["connected"] is True and consul["known_leader"] is True
    assert 0 <= consul["staleness_s"] < 60
    assert consul["queries"] >= 1 and consul["connections"] >= 1 and consul["errors_total"] == 0
    assert not consul["last_error"]


def test_workers_default_to_the_processors(make):
    gateway = make.gateway({}, workers=0)
    assert gateway.admin.status()["workers"] == len(os.sched_getaffinity(gateway.process.pid))


def test_routes(admin):
    routes = {route["name"]: route for route in admin.json("/v1/routes")}
    assert set(routes) == {"all", "users", "nobody"}
    users = routes["users"]
    assert users["hosts"] == ["api.example.com"] and users["paths"] == ["/users/*"] and users["methods"] == ["GET", "HEAD"]
    assert [backend["service"] for backend in users["backends"]] == ["users"] and users["filters"] == []


def only(answer):
    """/v1/routes/<name> and /v1/upstreams/<service> may answer the entry or a list of it."""
    return answer[0] if isinstance(answer, list) else answer


def test_one_route_and_its_requests(gateway, admin):
    before = only(admin.json("/v1/routes/users"))["requests_total"]
    for _ in range(3):
        gateway.get("/users/1", host="api.example.com")
    eventually(lambda: only(admin.json("/v1/routes/users"))["requests_total"], before + 3)


def test_upstreams(gateway, admin, backend):
    gateway.get("/users/1", host="api.example.com")
    upstream = only(admin.json("/v1/upstreams/users"))
    assert (upstream["service"], upstream["balance"]) == ("users", "weighted_round_robin")
    (instance,) = upstream["instances"]
    assert instance["address"] == backend.address and instance["weight"] == 3
    assert (instance["health"], instance["usable"], instance["ejected"]) == ("passing", True, False)
    assert instance["consecutive_failures"] == 0 and instance["requests_total"] >= 1 and instance["failures_total"] == 0
    eventually(lambda: admin.instance("users", backend.address)["active_requests"], 0)


def test_active_requests_are_those_in_flight(gateway, admin, backend):
    backend.on("/slow", answer(delay=0.5))
    with gateway.client() as client:
        client.send_request("GET", "/slow")
        eventually(lambda: admin.instance("web", backend.address)["active_requests"], 1, within=0.4)
        client.read_response()
    eventually(lambda: admin.instance("web", backend.address)["active_requests"], 0)


def test_consecutive_failures_are_shown(gateway, admin, backend):
    backend.on("/bad", answer(503))
    for _ in range(3):
        gateway.get("/bad")
    eventually(lambda: admin.instance("web", backend.address)["consecutive_failures"], 3)
    assert admin.instance("web", backend.address)["failures_total"] >= 3
    gateway.get("/")
    eventually(lambda: admin.instance("web", backend.address)["consecutive_failures"], 0)


# Metrics

LABELS = {
    "lictor_requests_total": {"listener", "route", "service", "method", "code"},
    "lictor_request_duration_seconds_bucket": {"route", "service", "le"},
    "lictor_request_duration_seconds_count": {"route", "service"},
    "lictor_request_duration_seconds_sum": {"route", "service"},
    "lictor_upstream_requests_total": {"service", "instance", "outcome"},
    "lictor_upstream_instances": {"service", "state"},
    "lictor_upstream_connections": {"service", "state"},
    "lictor_connections": {"listener"},
    "lictor_config_revision": set(),
    "lictor_config_rejected_documents": set(),
    "lictor_access_log_dropped_total": set(),
    "lictor_build_info": {"version"},
    "lictor_bytes_total": {"direction"},
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
    "process_open_fds": set(),
    "process_start_time_seconds": set(),
}


@pytest.mark.parametrize("name", LABELS)
def test_metrics_have_their_names_and_labels(gateway, admin, name):
    gateway.get("/")
    metrics = eventually(lambda: (read := admin.metrics()).find("lictor_requests_total", route="all") and read)
    assert metrics.labels(name) == LABELS[name]


@pytest.mark.parametrize("name", ["lictor_consul_connected", "lictor_consul_staleness_seconds", "lictor_consul_queries_total"])
def test_metrics_of_consul(make, agent, documents, name):
    metrics = make.gateway_on(agent, documents.prefix).admin.metrics()
    assert metrics.labels(name) == ({"endpoint", "outcome"} if name.endswith("queries_total") else set())
    assert metrics.one("lictor_consul_connected") == 1


def test_metrics_have_types(admin):
    types = admin.metrics().types
    assert types["lictor_requests_total"] == "counter"
    assert types["lictor_request_duration_seconds"] == "histogram"
    assert types["lictor_connections"] == "gauge"
    assert types["lictor_consul_connected"] == "gauge" if "lictor_consul_connected" in types else True


def test_requests_are_counted_by_what_became_of_them(gateway, admin, backend):
    def count(**labels):
        return admin.metrics().sum("lictor_requests_total", listener="http", **labels)

    before = {
        "users": count(route="users", service="users", method="GET", code=200),
        "posted": count(route="all", service="web", method="POST", code=418),
        "nobody": count(route="nobody", code=503),
    }
    backend.on("/teapot", answer(418))
    gateway.get("/users/1", host="api.example.com")
    gateway.request("POST", "/teapot", body=b"x")
    gateway.get("/nobody")
    eventually(lambda: count(route="users", service="users", method="GET", code=200), before["users"] + 1)
    eventually(lambda: count(route="all", service="web", method="POST", code=418), before["posted"] + 1)
    eventually(lambda: count(route="nobody", code=503), before["nobody"] + 1)


def test_methods_of_a_clients_making_do_not_make_series(gateway, admin):
    for number in range(20):
        with gateway.client() as client:
            client.send(request_bytes(f"MADEUP{number}", "/"))
            client.read_response()
    methods = {labels["method"] for labels, _ in admin.metrics().find("lictor_requests_total")}
    assert not any("MADEUP" in method for method in methods) or len([m for m in methods if "MADEUP" in m]) <= 1, methods


def test_outcomes_of_upstream_requests(gateway, admin, backend):
    def count(outcome):
        return admin.metrics().sum("lictor_upstream_requests_total", service="web", outcome=outcome)

    ok, failed = count("ok"), count("5xx")
    backend.on("/broken", answer(500))
    gateway.get("/")
    gateway.get("/broken")
    eventually(lambda: (count("ok"), count("5xx")), (ok + 1, failed + 1))
    gateway.get("/")


def test_the_histogram_adds_up(gateway, admin):
    gateway.get("/")
    metrics = admin.metrics()
    buckets = metrics.find("lictor_request_duration_seconds_bucket", route="all", service="web")
    counts = [value for _, value in sorted(buckets, key=lambda bucket: float(bucket[0]["le"]))]
    assert counts == sorted(counts)
    assert counts[-1] == metrics.one("lictor_request_duration_seconds_count", route="all", service="web")


def test_open_connections_are_counted(gateway, admin):
    before = admin.metrics().one("lictor_connections", listener="http")
    clients = [gateway.client() for _ in range(5)]
    eventually(lambda: admin.metrics().one("lictor_connections", listener="http"), before + 5)
    for client in clients:
        client.close()
    eventually(lambda: admin.metrics().one("lictor_connections", listener="http"), before)


def test_a_series_goes_when_its_route_or_instance_goes(make, agent, documents, service):
    a, b = make.backends("a", "b")
    documents.put("routes/short-lived", all_to(service))
    for each in (a, b):
        agent.register_backend(service, each)
    gateway = make.gateway_on(agent, documents.prefix)
    tally(gateway.address, 8)

    def series(name, **labels):
        return len(gateway.admin.metrics().find(name, **labels))

    eventually(lambda: series("lictor_requests_total", route="short-lived") and series("lictor_upstream_requests_total", service=service) >= 2)
    agent.deregister(f"{service}-b")
    eventually(lambda: series("lictor_upstream_requests_total", service=service, instance=f"{service}-b"), 0)
    assert series("lictor_upstream_requests_total", service=service, instance=f"{service}-a")
    documents.delete("routes/short-lived")
    eventually(lambda: series("lictor_requests_total", route="short-lived"), 0)
    eventually(lambda: series("lictor_request_duration_seconds_count", route="short-lived"), 0)
    eventually(lambda: series("lictor_upstream_instances", service=service), 0)
