"""Callers that documents name: consumers/<name>, and the filters api_key and basic_auth."""

import base64
import hashlib
import json
import threading

import pytest

from harness.documents import endpoints
from harness.lictor import run_lictor, write_documents
from harness.wait import eventually

# Made by: mkpasswd -m METHOD 'correct horse'
HASHES = {
    "bcrypt": "$2b$08$hoTti35sxNQ2e/XGQSYT0.f3iS3N7RlQ11NuCkU1sgRvfhTcFHLdG",
    "sha256": "$5$TzbU9TlFd51nk7oq$z8Qrabeb/lFOTbJs1sd/tgrnFG6BENkbTzizwSHVKT1",
    "sha512": "$6$zWLjgyaGCkDZ2FjA$d5tQPvnQRT9zORstZosD6kBt9P2n1NadDiY9dpKzjgE2PZGgbJWBuLXQbxQSodvv0Ko/NEmAEtihN3/F63vRl1",
    "yescrypt": "$y$j75$8I4vUZQ82dfF9wC7iiaD81$Skoi.tiFWSgtGVuvtucAqZuQe2.3HAAKTT1Ns.l7tw7",
}
PASSWORD = "correct horse"
SHOW = {"request_headers": {"set": {"X-User": "${user}"}}}


def key(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def guarded(backend, *filters, **consumers):
    documents = {"routes/all": {"path": "/*", "service": "web", "filters": [*filters, SHOW]}, "upstreams/web": endpoints(backend)}
    return {**documents, **{f"consumers/{name}": consumer for name, consumer in consumers.items()}}


def refused(response, challenge):
    response.problem(401, "unauthorized")
    assert response.fields["www-authenticate"] == challenge


# API keys


def test_api_keys_and_groups(make, tmp_path):
    backend, log = make.backend(), tmp_path / "access.log"
    alice = {"api_keys": [key("a-1"), key("a-2")], "groups": ["ops", "dev"]}
    gateway = make.gateway(guarded(backend, {"api_key": {"groups": ["ops"]}}, alice=alice, bob={"api_keys": [key("b")]}), workers=1, log={"access": {"path": str(log)}})
    for text in ("a-1", "a-2"):
        assert gateway.get("/", fields={"X-API-Key": text}).status == 200
        assert backend.last.fields["x-user"] == "alice"
    gateway.get("/", fields={"x-api-key": "b"}).problem(403, "forbidden")
    refused(gateway.get("/", fields={"X-API-Key": "c"}), "ApiKey")
    refused(gateway.get("/", fields={"X-API-Key": key("a-1")}), "ApiKey")
    refused(gateway.get("/", fields={"X-API-Key": "a" * 5000}), "ApiKey")
    refused(gateway.get("/"), "ApiKey")
    refused(gateway.get("/?X-API-Key=a-1", fields={"Cookie": "X-API-Key=a-1"}), "ApiKey")
    refused(gateway.get("/", fields=[("X-API-Key", "a-1"), ("X-API-Key", "a-1")]), "ApiKey")
    assert backend.hits == 2
    eventually(lambda: len(log.read_text().splitlines()), 9)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line.get("reason") for line in lines] == [None, None, "group", "unknown_key", "unknown_key", "unknown_key", "missing", "missing", "repeated"]
    assert [line.get("user") for line in lines[:3]] == ["alice", "alice", "bob"]
    assert gateway.admin.metrics().one("lictor_auth_failures_total", route="all", reason="unknown_key") == 3


@pytest.mark.parametrize("place", ["query", "cookie"])
def test_keys_in_other_places(make, place):
    gateway = make.gateway(guarded(make.backend(), {"api_key": {"in": {place: "k"}}}, alice={"api_keys": [key("a b/+")]}))
    ask = (lambda text: gateway.get(f"/?k={text}")) if place == "query" else (lambda text: gateway.get("/", fields={"Cookie": f"k={text}"}))
    assert ask("a%20b/%2b" if place == "query" else "a b/+").status == 200
    assert ask("a").status == 401
    assert gateway.get("/", fields={"k": "a b/+"}).status == 401


def test_consumers_come_and_go(make):
    backend = make.backend()
    gateway = make.gateway(guarded(backend, {"api_key": {}}))
    ask = lambda text: gateway.get("/", fields={"X-API-Key": text}).status  # noqa: E731
    assert ask("a") == 401
    folder = gateway.folder / "documents"
    write_documents(folder, {"consumers/alice": {"api_keys": [key("a")]}})
    eventually(lambda: ask("a"), 200)
    assert gateway.admin.state("consumers/alice") == "active"
    write_documents(folder, {"consumers/alice": {"api_keys": ["sha256:short"]}})
    eventually(lambda: gateway.admin.state("consumers/alice"), "stale")
    assert ask("a") == 200
    write_documents(folder, {"consumers/alice": {"api_keys": [key("b")]}})
    eventually(lambda: ask("b"), 200)
    assert ask("a") == 401
    (folder / "consumers" / "alice.json").unlink()
    eventually(lambda: ask("b"), 401)


def test_the_same_key_twice_stays_with_the_first(make):
    gateway = make.gateway(guarded(make.backend(), {"api_key": {}}, bob={"api_keys": [key("x")]}, carol={"api_keys": [key("c"), key("x")]}))
    found = gateway.admin.document("consumers/carol")
    assert (found["state"], found["error"]) == ("rejected", "$.api_keys[1]: consumers/bob has the same key")
    assert gateway.get("/", fields={"X-API-Key": "x"}).status == 200
    assert gateway.get("/", fields={"X-API-Key": "c"}).status == 401
    write_documents(gateway.folder / "documents", {"consumers/bob": {"api_keys": [key("y")]}})
    eventually(lambda: gateway.admin.state("consumers/carol"), "active")
    assert gateway.get("/", fields={"X-API-Key": "c"}).status == 200


def test_consumers_are_in_the_snapshot_file(make, fake, tmp_path):
    backend, saved = make.backend(), tmp_path / "snapshot.json"
    for name, document in guarded(backend, {"api_key": {}}, alice={"api_keys": [key("a")]}).items():
        fake.put(name, document)
    make.gateway_on(fake, snapshot=str(saved)).stop()
    gateway = make.gateway_on(fake, snapshot=str(saved), consul={"address": "http://127.0.0.1:9"})
    assert gateway.get("/", fields={"X-API-Key": "a"}).status == 200
    assert gateway.get("/", fields={"X-API-Key": "b"}).status == 401
    assert saved.stat().st_mode & 0o077 == 0  # it has hashes of passwords


# Passwords


@pytest.mark.parametrize("kind", HASHES)
def test_passwords(make, kind):
    backend = make.backend()
    consumers = {"alice": {"basic": {"al": HASHES[kind]}, "groups": ["ops"]}, "bob": {"basic": {"bob": HASHES[kind]}}}
    gateway = make.gateway(guarded(backend, {"basic_auth": {"realm": 'the "ops"', "groups": ["ops"]}}, **consumers))
    challenge = 'Basic realm="the \\"ops\\"", charset="UTF-8"'
    refused(gateway.get("/"), challenge)
    for _ in range(2):  # computed, then remembered
        assert gateway.get("/", fields=basic("al", PASSWORD)).status == 200
        assert backend.last.fields["x-user"] == "alice"
        refused(gateway.get("/", fields=basic("al", PASSWORD + "x")), challenge)
        refused(gateway.get("/", fields=basic("alice", PASSWORD)), challenge)
        refused(gateway.get("/", fields=basic("nobody", PASSWORD)), challenge)
        gateway.get("/", fields=basic("bob", PASSWORD)).problem(403, "forbidden")
    assert backend.hits == 2


def test_credentials_that_are_malformed(make):
    gateway = make.gateway(guarded(make.backend(), {"basic_auth": {}}, alice={"basic": {"al": HASHES["sha256"]}}))
    good = basic("al", PASSWORD)["Authorization"]
    for text in ("Basic", "Basic ", "Basic !", "Basic YWw", "Basic YWw6\x0b", good + "=", good[:-1], good + ", " + good, "Basic " + "A" * 4000):
        refused(gateway.get("/", fields={"Authorization": text}), 'Basic realm="lictor", charset="UTF-8"') if "\x0b" not in text else None
    for pair in ("al", "al:" + PASSWORD + "\0", "al\0:" + PASSWORD, "al:" + PASSWORD + "\n"):
        text = "Basic " + base64.b64encode(pair.encode()).decode()
        refused(gateway.get("/", fields={"Authorization": text}), 'Basic realm="lictor", charset="UTF-8"')
    refused(gateway.get("/", fields=[("Authorization", good), ("Authorization", good)]), 'Basic realm="lictor", charset="UTF-8"')
    assert gateway.get("/", fields={"Authorization": good.replace("Basic", "bASIC")}).status == 200


def test_a_costly_hash_stalls_nobody(make):
    """While many passwords are checked, requests that need none are answered; what is too much gets 503."""
    backend = make.backend()
    documents = guarded(backend, {"basic_auth": {}}, alice={"basic": {"al": HASHES["bcrypt"]}})
    documents["routes/open"] = {"path": "/open", "service": "web"}
    gateway = make.gateway(documents, workers=1)
    statuses = []

    def ask(number):
        statuses.append(gateway.get("/", fields=basic("al", f"wrong {number}"), timeout=30).status)

    askers = [threading.Thread(target=ask, args=(number,)) for number in range(100)]
    for asker in askers:
        asker.start()
    answered = 0
    while any(asker.is_alive() for asker in askers) and answered < 20:
        assert gateway.get("/open", timeout=1).status == 200
        answered += 1
    with gateway.client() as client:  # one that goes away meanwhile
        client.send_request("GET", "/", fields=basic("al", "and gone"))
    for asker in askers:
        asker.join()
    assert set(statuses) <= {401, 503} and statuses.count(401) >= 60
    assert gateway.get("/", fields=basic("al", PASSWORD)).status == 200


def test_a_new_password_counts_at_once(make):
    gateway = make.gateway(guarded(make.backend(), {"basic_auth": {}}, alice={"basic": {"al": HASHES["sha256"]}}))
    assert gateway.get("/", fields=basic("al", PASSWORD)).status == 200
    write_documents(gateway.folder / "documents", {"consumers/alice": {"basic": {"al": HASHES["sha256"].replace("$5$", "$5$")[:-1] + "."}}})
    eventually(lambda: gateway.get("/", fields=basic("al", PASSWORD)).status, 401)


@pytest.mark.parametrize(
    "consumer, error",
    [
        ({}, "$: can't be known by anything: give it api_keys or basic"),
        ({"api_keys": ["secret"]}, '$.api_keys[0]: must be "sha256:" and'),
        ({"api_keys": [key("a"), key("a").replace("a", "A").replace("shA", "sha")]}, "$.api_keys[1]: the same key twice"),
        ({"basic": {"al": "plain"}}, "$.basic.al: must be a hash of bcrypt"),
        ({"basic": {"al": "$1$salt$yYdcNwQGRGpWB.9pM9QoX0"}}, "$.basic.al: must be a hash of bcrypt"),
        ({"basic": {"al": "ab.0123456789"}}, "$.basic.al: must be a hash of bcrypt"),
        ({"basic": {"al": "$2b$31$" + "a" * 53}}, "$.basic.al: has a cost of 31"),
        ({"basic": {"al": "$6$rounds=999999999$salt$" + "a" * 86}}, "$.basic.al: has rounds out of bounds"),
        ({"basic": {"al": "$y$jHT$salt$" + "a" * 43}}, "$.basic.al: costs too much"),
        ({"basic": {"a:l": HASHES["sha256"]}}, "$.basic.a:l: a user has"),
        ({"api_key": []}, '$.api_key: unknown key (did you mean "api_keys"?)'),
    ],
)
def test_a_consumer_that_is_wrong(tmp_path, consumer, error):
    write_documents(tmp_path, {"consumers/alice": consumer})
    done = run_lictor("check", tmp_path)
    assert done.returncode == 1
    assert error in done.stdout.replace('$.basic["a:l"]', "$.basic.a:l"), done.stdout
    for secret in ("secret", "plain", "yYdcNwQGRGpWB", "0123456789"):
        assert secret not in done.stdout.replace("a secret", "")


def test_check_finds_a_key_that_two_have(tmp_path):
    write_documents(tmp_path, {"consumers/alice": {"api_keys": [key("a")]}, "consumers/bob": {"api_keys": [key("a")]}})
    done = run_lictor("check", tmp_path)
    assert done.returncode == 1 and "bob.json: $.api_keys[0]: consumers/alice has the same key" in done.stdout
