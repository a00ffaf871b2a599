"""rate_limit, concurrency_limit, body_limit: how much a client may."""

import base64
import hashlib
import hmac
import json
import threading
import time

import pytest

from harness.backend import answer, never
from harness.client import Client
from harness.documents import endpoints, one_upstream
from harness.lictor import is_sanitized, write_documents
from harness.wait import eventually, scaled


def limited(backend, *filters, **more):
    return one_upstream(backend, route={"filters": list(filters), **more})


@pytest.fixture
def backend(make):
    return make.backend()


# --- rate_limit ----------------------------------------------------------------------------------


def test_requests_beyond_the_burst_get_429_and_every_answer_tells_what_is_left(make, backend):
    gateway = make.gateway(limited(backend, {"rate_limit": {"rate": 3, "per": "1h"}}))
    for left in (2, 1, 0):
        response = gateway.get("/")
        assert response.status == 200
        assert response.fields["ratelimit-limit"] == "3"
        assert response.fields["ratelimit-remaining"] == str(left)
        assert int(response.fields["ratelimit-reset"]) in range((3 - left) * 1200 - 10, (3 - left) * 1200 + 1)
        assert "retry-after" not in response.fields
    refused = gateway.get("/")
    refused.problem(429, "rate_limited")
    assert int(refused.fields["retry-after"]) in range(1190, 1201)
    assert refused.fields["ratelimit-limit"] == "3" and refused.fields["ratelimit-remaining"] == "0"
    assert refused.fields["ratelimit-policy"] == '"client_ip-1h";q=3;w=3600'
    assert backend.hits == 3
    assert gateway.admin.metrics().one("lictor_rate_limited_total", route="all") == 1


def test_who_waits_for_retry_after_gets_through(make, backend):
    gateway = make.gateway(limited(backend, {"rate_limit": {"rate": 1, "per": "1s"}}))
    assert gateway.get("/").status == 200
    refused = gateway.get("/")
    assert (refused.status, refused.fields["retry-after"]) == (429, "1")
    moment = time.monotonic()
    eventually(lambda: gateway.get("/").status, 200, within=3)
    assert time.monotonic() - moment < scaled(2)


def test_the_promised_number_passes_at_five_times_the_rate_over_two_workers(make, backend):
    rate, seconds = 200, 5
    gateway = make.gateway(limited(backend, {"rate_limit": {"rate": rate, "per": "1s", "burst": rate // 2, "key": "route"}}), workers=2)
    results = []

    def flood():
        statuses, due = [], time.monotonic()
        end = due + seconds
        with Client(gateway.address) as client:
            while due < end:
                statuses.append((client.get("/").status, time.monotonic()))
                due += 8 / (5 * rate)
                time.sleep(max(0, due - time.monotonic()))
        results.append(statuses)

    threads = [threading.Thread(target=flood) for _ in range(8)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = max(when for part in results for status, when in part if status == 200) - began
    statuses = [status for part in results for status, _ in part]
    assert set(statuses) == {200, 429}
    assert len(statuses) > 2 * rate * seconds  # else nothing was limited
    promised = rate // 2 + rate * took  # as long as nobody sleeps for half a second
    assert abs(statuses.count(200) - promised) <= 0.02 * promised
    assert statuses.count(200) == backend.hits


def test_two_clients_and_two_routes_do_not_share(make, backend):
    documents = limited(backend, {"rate_limit": {"rate": 1, "per": "1h"}})
    documents["routes/other"] = {"path": "/other", "service": "web", "filters": [{"rate_limit": {"rate": 1, "per": "1h"}}]}
    gateway = make.gateway(documents)
    assert gateway.get("/", source="127.0.0.1").status == 200
    assert gateway.get("/", source="127.0.0.1").status == 429
    assert gateway.get("/", source="127.0.0.2").status == 200
    assert gateway.get("/other", source="127.0.0.1").status == 200


def test_a_shared_filter_is_one_limit_for_all_its_routes_and_one_each_by_route(make, backend):
    documents = {
        "upstreams/web": endpoints(backend),
        "filters/together": {"rate_limit": {"rate": 1, "per": "1h"}},
        "filters/each": {"rate_limit": {"rate": 1, "per": "1h", "key": "route"}},
        "routes/a": {"path": "/a", "service": "web", "filters": [{"use": "together"}]},
        "routes/b": {"path": "/b", "service": "web", "filters": [{"use": "together"}]},
        "routes/c": {"path": "/c", "service": "web", "filters": [{"use": "each"}]},
        "routes/d": {"path": "/d", "service": "web", "filters": [{"use": "each"}]},
    }
    gateway = make.gateway(documents)
    assert [gateway.get(path).status for path in ("/a", "/b", "/c", "/d", "/c", "/d")] == [200, 429, 200, 200, 429, 429]


def test_a_limit_of_the_gateway_holds_for_every_route_and_goes_by_the_client_behind_a_proxy(make, backend):
    documents = {
        "gateway": {"filters": [{"rate_limit": {"rate": 1, "per": "1h"}}]},
        "upstreams/web": endpoints(backend),
        "routes/a": {"path": "/a", "service": "web"},
        "routes/b": {"path": "/b", "service": "web"},
    }
    gateway = make.gateway(documents, trusted_proxies=["127.0.0.1"])

    def ask(path, client):
        return gateway.get(path, fields={"X-Forwarded-For": client}).status

    assert [ask("/a", "198.51.100.1"), ask("/b", "198.51.100.1"), ask("/b", "198.51.100.2")] == [200, 429, 200]
    assert [ask("/a", "2001:db8::1"), ask("/a", "2001:db8::2"), ask("/a", "2001:db8:0:1::2")] == [200, 429, 200]


def test_of_two_limits_the_tighter_is_told_and_those_of_the_service_are_not(make, backend):
    backend.default = answer(fields={"RateLimit-Limit": "7", "RateLimit-Remaining": "6", "X-RateLimit-Limit": "5"})
    filters = [{"rate_limit": {"rate": 100, "per": "1h", "key": "route"}}, {"rate_limit": {"rate": 2, "per": "1h"}}]
    gateway = make.gateway(limited(backend, *filters))
    fields = gateway.get("/").fields
    assert (fields["ratelimit-limit"], fields["ratelimit-remaining"], fields["x-ratelimit-limit"]) == ("2", "1", "5")
    assert fields["ratelimit"].startswith('"route-1h";r=99;t=36, "client_ip-1h";r=1;t=')


def test_keys_from_headers_are_bounded_and_cannot_name_an_address(make, backend):
    gateway = make.gateway(limited(backend, {"rate_limit": {"rate": 1, "per": "1h", "key": {"header": "X-Key"}}}))

    def ask(*fields):
        return gateway.get("/", fields=fields).status

    assert ask(("X-Key", "127.0.0.1")) == 200
    assert ask() == 200
    assert ask() == 429
    assert ask(("X-Key", "a"), ("X-Key", "b")) == 429
    assert ask(("X-Key", "k" * 8000)) == 200
    assert ask(("x-key", "k" * 8000)) == 429
    assert ask(("X-Key", "k" * 7999 + "l")) == 200
    before = gateway.rss()
    with gateway.client() as client:
        for n in range(20000):
            client.send_request("GET", "/", fields={"X-Key": f"{n}"})
            if n % 50 == 49:
                for _ in range(50):
                    client.read_response()
    assert gateway.rss() - before < (64 if is_sanitized() else 8) << 20


def token(secret, **claims):
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    signed = b".".join(part(json.dumps(value).encode()) for value in ({"alg": "HS256"}, {"exp": int(time.time()) + 600, **claims}))
    return (signed + b"." + part(hmac.digest(secret.encode(), signed, hashlib.sha256))).decode()


def test_users_and_claims_of_a_token_have_limits_of_their_own(make, backend, tmp_path):
    secret = "a secret that is long enough for HS256"
    (tmp_path / "secret").write_text(secret)
    jwt = {"jwt": {"algorithms": ["HS256"], "secret_file": str(tmp_path / "secret"), "required": False}}

    def route(path, key):
        return {"path": path, "service": "web", "filters": [jwt, {"rate_limit": {"rate": 1, "per": "1h", "key": key}}]}

    gateway = make.gateway({"upstreams/web": endpoints(backend), "routes/user": route("/user", "user"), "routes/org": route("/org", {"claim": "org"})})

    def ask(path, **claims):
        return gateway.get(path, fields={"Authorization": f"Bearer {token(secret, **claims)}"} if claims else {}).status

    assert [ask("/user", sub=name) for name in ("ann", "bob", "ann")] == [200, 200, 429]
    assert [ask("/org", sub=name, org=org) for name, org in (("ann", "a"), ("bob", "a"), ("ann", "b"))] == [200, 429, 200]
    # Without the claim, or a token at all, it is the address that counts.
    assert [ask("/org", sub="cid"), ask("/org", sub="dan"), ask("/org")] == [200, 429, 429]
    # A token that was not signed here is turned away before it counts.
    assert gateway.get("/user", fields={"Authorization": f"Bearer {token('another secret of the same length', sub='eve')}"}).status == 401
    assert ask("/user", sub="eve") == 200


def test_a_limit_counts_on_across_changes_elsewhere_and_anew_when_it_changes(make, agent, documents, backend):
    documents.put("upstreams/web", endpoints(backend))

    def put(rate, **more):
        documents.put("routes/all", {"path": "/*", "service": "web", "filters": [{"rate_limit": {"rate": rate, "per": "1h"}}], **more})

    put(2)
    gateway = make.gateway_on(agent, prefix=documents.prefix)
    assert [gateway.get("/").status for _ in range(3)] == [200, 200, 429]

    def revision():
        return gateway.admin.status()["config_revision"]

    before = revision()
    put(2, timeout="7s")
    eventually(lambda: revision() > before)
    assert gateway.get("/").status == 429
    before = revision()
    documents.put("routes/other", {"path": "/other", "service": "web"})
    eventually(lambda: revision() > before)
    assert gateway.get("/").status == 429
    put(3)
    eventually(lambda: gateway.get("/").status, 200)


# --- concurrency_limit ---------------------------------------------------------------------------


def test_requests_at_once_are_limited_over_two_workers_and_places_come_back(make, backend):
    backend.on("/slow", never)
    gateway = make.gateway(limited(backend, {"concurrency_limit": {"requests": 5}}), workers=2)
    clients = [Client(gateway.address) for _ in range(5)]
    try:
        for n, client in enumerate(clients):
            client.send_request("GET", "/slow")
            eventually(lambda: backend.hits, n + 1)
        for _ in range(8):  # of both workers
            gateway.get("/").problem(503, "overloaded")
        clients.pop().close()
        eventually(lambda: gateway.get("/").status, 200)
    finally:
        for client in clients:
            client.close()


def test_a_place_is_held_by_a_body_that_streams_and_given_back_by_every_end(make, backend):
    gateway = make.gateway(limited(backend, {"concurrency_limit": {"requests": 1, "key": "client_ip"}}, timeout="300ms"))
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
        eventually(lambda: backend.started, 1)
        gateway.get("/").problem(503, "overloaded")
        assert gateway.get("/", source="127.0.0.2").status == 200
        client.send(b"world")
        assert client.read_response().status == 200
    assert gateway.get("/").status == 200
    backend.on("/hang", never)
    gateway.get("/hang").problem(504, "upstream_timeout")
    assert gateway.get("/").status == 200
    with gateway.client() as client:
        client.send_request("GET", "/hang")
        client.reset()
    eventually(lambda: gateway.get("/").status, 200)


# --- body_limit ----------------------------------------------------------------------------------


def test_a_body_over_the_routes_limit_is_413(make, backend):
    documents = limited(backend, {"body_limit": "1KiB"})
    documents["routes/large"] = {"path": "/large", "service": "web"}
    gateway = make.gateway(documents)
    assert gateway.request("POST", "/", body=b"x" * 1024).status == 200
    gateway.request("POST", "/", body=b"x" * 1025).problem(413, "body_too_large")
    gateway.request("POST", "/", body=[b"x" * 512, b"x" * 512, b"x"]).problem(413, "body_too_large")
    assert gateway.request("POST", "/large", body=b"x" * 2000).status == 200
    assert backend.hits == 2


def test_a_body_limit_does_not_raise_that_of_the_gateway(make, backend):
    gateway = make.gateway(limited(backend, {"body_limit": "1MiB"}), limits={"body_bytes": "1KiB"})
    gateway.request("POST", "/", body=b"x" * 1025).problem(413, "body_too_large")


def test_a_length_that_lies_is_refused_at_once_and_never_read(make, backend):
    gateway = make.gateway(limited(backend, {"body_limit": "1KiB"}))
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775807\r\nExpect: 100-continue\r\n\r\n")
        client.read_response().problem(413, "body_too_large")
    assert backend.started == 0


# --- together ------------------------------------------------------------------------------------


def test_a_chain_stops_at_the_first_that_refuses_and_takes_nothing_from_those_behind(make, backend):
    filters = [
        {"cors": {"origins": ["https://a.example"]}},
        {"ip_access": {"deny": ["127.0.0.2"]}},
        {"rate_limit": {"rate": 1, "per": "1h", "key": "route"}},
        {"concurrency_limit": {"requests": 1}},
        {"body_limit": 10},
    ]
    gateway = make.gateway(limited(backend, *filters))
    origin = {"Origin": "https://a.example"}
    denied = gateway.get("/", source="127.0.0.2", fields=origin)
    denied.problem(403, "forbidden")
    assert denied.fields["access-control-allow-origin"] == "https://a.example"
    assert "ratelimit-limit" not in denied.fields
    passed = gateway.request("POST", "/", body=b"0123456789", fields=origin)
    assert (passed.status, passed.fields["ratelimit-remaining"]) == (200, "0")
    refused = gateway.get("/", fields=origin)
    refused.problem(429, "rate_limited")
    assert refused.fields["access-control-allow-origin"] == "https://a.example"


def test_bad_documents_say_what_is_wrong_and_harm_nobody(make, backend):
    documents = limited(backend)
    gateway = make.gateway(documents)
    bad = {
        "rate_limit": ({"rate": 0}, "$.filters[0].rate_limit.rate: must be a whole number from 1 to 1000000"),
        "concurrency_limit": ({}, "$.filters[0].concurrency_limit: requests is missing: how many at once?"),
        "body_limit": ("huge", "$.filters[0].body_limit: must be a size"),
        "fault": ({"percent": 5}, "$.filters[0].fault: does nothing"),
        "cors": ({"origins": ["*"], "credentials": True}, "$.filters[0].cors.credentials: goes with named origins alone"),
    }
    write_documents(
        gateway.folder / "documents", {f"routes/{name}": {"path": f"/{name}", "service": "web", "filters": [{name: config}]} for name, (config, _) in bad.items()}
    )
    for name, (_, message) in bad.items():
        document = eventually(lambda: gateway.admin.document(f"routes/{name}"))
        assert document["state"] == "rejected"
        assert document["error"].startswith(message)
    assert gateway.get("/").status == 200
