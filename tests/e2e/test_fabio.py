"""Routes from urlprefix- tags in Consul's catalog, as fabio makes them, beside the documents in KV."""

import pytest

from harness.wait import eventually

SOON = 2.0


@pytest.fixture
def gateway(make, agent, documents):
    return make.gateway(
        consul={"address": agent.address}, source={"kv_prefix": documents.prefix, "fabio_tags": True}
    )


@pytest.fixture
def path(service):
    """A path that no other test's tags have: all tests share the catalog."""
    return f"/{service}"


@pytest.fixture
def register(agent):
    names = []

    def add(service, backend, *tags):
        agent.register_backend(service, backend, tags=tags)
        names.append(f"{service}-{backend.name}")

    yield add
    for name in names:
        agent.deregister(name)


def test_a_tag_becomes_a_route_and_goes_with_it(gateway, make, agent, register, service, path):
    backend = make.backend()
    assert gateway.get(path).status == 404
    register(service, backend, "v1", f"urlprefix-{path} strip={path}")
    eventually(lambda: gateway.get(f"{path}/x?q=1").status, 200, within=SOON)
    assert backend.last.target == "/x?q=1"
    assert gateway.get(f"{path}s").status == 404
    register(service, backend, "v1")
    eventually(lambda: gateway.get(path).status, 404, within=SOON)


def test_only_the_instances_with_the_tag_get_its_requests(gateway, make, register, service, path):
    old, new = make.backends("old", "new")
    register(service, old, f"urlprefix-{path}/old", f"urlprefix-{path}/both")
    register(service, new, f"urlprefix-{path}/new", f"urlprefix-{path}/both")
    eventually(lambda: [gateway.get(f"{path}/{which}").status for which in ("old", "new", "both")], [200] * 3, within=SOON)
    assert {gateway.get(f"{path}/old").backend for _ in range(6)} == {"old"}
    assert {gateway.get(f"{path}/new").backend for _ in range(6)} == {"new"}
    assert {gateway.get(f"{path}/both").backend for _ in range(6)} == {"old", "new"}


def test_services_share_a_path_by_weight(gateway, make, register, service, path):
    blue, green = make.backends("blue", "green")
    register(f"{service}-blue", blue, f"urlprefix-{path} weight=0.2")
    register(f"{service}-green", green, f"urlprefix-{path}")
    eventually(lambda: {gateway.get(path).backend for _ in range(20)}, {"blue", "green"}, within=SOON)
    with gateway.client() as client:
        answers = [client.get(path).backend for _ in range(500)]
    assert 60 <= answers.count("blue") <= 140


def test_host_redirect_and_access(gateway, make, register, service, path):
    backend = make.backend()
    register(
        service, backend,
        f"urlprefix-only.example{path}", f"urlprefix-{path}/moved redirect=301,https://new.example/at$path",
        f"urlprefix-{path}/closed deny=ip:127.0.0.0/8", f"urlprefix-{path}/dst host=dst",
    )  # fmt: skip
    eventually(lambda: gateway.get(path, host="only.example").status, 200, within=SOON)
    assert gateway.get(path).status == 404
    moved = gateway.get(f"{path}/moved/x?q=1")
    assert (moved.status, moved.fields["location"]) == (301, f"https://new.example/at{path}/moved/x?q=1")
    gateway.get(f"{path}/closed").problem(403, "forbidden")
    assert gateway.get(f"{path}/dst").status == 200
    assert backend.last.fields["host"] == backend.address


def test_a_malformed_tag_is_rejected_and_harms_nothing(gateway, make, register, service, path):
    backend = make.backend()
    register(service, backend, "urlprefix-:1234 proto=tcp", f"urlprefix-{path}")
    eventually(lambda: gateway.get(path).status, 200, within=SOON)
    found = [one for one in gateway.admin.json("/v1/config")["documents"] if f"/fabio/{service}/" in one["key"]]
    assert sorted(one["state"] for one in found) == ["active", "rejected"]
    error = next(one["error"] for one in found if one["error"])
    assert "urlprefix-:1234" in error and "TCP" in error


def test_a_document_wins_over_a_tag(gateway, documents, make, register, service, path):
    tagged, written = make.backends("tagged", "written")
    register(service, tagged, f"urlprefix-{path}")
    eventually(lambda: gateway.get(path).backend, "tagged", within=SOON)
    register(f"{service}-w", written)
    documents.put("routes/zzz", {"path": f"{path}/*", "service": f"{service}-w"})
    eventually(lambda: gateway.get(path).backend, "written", within=SOON)


def test_without_the_key_tags_are_tags(make, agent, documents, register, service, path):
    register(service, make.backend(), f"urlprefix-{path}")
    plain = make.gateway_on(agent, documents.prefix)
    assert plain.get(path).status == 404
