"""The snapshot file: a restart serves what was known, whatever Consul is doing."""

import json
import os

import pytest

from harness.documents import all_to
from harness.fake_consul import says
from harness.wait import eventually, steadily


@pytest.fixture
def path(tmp_path):
    return tmp_path / "snapshot.json"


@pytest.fixture
def backend(make):
    return make.backend("a")


@pytest.fixture
def start(make, fake, path, backend):
    """Starts a gateway on the fake with the snapshot file."""
    fake.put("routes/all", all_to("web"))
    fake.set_backends("web", backend)
    return lambda **more: make.gateway_on(fake, **{"snapshot": str(path), **more})


@pytest.fixture
def gone(fake):
    """An address where no Consul is."""
    return {"address": "http://127.0.0.1:9"}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def services(path):
    return {line["service"]: [i["id"] for i in line["instances"]] for line in lines(path) if "service" in line}


def test_a_restart_without_consul_serves_at_once(start, gone, backend):
    start().stop()
    gateway = start(consul=gone)
    assert gateway.get("/").status == 200
    assert gateway.admin.status()["source"] == "snapshot"
    assert gateway.admin.json("/readyz")["note"] == "restored from the snapshot"
    assert not gateway.admin.status()["consul"]["connected"]


def test_live_answers_replace_it(make, start, fake, backend):
    start().stop()
    other = make.backend("b")
    fake.set_backends("web", other)
    gateway = start()
    eventually(lambda: gateway.get("/").fields["x-backend"], "b")
    eventually(lambda: gateway.admin.status()["source"], "consul")
    assert "note" not in gateway.admin.json("/readyz")


def test_a_change_is_on_disk_within_two_seconds(make, start, fake, path, backend):
    start()
    eventually(lambda: services(path), {"web": ["a"]}, within=2)
    fake.set_backends("web", backend, make.backend("b"))
    eventually(lambda: services(path), {"web": ["a", "b"]}, within=2)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == [path.name]


def test_it_survives_a_kill(start, gone, path):
    gateway = start()
    eventually(lambda: services(path), {"web": ["a"]}, within=2)
    gateway.kill()
    assert start(consul=gone).get("/").status == 200


def test_a_stale_document_restores_its_last_good_version(start, fake, gone):
    gateway = start()
    fake.put("routes/all", b"{")
    eventually(lambda: gateway.admin.state("routes/all"), "stale")
    gateway.stop()
    gateway = start(consul=gone)
    assert gateway.admin.state("routes/all") == "stale"
    assert gateway.get("/").status == 200


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: whole[:-10],
        lambda whole: whole.replace(b"127.0.0.1", b"127.0.0.2"),
        lambda whole: b"",
        lambda whole: b"\x00" * 100,
        lambda whole: whole.replace(b'"lictor_snapshot":1', b'"lictor_snapshot":9'),
    ],
    ids=["cut short", "altered", "empty", "nonsense", "another version"],
)
def test_a_damaged_file_is_told_once_and_ignored(start, path, spoil):
    start().stop()
    path.write_bytes(spoil(path.read_bytes()))
    gateway = start()
    assert gateway.get("/").status == 200
    assert len([line for line in gateway.stderr if "is ignored" in line]) == 1
    assert gateway.admin.status()["source"] == "consul"


def test_one_of_another_prefix_is_ignored(make, start, fake, gone, path):
    start().stop()
    gateway = make.gateway(wait_ready=False, consul=gone, source={"kv_prefix": "elsewhere"}, snapshot=str(path))
    assert gateway.admin.get("/readyz").status == 503
    assert gateway.get("/").status == 503


def test_a_folder_that_is_not_there_is_no_reason_to_stop(start, path):
    gateway = start(snapshot=str(path / "not" / "there"))
    assert gateway.get("/").status == 200
    eventually(lambda: [line for line in gateway.stderr if "can't be written" in line])


def test_with_documents_from_a_directory_instances_are_kept(make, fake, gone, path, backend):
    fake.set_backends("web", backend)
    documents = {"routes/all": all_to("web")}
    make.gateway(documents, consul={"address": fake.url}, snapshot=str(path)).stop()
    first = make._made[-1].folder / "documents"
    gateway = make.gateway(consul=gone, source={"directory": str(first)}, snapshot=str(path))
    assert gateway.get("/").status == 200
    assert gateway.admin.status()["source"] == "directory"
    assert gateway.admin.json("/readyz")["note"] == "restored from the snapshot"


def test_an_empty_answer_without_a_leader_takes_nothing_restored_away(start, fake, backend):
    start().stop()
    fake.script("health/web", says([], index=900, known_leader=False))
    fake.script("kv", says([], index=900, known_leader=False))
    gateway = start()
    eventually(lambda: min(len([one for one in fake.asked(endpoint) if one.scripted]) for endpoint in ("kv", "health/web")) >= 3)
    steadily(lambda: (gateway.get("/").status, len(gateway.admin.instances("web"))), (200, 1), during=1.0)
    assert gateway.admin.status()["source"] == "snapshot"
    fake.set_instances("web")
    fake.heal()
    eventually(lambda: gateway.get("/").status, 503)
    assert gateway.admin.status()["source"] == "consul"


def test_routes_of_tags_are_restored_too(start, fake, gone):
    tags = {"fabio_tags": True}
    start().stop()  # the service has no tag yet
    fake.instances["web"][0]["Service"]["Tags"] = ["urlprefix-/tagged"]
    gateway = start(source=tags)
    eventually(lambda: gateway.get("/tagged").status, 200)
    fake.delete("routes/all")
    eventually(lambda: gateway.get("/").status, 404)
    gateway.stop()
    gateway = start(consul=gone, source=tags)
    assert gateway.get("/tagged").status == 200
    assert gateway.admin.status()["source"] == "snapshot"


def test_a_key_in_the_place_of_tags_is_rejected_with_a_word(start, fake):
    fake.put("fabio/mine", all_to("web"))
    gateway = start(source={"fabio_tags": True})
    eventually(lambda: gateway.admin.state("fabio/mine"), "rejected")
    assert "source.fabio_tags" in gateway.admin.document("fabio/mine")["error"]
