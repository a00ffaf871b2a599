"""Counters, histograms and the access log tell exactly what happened: over two workers, while the configuration changes."""

import json
import threading
from collections import Counter

from harness.backend import answer, hangs_up, never
from harness.consul import free_ports
from harness.documents import endpoints
from harness.lictor import write_documents
from harness.wait import eventually

CLIENTS = 8
ROUNDS = 15

# What a client does: method, target, body -> route, service, status, and how often the service is tried with which outcome.
KINDS = [
    ("GET", "/fine", None, "fine", "web", 200, {"ok": 1}),
    ("POST", "/fine", b"x" * 100, "fine", "web", 200, {"ok": 1}),
    ("HEAD", "/fine", None, "fine", "web", 200, {"ok": 1}),
    ("GET", "/broken", None, "broken", "web", 500, {"5xx": 1}),
    ("GET", "/again", None, "again", "web", 503, {"5xx": 3}),  # two retries
    ("GET", "/cut", None, "cut", "web", 502, {"reset": 1}),
    ("GET", "/dead", None, "dead", "dead", 502, {"connect_error": 2}),  # the default: one retry
    ("GET", "/nobody", None, "nobody", "nobody", 503, {}),
    ("GET", "/own", None, "own", "", 418, {}),
    ("GET", "/nowhere", None, "", "", 404, {}),
    ("PUT", "/only-get", b"x", "", "", 405, {}),
]


def documents(backend, dead):
    # Neither limits nor ejection: what happens depends on nothing but the request.
    policy = {"ejection": {"consecutive_failures": 0}, "retry_budget_percent": 100}
    return {
        "upstreams/web": endpoints(backend, **policy),
        "upstreams/dead": {"endpoints": [{"address": f"127.0.0.1:{dead}"}], **policy},
        "routes/fine": {"path": "/fine", "service": "web"},
        "routes/broken": {"path": "/broken", "service": "web"},
        "routes/again": {"path": "/again", "service": "web", "retries": {"attempts": 2, "on": ["503"]}},
        "routes/cut": {"path": "/cut", "service": "web"},
        "routes/slow": {"path": "/slow", "service": "web"},
        "routes/dead": {"path": "/dead", "service": "dead"},
        "routes/nobody": {"path": "/nobody", "service": "nobody"},
        "routes/own": {"path": "/own", "filters": [{"respond": {"status": 418, "body": "tea"}}]},
        "routes/only-get": {"path": "/only-get", "methods": ["GET"], "service": "web"},
    }


def test_after_many_requests_every_number_is_exact(make, tmp_path):
    backend = make.backend()
    backend.on("/broken", answer(500))
    backend.on("/again", answer(503))
    backend.on("/cut", hangs_up)
    backend.on("/slow", never)
    (dead,) = free_ports(1)
    log = tmp_path / "access.log"
    gateway = make.gateway(documents(backend, dead), workers=2, log={"access": {"path": str(log)}})
    failures = []
    done = threading.Event()

    def ask():
        try:
            for _ in range(ROUNDS):
                for method, target, body, _, _, status, _ in KINDS:
                    got = gateway.request(method, target, body=body).status
                    assert got == status, f"{method} {target}: {got}"
        except Exception as failure:
            failures.append(failure)

    def change():
        number = 0
        while not done.wait(0.05):
            number += 1
            write_documents(gateway.folder / "documents", {"routes/passing": {"path": f"/passing/{number}", "service": "web"}})

    changer = threading.Thread(target=change)
    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    revision = gateway.admin.status()["config_revision"]
    for thread in [changer, *clients]:
        thread.start()
    for thread in clients:
        thread.join()
    gone = 5
    for _ in range(gone):
        with gateway.client() as client:
            before = backend.started
            client.send_request("GET", "/slow")
            eventually(lambda: backend.started > before)
            client.reset()
    done.set()
    changer.join()
    assert not failures, failures[0]

    times = CLIENTS * ROUNDS
    expected = Counter({("slow", "web", "GET", "499"): gone})
    tries = Counter()
    for method, _, _, route, service, status, outcomes in KINDS:
        expected[(route, service, method, str(status))] += times
        for outcome, count in outcomes.items():
            tries[(service, outcome)] += count * times

    def counted(metrics):
        found = metrics.find("lictor_requests_total", listener="http")
        return Counter({(one["route"], one["service"], one["method"], one["code"]): value for one, value in found})

    eventually(lambda: counted(gateway.admin.metrics()), expected, within=5)
    metrics = gateway.admin.metrics()
    assert gateway.admin.status()["config_revision"] > revision + 3

    by_route = Counter()
    for (route, service, _, _), count in expected.items():
        by_route[(route, service)] += count
    counts = metrics.find("lictor_request_duration_seconds_count")
    assert Counter({(one["route"], one["service"]): value for one, value in counts}) == by_route
    top = metrics.find("lictor_request_duration_seconds_bucket", le="+Inf")
    assert Counter({(one["route"], one["service"]): value for one, value in top}) == by_route

    retries = {(one["service"], one["reason"]): value for one, value in metrics.find("lictor_retries_total") if value}
    # "/cut" on a connection that was used before looks like a stale one, and is replayed.
    tries[("web", "reset")] += (replays := retries.pop(("web", "stale"), 0))
    assert retries == {("web", "status"): 2 * times, ("dead", "connect"): times}
    outcomes = metrics.find("lictor_upstream_requests_total")
    assert Counter({(one["service"], one["outcome"]): value for one, value in outcomes if value}) == tries
    routes = {one["name"]: one["requests_total"] for one in gateway.admin.json("/v1/routes")}
    assert routes["fine"] == 3 * times and routes["slow"] == gone
    assert metrics.sum("lictor_upstream_connections", state="busy") == 0

    def lines():
        return [json.loads(line) for line in log.read_text().splitlines()]

    total = sum(expected.values())
    eventually(lambda: len(lines()), total, within=5)
    entries = lines()
    assert Counter((one.get("route", ""), one.get("service", ""), one["method"], str(one["status"])) for one in entries) == expected
    assert len({one["request_id"] for one in entries}) == total
    posted = [one for one in entries if (one["method"], one["path"]) == ("POST", "/fine")]
    assert {one["bytes_in"] for one in posted} == {100}
    assert {one["bytes_out"] for one in entries if one["path"] == "/own"} == {3}
    assert {one["retries"] for one in entries if one["path"] == "/again"} == {2}
    assert sum(one["retries"] for one in entries if one["path"] == "/cut") == replays
    assert metrics.one("lictor_access_log_dropped_total") == 0
