"""An issuer's keys from a URL: fetched by the control plane, kept through every failure of the issuer's."""

import json
import threading
import time

from harness.backend import answer, never, raw
from harness.documents import endpoints
from harness.lictor import write_documents
from harness.tokens import IssuerKey, bearer, key_set
from harness.wait import eventually

FOUND = {"Content-Type": "application/json", "Cache-Control": "max-age=60"}


def keys_answer(*keys, **how):
    return answer(body=json.dumps(key_set(*keys)).encode(), fields=FOUND, **how)


def guarded(backend, issuer, path="/jwks.json", **jwt):
    jwt = {"jwks_uri": f"http://{issuer.address}{path}", **jwt}
    return {"routes/all": {"path": "/*", "service": "web", "filters": [{"jwt": jwt}]}, "upstreams/web": endpoints(backend)}


def ask(gateway, token):
    return gateway.get("/", fields=bearer(token)).status


def fetches(gateway, outcome):
    return gateway.admin.metrics().sum("lictor_jwks_fetches_total", outcome=outcome)


def test_keys_are_fetched_once_for_all(make):
    backend, issuer, key = make.backend(), make.backend("issuer"), IssuerKey("one")
    issuer.on("/jwks.json", keys_answer(key))
    documents = guarded(backend, issuer)
    documents["routes/more"] = {**documents["routes/all"], "path": "/more"}
    gateway = make.gateway(documents)
    for _ in range(20):
        assert ask(gateway, key.token()) == 200
    assert issuer.hits == 1
    assert fetches(gateway, "ok") == 1 and fetches(gateway, "error") == 0
    assert 0 <= gateway.admin.metrics().one("lictor_jwks_age_seconds") < 60


def test_a_new_key_is_fetched_when_it_is_met(make):
    backend, issuer, old, new = make.backend(), make.backend("issuer"), IssuerKey("old"), IssuerKey("new")
    issuer.on("/jwks.json", keys_answer(old))
    gateway = make.gateway(guarded(backend, issuer))
    assert ask(gateway, old.token()) == 200
    issuer.on("/jwks.json", keys_answer(old, new))
    assert ask(gateway, new.token()) == 401  # nobody waits for it
    eventually(lambda: ask(gateway, new.token()), 200, within=3)
    assert ask(gateway, old.token()) == 200
    assert issuer.hits == 2
    issuer.on("/jwks.json", keys_answer(new))
    # Another wish within ten seconds is not granted, however many have it.
    stop = time.monotonic() + 1.5
    while time.monotonic() < stop:
        assert ask(gateway, new.token(kid="nobody's")) == 401
    assert issuer.hits == 2
    assert ask(gateway, old.token()) == 200


def test_old_keys_go_when_the_new_ones_are_there(make):
    backend, issuer, old, new = make.backend(), make.backend("issuer"), IssuerKey("old"), IssuerKey("new")
    issuer.on("/jwks.json", keys_answer(old))
    gateway = make.gateway(guarded(backend, issuer))
    remembered = old.token()
    assert ask(gateway, remembered) == 200
    issuer.on("/jwks.json", keys_answer(new))
    eventually(lambda: ask(gateway, new.token()), 200, within=3)
    assert ask(gateway, remembered) == 401


def test_a_request_waits_for_the_first_keys(make):
    backend, issuer, key = make.backend(), make.backend("issuer"), IssuerKey("one")
    begun, go = threading.Event(), threading.Event()

    def slow(exchange):
        begun.set()
        go.wait(4)
        keys_answer(key)(exchange)

    issuer.on("/jwks.json", slow)
    gateway = make.gateway(guarded(backend, issuer))
    assert begun.wait(5)
    statuses = []
    askers = [threading.Thread(target=lambda token=token: statuses.append(ask(gateway, token))) for token in (key.token(), key.token(), IssuerKey("one").token())]
    for asker in askers:
        asker.start()
    with gateway.client() as client:  # one that goes away while it waits
        client.send_request("GET", "/", fields=bearer(key.token()))
        time.sleep(0.2)  # nothing tells that they wait
        assert statuses == []
    go.set()
    for asker in askers:
        asker.join()
    assert sorted(statuses) == [200, 200, 401]


def test_an_issuer_that_is_away_from_the_start(make):
    backend, issuer, key = make.backend(), make.backend("issuer"), IssuerKey("one")
    issuer.on("/jwks.json", answer(500))
    gateway = make.gateway(guarded(backend, issuer))
    response = gateway.get("/", fields=bearer(key.token()))
    response.problem(503, "overloaded")
    assert gateway.get("/").status == 401
    issuer.on("/jwks.json", keys_answer(key))
    eventually(lambda: ask(gateway, key.token()), 200)
    assert fetches(gateway, "error") >= 1


def test_the_last_good_keys_outlive_every_fault(make):
    """A fault each time, begun by a change of documents that names the same URL under another filter."""
    key = IssuerKey("one")
    good = json.dumps(key_set(key)).encode()
    faults = {
        "error": answer(500),
        "away": answer(404),
        "garbage": answer(body=b"<html>not found</html>"),
        "no-keys": answer(body=b'{"keys": []}'),
        "no-list": answer(body=b"[]"),
        "only-bad": answer(body=b'{"keys": [{"kty": "oct", "k": "AAAA", "kid": "one"}]}'),
        "huge": answer(body=b'{"keys": [], "x": "' + b"x" * 300_000 + b'"}'),
        "many": answer(body=json.dumps({"keys": [{**key.jwk, "kid": str(n)} for n in range(101)]}).encode()),
        "deep": answer(body=b'{"keys": ' + b"[" * 100_000),
        "redirect": answer(302, fields={"Location": "/elsewhere"}),
        "cut": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + good, then="close"),
        "reset": raw(b"", then="reset"),
    }  # fmt: skip
    backend, issuer = make.backend(), make.backend("issuer")
    issuer.on("/elsewhere", keys_answer(IssuerKey("two")))
    routes = {}
    for name in faults:
        issuer.on(f"/{name}", keys_answer(key))
        jwt = {"jwks_uri": f"http://{issuer.address}/{name}"}
        routes[f"routes/{name}"] = {"path": f"/{name}", "service": "web", "filters": [{"jwt": jwt}]}
    gateway = make.gateway({**routes, "upstreams/web": endpoints(backend)})
    for name in faults:
        assert gateway.get(f"/{name}", fields=bearer(key.token())).status == 200
    for name, fault in faults.items():
        issuer.on(f"/{name}", fault)
        assert gateway.get(f"/{name}", fields=bearer(key.token(kid="new"))).status == 401
    errors = lambda: {labels["uri"].rpartition("/")[2] for labels, count in gateway.admin.metrics().find("lictor_jwks_fetches_total", outcome="error") if count}  # noqa: E731
    eventually(errors, set(faults))
    for name in faults:
        assert gateway.get(f"/{name}", fields=bearer(key.token())).status == 200, name
    assert "/elsewhere" not in issuer.paths()


def test_an_answer_that_never_comes_is_given_up(make):
    backend, issuer, key = make.backend(), make.backend("issuer"), IssuerKey("one")
    issuer.on("/jwks.json", never)
    gateway = make.gateway(guarded(backend, issuer))
    begun = time.monotonic()
    assert ask(gateway, key.token()) == 503
    assert time.monotonic() - begun < 7
    issuer.on("/jwks.json", keys_answer(key))
    eventually(lambda: ask(gateway, key.token()), 200)


def test_keys_outlive_a_change_of_documents(make):
    backend, issuer, key = make.backend(), make.backend("issuer"), IssuerKey("one")
    issuer.on("/jwks.json", keys_answer(key))
    gateway = make.gateway(guarded(backend, issuer))
    assert ask(gateway, key.token()) == 200
    issuer.on("/jwks.json", never)
    revision = gateway.admin.status()["config_revision"]
    write_documents(gateway.folder / "documents", guarded(backend, issuer, audiences=["api"]))
    eventually(lambda: gateway.admin.status()["config_revision"] > revision)
    eventually(lambda: ask(gateway, key.token()), 401)
    assert ask(gateway, key.token(aud="api")) == 200
    assert issuer.hits == 1
    # A URL that nobody names any more is forgotten.
    write_documents(gateway.folder / "documents", {"routes/all": {"path": "/*", "service": "web"}})
    eventually(lambda: gateway.admin.metrics().find("lictor_jwks_fetches_total"), [])
