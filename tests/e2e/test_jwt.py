"""The jwt filter: who has a good token passes. The cases are data (tests/jwt)."""

import base64
import json
import re
import signal
import time
from pathlib import Path

import pytest

from harness.client import Client
from harness.documents import endpoints
from harness.lictor import write_documents
from harness.tokens import SECRET, IssuerKey, bearer, key_set, secret_token
from harness.wait import eventually

DATA = json.loads((Path(__file__).resolve().parents[1] / "jwt" / "cases.json").read_text())
SHOW = {"request_headers": {"set": {"X-User": "${user}", "X-Role": "${claim.role}"}}}


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return str(path)


def guarded(backend, jwt, *more):
    return {"routes/all": {"path": "/*", "service": "web", "filters": [{"jwt": jwt}, *more]}, "upstreams/web": endpoints(backend)}


def refused(response, error=None, status=401):
    response.problem(status, "unauthorized" if status == 401 else "forbidden")
    assert response.fields["www-authenticate"] == ("Bearer" if error is None else f'Bearer error="{error}"')


def logged(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_case_twice(make, tmp_path):
    """The second time from what is remembered, which must not change the verdict."""
    backend, log = make.backend(), tmp_path / "access.log"
    (tmp_path / "secret").write_bytes(base64.urlsafe_b64decode(DATA["secret"] + "=="))
    documents = {"upstreams/web": endpoints(backend)}
    for name, config in DATA["configs"].items():
        if "secret_file" in config:
            config = {**config, "secret_file": str(tmp_path / "secret")}
        documents[f"routes/{name}"] = {"path": f"/{name}", "service": "web", "filters": [{"jwt": config}, SHOW]}
    gateway = make.gateway(documents, log={"access": {"path": str(log)}})
    wrong = []
    with Client(gateway.address) as client:
        for _ in range(2):
            for number, case in enumerate(DATA["cases"]):
                response = client.get(f"/{case['config']}?{number}", fields=bearer(case["token"]))
                if response.status != case["status"]:
                    wrong.append(f"{case['name']}: {response.status}")
                elif response.status == 401:
                    refused(response, "invalid_token")
                elif response.status == 403:
                    refused(response, "insufficient_scope", status=403)
                elif (user := backend.last.fields.get("x-user")) != (case["user"] and case["user"].encode().decode("latin-1")):
                    wrong.append(f"{case['name']}: the user is {user}")
    assert not wrong, "\n".join(wrong)
    count = 2 * len(DATA["cases"])
    eventually(lambda: len(logged(log)) >= count)
    reasons = {int(line["query"]): line.get("reason") for line in logged(log)}
    found = {case["name"]: reasons[number] for number, case in enumerate(DATA["cases"])}
    assert found == {case["name"]: case.get("reason") for case in DATA["cases"]}
    metrics = gateway.admin.metrics()
    by_reason = {reason: 2 * sum(case.get("reason") == reason for case in DATA["cases"]) for reason in set(found.values()) - {None}}
    assert {reason: metrics.sum("lictor_auth_failures_total", reason=reason) for reason in by_reason} == by_reason


def test_no_token(make, secret):
    backend = make.backend()
    gateway = make.gateway(guarded(backend, {"secret_file": secret}))
    refused(gateway.get("/"))
    refused(gateway.get("/", fields={"Authorization": "Basic YTpi"}))
    refused(gateway.get("/", fields={"Authorization": "Bearer"}), "invalid_token")
    assert backend.hits == 0
    assert gateway.get("/", fields={"Authorization": f"bearer  {secret_token()}"}).status == 200


def test_a_token_may_be_missing_but_never_bad(make, secret):
    backend = make.backend()
    gateway = make.gateway(guarded(backend, {"secret_file": secret, "required": False, "forward_claims": {"sub": "X-User-Id"}}, SHOW))
    assert gateway.get("/", fields={"X-User-Id": "root", "X_User_Id": "root", "x-user_id": "root"}).status == 200
    assert not {"x-user-id", "x_user_id", "x-user_id", "x-user"} & {name.lower() for name in backend.last.fields.names}
    refused(gateway.get("/", fields=bearer(secret_token() + "x")), "invalid_token")


def test_two_authorization_fields(make, secret):
    gateway = make.gateway(guarded(make.backend(), {"secret_file": secret}))
    for other in (bearer(secret_token()), {"Authorization": "Basic YTpi"}):
        refused(gateway.get("/", fields=[*bearer(secret_token()).items(), *other.items()]), "invalid_token")


def test_only_authorization_unless_from_says_otherwise(make, secret):
    backend = make.backend()
    gateway = make.gateway(guarded(backend, {"secret_file": secret}))
    token = secret_token()
    refused(gateway.get(f"/?access_token={token}", fields={"Cookie": f"t={token}", "X-Token": token}))
    places = [{"header": "X-Token"}, {"cookie": "t"}, {"query": "access_token"}]
    gateway = make.gateway(guarded(backend, {"secret_file": secret, "from": places}))
    refused(gateway.get("/", fields=bearer(token)))
    assert gateway.get("/", fields={"X-Token": token}).status == 200
    assert gateway.get("/", fields={"Cookie": f"a=b; t={token}"}).status == 200
    assert gateway.get(f"/?a=b&access_token={token}").status == 200
    assert gateway.get(f"/?access_token={token}", fields={"X-Token": token}).status == 200
    # The first place that has one counts, whatever the others say.
    refused(gateway.get(f"/?access_token={token}", fields={"X-Token": "bad"}), "invalid_token")
    refused(gateway.get(f"/?access_token={token}&access_token={token}"), "invalid_token")
    refused(gateway.get("/", fields={"Cookie": f"t={token}; t={token}"}), "invalid_token")


def test_forwarded_claims_are_the_gateways_alone(make, secret):
    backend = make.backend()
    forward = {"sub": "X-User-Id", "roles": "X-Roles", "evil": "X-Evil", "level": "X-Level", "none": "X-None", "org.name": "X-Org"}
    gateway = make.gateway(guarded(backend, {"secret_file": secret, "forward_claims": forward}, SHOW))
    token = secret_token(sub="bob", roles=["a", "b"], evil="x\r\nX-Admin: yes", level=7, role="ops", org={"name": "acme"})
    spoofed = [("x-user-id", "root"), ("X_USER_ID", "root"), ("X-None", "root"), ("X_None", "root"), ("X-Evil", "1")]
    assert gateway.get("/", fields=[*bearer(token).items(), *spoofed]).status == 200
    fields = backend.last.fields
    assert fields.all("x-user-id") == ["bob"]
    assert (fields["x-roles"], fields["x-level"], fields["x-org"], fields["x-role"]) == ("a,b", "7", "acme", "ops")
    assert not {"x_user_id", "x-none", "x_none", "x-evil", "x-admin"} & {name.lower() for name in fields.names}
    assert fields["authorization"] == f"Bearer {token}"


def test_the_user_is_logged(make, secret, tmp_path):
    log = tmp_path / "access.log"
    documents = guarded(make.backend(), {"secret_file": secret, "user_claim": "email", "require_claims": {"role": "ops"}})
    gateway = make.gateway(documents, workers=1, log={"access": {"path": str(log)}})
    assert gateway.get("/", fields=bearer(secret_token(email="a@b.example", role="ops"))).status == 200
    refused(gateway.get("/", fields=bearer(secret_token(email="c@d.example"))), "insufficient_scope", status=403)
    eventually(lambda: len(logged(log)), 2)
    assert [(line["user"], line["status"], line.get("reason")) for line in logged(log)] == [("a@b.example", 200, None), ("c@d.example", 403, "claims")]


def test_a_token_that_is_remembered_expires(make, secret):
    gateway = make.gateway(guarded(make.backend(), {"secret_file": secret, "leeway": "0s"}))
    token = secret_token(exp=int(time.time()) + 2)
    assert gateway.get("/", fields=bearer(token)).status == 200
    eventually(lambda: gateway.get("/", fields=bearer(token)).status, 401)


def test_leeway(make, secret):
    gateway = make.gateway(guarded(make.backend(), {"secret_file": secret, "leeway": "1m"}))
    now = int(time.time())
    assert gateway.get("/", fields=bearer(secret_token(exp=now - 40))).status == 200
    assert gateway.get("/", fields=bearer(secret_token(nbf=now + 40, iat=now + 40))).status == 200
    refused(gateway.get("/", fields=bearer(secret_token(exp=now - 70))), "invalid_token")
    refused(gateway.get("/", fields=bearer(secret_token(nbf=now + 90))), "invalid_token")
    refused(gateway.get("/", fields=bearer(secret_token(iat=now + 90))), "invalid_token")


def test_keys_change_under_traffic(make):
    backend, old, new = make.backend(), IssuerKey("old"), IssuerKey("new")
    gateway = make.gateway(guarded(backend, {"jwks": key_set(old)}))
    assert gateway.get("/", fields=bearer(old.token())).status == 200
    token = new.token()
    write_documents(gateway.folder / "documents", guarded(backend, {"jwks": key_set(new)}))
    eventually(lambda: gateway.get("/", fields=bearer(token)).status, 200)
    refused(gateway.get("/", fields=bearer(old.token())), "invalid_token")


def test_a_secret_is_read_again_on_sighup(make, secret):
    gateway = make.gateway(guarded(make.backend(), {"secret_file": secret}))
    other = SECRET[::-1]
    Path(secret).write_text(other)
    assert gateway.get("/", fields=bearer(secret_token())).status == 200
    gateway.signal(signal.SIGHUP)
    eventually(lambda: gateway.get("/", fields=bearer(secret_token(other))).status, 200)
    refused(gateway.get("/", fields=bearer(secret_token())), "invalid_token")
    Path(secret).unlink()
    gateway.signal(signal.SIGHUP)
    eventually(lambda: gateway.admin.state("routes/all"), "stale")
    assert gateway.get("/", fields=bearer(secret_token(other))).status == 200


def test_documents_that_are_wrong(make, tmp_path):
    short = tmp_path / "short"
    short.write_text("too short")
    key = IssuerKey("k").jwk
    wrong = {
        "none": ({}, r"\$.filters\[0\].jwt: must have one of jwks_uri, jwks and secret_file"),
        "both": ({"jwks": {"keys": [key]}, "jwks_uri": "https://x.example/"}, r"\$.filters\[0\].jwt: must have one of"),
        "no-file": ({"secret_file": str(tmp_path / "nowhere")}, r"\$.filters\[0\].jwt.secret_file: .*can't be read: No such file"),
        "short": ({"secret_file": str(short)}, r"jwt.secret_file: .*has 9 bytes: a secret needs 32 at least"),
        "folder": ({"secret_file": str(tmp_path)}, r"jwt.secret_file: .*is not a file"),
        "uri": ({"jwks_uri": "ftp://x.example/"}, r"jwt.jwks_uri: .*is not a URL"),
        "secret-key": ({"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}, r"jwt.jwks.keys\[0\]: is a secret"),
        "hmac": ({"jwks": {"keys": [key]}, "algorithms": ["HS256"]}, r"jwt.algorithms\[0\]: HS256 needs secret_file"),
        "alg-none": ({"jwks": {"keys": [key]}, "algorithms": ["none"]}, r'jwt.algorithms\[0\]: "none" is not an algorithm of signatures'),
        "mean": ({"jwks": {"keys": [key]}, "algorithms": ["RS255"]}, r"did you mean \"RS256\"|did you mean"),
        "fits": ({"jwks": {"keys": [key]}, "algorithms": ["RS256"]}, r"jwt.algorithms: no key of jwks is for one of these"),
        "header": ({"jwks": {"keys": [key]}, "forward_claims": {"sub": "Host"}}, r"jwt.forward_claims.sub: Host is changed with"),
        "typo": ({"jwks": {"keys": [key]}, "audience": []}, r'jwt.audience: unknown key \(did you mean "audiences"\?\)'),
    }
    backend = make.backend()
    documents = {f"routes/{name}": {"path": f"/{name}", "service": "web", "filters": [{"jwt": jwt}]} for name, (jwt, _) in wrong.items()}
    gateway = make.gateway({**documents, "upstreams/web": endpoints(backend)})
    for name, (_, error) in wrong.items():
        found = gateway.admin.document(f"routes/{name}")
        assert found["state"] == "rejected" and re.search(error, found["error"]), (name, found["error"])
        assert gateway.get(f"/{name}").status == 404
