"""Documents in a real Consul's KV: what is put, changed or deleted takes effect within a second; what is wrong, nowhere."""

import pytest

from harness.backend import dribbles
from harness.documents import all_to, endpoints
from harness.load import Load
from harness.wait import eventually, steadily

SOON = 1.0


@pytest.fixture
def backend(make):
    return make.backend()


@pytest.fixture
def gateway(make, agent, documents, backend):
    """One route that works, /stable, for every test."""
    documents.put("upstreams/web", endpoints(backend))
    documents.put("routes/stable", {"path": "/stable", "service": "web"})
    return make.gateway_on(agent, documents.prefix)


@pytest.fixture
def status(gateway):
    return lambda target: gateway.get(target).status


@pytest.fixture
def state(gateway, documents):
    """The state of a document: active, stale, rejected, or None when the gateway has none of that key."""
    return lambda key: gateway.admin.state(f"{documents.prefix}/{key}")


@pytest.fixture
def error(gateway, documents):
    return lambda key: gateway.admin.document(f"{documents.prefix}/{key}")["error"]


def rejected_documents(gateway):
    return gateway.admin.metrics().one("lictor_config_rejected_documents")


def test_a_route_put_changed_and_deleted(documents, status):
    assert status("/new") == 404
    documents.put("routes/new", {"path": "/new", "service": "web"})
    eventually(lambda: status("/new"), 200, within=SOON)
    documents.put("routes/new", {"path": "/moved", "service": "web"})
    eventually(lambda: (status("/new"), status("/moved")), (404, 200), within=SOON)
    documents.delete("routes/new")
    eventually(lambda: status("/moved"), 404, within=SOON)
    assert status("/stable") == 200


def test_many_changes_one_after_the_other_all_arrive(documents, status):
    for number in range(10):
        documents.put("routes/new", {"path": f"/version/{number}", "service": "web"})
        eventually(lambda: status(f"/version/{number}"), 200, within=SOON)


def test_an_upstream_policy_takes_effect(documents, backend, gateway):
    gateway.get("/stable", host="as.sent")
    assert backend.last.fields["host"] == "as.sent"
    documents.put("upstreams/web", endpoints(backend, host="literal.example"))
    eventually(lambda: gateway.get("/stable") and backend.last.fields["host"], "literal.example", within=SOON)
    documents.delete("upstreams/web")
    eventually(lambda: gateway.get("/stable").status, 503, within=SOON)


def test_the_last_document_can_be_deleted_too(documents, gateway, status):
    documents.delete("upstreams/web")
    documents.delete("routes/stable")
    eventually(lambda: status("/stable"), 404, within=SOON)
    eventually(lambda: gateway.admin.json("/v1/config")["documents"], [], within=SOON)
    documents.put("routes/stable", {"path": "/stable", "service": "nobody"})
    eventually(lambda: status("/stable"), 503, within=SOON)


def test_a_gateway_starts_without_any_document(make, agent, documents):
    gateway = make.gateway_on(agent, documents.prefix)
    gateway.get("/").problem(404, "no_route")
    documents.put("routes/first", {"path": "/first", "service": "nobody"})
    eventually(lambda: gateway.get("/first").status, 503, within=SOON)


def test_a_change_drops_no_request_and_no_connection(documents, gateway):
    with Load(gateway.address, "/stable") as load:
        for number in range(20):
            documents.put("routes/other", {"path": f"/other/{number}", "service": "web"})
            documents.put("routes/stable", {"path": "/stable", "service": "web", "timeout": f"{number + 1}s"})
            load.run_for(20)
    load.assert_no_failures()


def test_a_request_in_flight_ends_under_the_old_configuration(documents, gateway, backend, status):
    backend.on("/stable", dribbles(b"one", b"two", b"three", interval=0.3))
    with gateway.client() as client:
        client.send_request("GET", "/stable")
        response = client.read_response_head()
        documents.delete("routes/stable")
        eventually(lambda: status("/stable"), 404, within=SOON)
        assert b"".join(client.body_pieces(response)) == b"onetwothree"
        assert client.get("/stable").status == 404


# Quarantine


def test_a_bad_change_leaves_the_last_good_version_in_force(documents, gateway, status, state, error):
    documents.put("routes/new", {"path": "/new", "service": "web"})
    eventually(lambda: status("/new"), 200, within=SOON)
    documents.put("routes/new", {"path": "/new", "servise": "web"})
    eventually(lambda: state("routes/new"), "stale", within=SOON)
    assert all(words in error("routes/new") for words in ("$.servise", "did you mean", "service"))
    assert status("/new") == 200
    assert rejected_documents(gateway) == 1
    documents.put("routes/new", {"path": "/newer", "service": "web"})
    eventually(lambda: (status("/newer"), state("routes/new")), (200, "active"), within=SOON)
    assert rejected_documents(gateway) == 0


def test_a_document_that_was_never_good_is_left_out(documents, gateway, status, state, error):
    documents.put("routes/new", '{"path": "/new", ')
    eventually(lambda: state("routes/new"), "rejected", within=SOON)
    assert error("routes/new").startswith("$")
    assert status("/new") == 404 and status("/stable") == 200
    assert rejected_documents(gateway) == 1
    documents.delete("routes/new")
    eventually(lambda: state("routes/new"), None, within=SOON)
    assert rejected_documents(gateway) == 0


def test_a_stale_document_that_is_deleted_is_gone(documents, status, state):
    documents.put("routes/new", {"path": "/new", "service": "web"})
    eventually(lambda: status("/new"), 200, within=SOON)
    documents.put("routes/new", "{")
    eventually(lambda: state("routes/new"), "stale", within=SOON)
    documents.delete("routes/new")
    eventually(lambda: status("/new"), 404, within=SOON)


def test_a_bad_upstream_leaves_its_traffic_alone(documents, gateway, status, state):
    with Load(gateway.address, "/stable") as load:
        documents.put("upstreams/web", {"balance": "luck"})
        eventually(lambda: state("upstreams/web"), "stale", within=SOON)
        load.run_for(50)
    load.assert_no_failures()


def test_a_bad_gateway_document_harms_nothing(documents, status, state):
    documents.put("gateway", {"upstream_defaults": {"balance": 5}})
    eventually(lambda: state("gateway"), "rejected", within=SOON)
    assert status("/stable") == 200


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", '"text"', "{}", "\x00\xff", '{"path": "/x"' + " " * 100_000, "[" * 100_000],
    ids=["empty", "null", "list", "string", "object", "bytes", "unfinished", "deep"],
)
def test_any_bytes_may_be_in_a_document(documents, status, state, text):
    documents.put("routes/odd", text.encode("latin-1"))
    eventually(lambda: state("routes/odd"), "rejected", within=SOON)
    assert status("/stable") == 200


def test_good_and_bad_changes_at_once_are_told_apart(documents, status, state):
    for number in range(10):
        documents.put(f"routes/bad-{number}", {"path": 1})
        documents.put(f"routes/good-{number}", {"path": f"/good/{number}", "service": "web"})
    eventually(lambda: [status(f"/good/{n}") for n in range(10)], [200] * 10, within=2)
    assert {state(f"routes/bad-{n}") for n in range(10)} == {"rejected"}


def test_the_error_is_logged_once(documents, gateway, state):
    documents.put("routes/new", {"path": "/new", "servise": "web"})
    eventually(lambda: state("routes/new"), within=SOON)
    documents.put("routes/other", all_to("web", path="/other"))
    eventually(lambda: gateway.get("/other").status, 200, within=SOON)
    eventually(lambda: [line for line in gateway.stderr if "servise" in line])
    assert len([line for line in gateway.stderr if "servise" in line]) == 1


def test_keys_that_are_folders_or_nobodys_are_no_documents(documents, agent, gateway, status, state):
    agent.kv_put(f"{documents.prefix}/", b"")
    agent.kv_put(f"{documents.prefix}/routes/", b"")
    agent.kv_put(f"{documents.prefix}-other/routes/neighbour", {"path": "/neighbour", "service": "web"})
    documents.put("routes/new", {"path": "/new", "service": "web"})
    eventually(lambda: status("/new"), 200, within=SOON)
    assert rejected_documents(gateway) == 0
    assert status("/neighbour") == 404
    agent.kv_delete(f"{documents.prefix}-other/", recurse=True)


def test_a_key_that_is_no_kind_of_document_is_reported(documents, status, state):
    documents.put("rotues/new", {"path": "/new", "service": "web"})
    eventually(lambda: state("rotues/new"), "rejected", within=SOON)
    assert status("/stable") == 200


# What the admin port tells of it


def test_config_names_each_document_by_its_full_key(documents, agent, gateway):
    config = gateway.admin.json("/v1/config")
    assert {document["key"] for document in config["documents"]} == {f"{documents.prefix}/routes/stable", f"{documents.prefix}/upstreams/web"}
    stored = agent.api("GET", f"/v1/kv/{documents.prefix}/routes/stable")[0]["ModifyIndex"]
    assert gateway.admin.document("routes/stable")["modify_index"] == stored


def test_the_revision_moves_with_each_change_and_its_history_says_why(documents, gateway, status):
    before = gateway.admin.json("/v1/config")["revision"]
    documents.put("routes/new", {"path": "/new", "service": "web"})
    eventually(lambda: status("/new"), 200, within=SOON)
    config = gateway.admin.json("/v1/config")
    assert config["revision"] > before
    latest = max(config["history"], key=lambda entry: entry["revision"])
    assert latest["revision"] == config["revision"]
    assert latest["changed"] == [f"{documents.prefix}/routes/new"] and latest["time"]
    assert gateway.admin.metrics().one("lictor_config_revision") == config["revision"]
    assert gateway.admin.status()["config_revision"] == config["revision"]


def test_the_same_document_again_changes_nothing(documents, gateway):
    before = gateway.admin.json("/v1/config")["revision"]
    documents.put("routes/stable", {"path": "/stable", "service": "web"})
    steadily(lambda: gateway.admin.json("/v1/config")["revision"], before, during=0.6)
