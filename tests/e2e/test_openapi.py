"""/v1/openapi.json says what the calls answer, no more and no less."""

import json
import re

import pytest

from harness.client import Client
from harness.documents import all_to, one_upstream
from harness.schema import problems_of
from harness.wait import eventually


@pytest.fixture(scope="module")
def gateway(make_once):
    fake = make_once.fake()
    fake.put("routes/all", all_to("web"))
    fake.put("routes/split", {"path": "/split/{part}", "backends": [{"service": "web", "weight": 9, "tags": ["v1"], "meta": {"a": "b"}, "failover": [{"service": "next", "datacenter": "dc2"}]}, {"service": "next"}]})
    fake.put("routes/moved", {"path": "/moved", "filters": [{"redirect": {"path": "/"}}]})
    fake.put("routes/again", {"path": "/*", "service": "web"})
    fake.put("routes/bad", {"path": "/", "servce": "web"})
    fake.set_backends("web", make_once.backend("a"), make_once.backend("b/1"))
    gateway = make_once.gateway_on(fake)
    eventually(lambda: len(gateway.admin.json("/v1/stats")["samples"]["time"]) >= 2)
    return gateway


@pytest.fixture(scope="module")
def document(gateway):
    return gateway.admin.json("/v1/openapi.json")


# Each operation with what makes it answer each status that it names.
REQUESTS = {
    ("get", "/"): {200: "/"},
    ("get", "/assets/{name}"): {404: "/assets/nothing"},
    ("get", "/healthz"): {200: "/healthz"},
    ("get", "/readyz"): {200: "/readyz"},
    ("get", "/metrics"): {200: "/metrics"},
    ("get", "/v1/status"): {200: "/v1/status"},
    ("get", "/v1/stats"): {200: "/v1/stats", 400: "/v1/stats?since=x"},
    ("get", "/v1/routes"): {200: "/v1/routes"},
    ("get", "/v1/routes/{name}"): {200: "/v1/routes/split", 404: "/v1/routes/nobody"},
    ("get", "/v1/upstreams"): {200: "/v1/upstreams"},
    ("get", "/v1/upstreams/{service}"): {200: "/v1/upstreams/web", 404: "/v1/upstreams/nobody"},
    ("post", "/v1/upstreams/{service}/instances/{id}/eject"): {200: "/v1/upstreams/web/instances/b%2F1/eject", 404: "/v1/upstreams/web/instances/c/eject"},
    ("post", "/v1/upstreams/{service}/instances/{id}/restore"): {200: "/v1/upstreams/web/instances/b%2F1/restore", 404: "/v1/upstreams/web/instances/c/restore"},
    ("get", "/v1/config"): {200: "/v1/config"},
    ("get", "/v1/explain"): {200: "/v1/explain?url=http://a/split/7&header=a:b", 400: "/v1/explain?url=x"},
    ("get", "/v1/events"): {200: "/v1/events"},
    ("get", "/v1/log-level"): {200: "/v1/log-level"},
    ("put", "/v1/log-level"): {200: ("/v1/log-level", b'{"level": "info"}'), 400: ("/v1/log-level", b"{}"), 413: ("/v1/log-level", b"x" * 70000)},
    ("get", "/v1/openapi.json"): {200: "/v1/openapi.json"},
    ("post", "/v1/drain"): {202: "/v1/drain"},  # the last: it ends the gateway
}


def schema_of(document, operation, status, content_type):
    response = operation["responses"][str(status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    assert content_type in response["content"], f"{content_type} is not among {list(response['content'])}"
    return response["content"][content_type]["schema"]


def check(document, operation, response):
    content_type = response.fields["content-type"].split(";")[0]
    schema = schema_of(document, operation, response.status, content_type)
    if content_type.endswith("json"):
        assert problems_of(json.loads(response.body), schema, document) == []
    elif content_type != "text/event-stream":
        assert response.text


def ask(gateway, method, target):
    path, body = target if isinstance(target, tuple) else (target, b"" if method == "POST" else None)
    with Client(gateway.admin.address) as client:
        client.send_request(method, path, host="localhost", body=body)
        if "events" in path:
            return client.read_response_head()
        return client.read_response(method)


def test_the_document_is_whole(document):
    assert document["openapi"].startswith("3.1.")
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    text = json.dumps(document)
    for ref in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        at = document
        for part in ref.split("/"):
            at = at[part]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path)), path


def test_every_operation_is_tried_here(document):
    assert {(method, path) for path, operations in document["paths"].items() for method in operations} == set(REQUESTS)


@pytest.mark.parametrize(("method", "path", "status"), [(*operation, status) for operation, tries in REQUESTS.items() for status in tries if operation[1] != "/v1/drain"])
def test_answers_are_as_the_document_says(gateway, document, method, path, status):
    response = ask(gateway, method.upper(), REQUESTS[method, path][status])
    assert response.status == status
    check(document, document["paths"][path][method], response)


def test_more_kinds_of_answers(gateway, document):
    explain = document["paths"]["/v1/explain"]["get"]
    for query in ("url=http://a/moved", "url=http://a/", "method=POST&url=http://a/split/1/2"):
        check(document, explain, ask(gateway, "GET", f"/v1/explain?{query}"))
    status = document["paths"]["/v1/status"]["get"]
    for fields, code in (({}, 421), ({"Origin": "http://evil.example"}, 403)):
        host = "evil.example" if code == 421 else "localhost"
        response = gateway.admin.get("/v1/drain", method="POST", body=b"", host=host, fields=fields)
        assert response.status == code
        check(document, document["paths"]["/v1/drain"]["post"], response)
    assert "consul" in ask(gateway, "GET", "/v1/status").json() and status


def test_a_gateway_with_a_token_and_no_consul(make, document, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret")
    gateway = make.gateway(one_upstream(make.backend()), admin={"address": "127.0.0.1:0", "token_file": str(token)})
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            target = re.sub(r"{\w+}", "x", path)
            response = gateway.admin.get(target, method=method.upper(), body=None if method == "get" else b"")
            # What is open says so in the document.
            assert (response.status == 401) == (operation.get("security") != []), (method, path)
            check(document, operation, response)
    response = gateway.admin.get("/v1/status", fields={"Authorization": "Bearer s3cret"})
    assert response.json()["consul"] is None
    check(document, document["paths"]["/v1/status"]["get"], response)


def test_the_drain(gateway, document):
    """The last of this file: it ends the gateway."""
    response = ask(gateway, "POST", "/v1/drain")
    assert response.status == 202
    check(document, document["paths"]["/v1/drain"]["post"], response)
    assert gateway.wait() == 0


# The validator itself


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (1, {"type": "string"}),
        (True, {"type": "integer"}),
        (1.5, {"type": "integer"}),
        ("c", {"type": "string", "enum": ["a"]}),
        (-1, {"type": "integer", "minimum": 0}),
        ({}, {"type": "object", "required": ["a"]}),
        ({"a": 1, "b": 2}, {"type": "object", "properties": {"a": {}}, "additionalProperties": False}),
        ([1, "x"], {"type": "array", "items": {"type": "integer"}}),
        (None, {"oneOf": [{"type": "string"}, {"type": "integer"}]}),
    ],
)
def test_the_validator_sees_what_is_wrong(value, schema):
    assert problems_of(value, schema, {})
