"""The gateway in Consul's catalog: a real agent checks it, and the fake refuses it."""

import pytest

from harness.backend import answer
from harness.documents import one_upstream
from harness.fake_consul import fails
from harness.wait import eventually, steadily

SOON = 6  # a check runs every 2 s


@pytest.fixture
def start(make, agent, service):
    """A gateway that registers itself under this test's own name."""
    return lambda documents=None, **more: make.gateway({} if documents is None else documents, consul={"address": agent.address}, register={"service": service, "tags": ["edge"]}, **more)


@pytest.fixture
def entries(agent, service):
    return lambda: agent.api("GET", f"/v1/health/service/{service}")


def health(entries):
    return [max(check["Status"] for check in entry["Checks"] if check["ServiceID"]) for entry in entries()]


def test_it_is_in_the_catalog_and_passes(start, entries, service):
    gateway = start()
    entry = eventually(entries, lambda found: len(found) == 1)[0]["Service"]
    assert entry["Service"] == service
    assert (entry["Address"], entry["Port"]) == gateway.address
    assert entry["Tags"] == ["edge"]
    eventually(lambda: health(entries), ["passing"], within=SOON)


def test_two_gateways_of_one_agent_are_two_instances(start, entries):
    start()
    start()
    eventually(lambda: len(entries()), 2)


def test_it_is_registered_again_when_the_agent_forgot_it(start, entries, agent):
    start()
    entry = eventually(entries, lambda found: len(found) == 1)[0]
    agent.deregister(entry["Service"]["ID"])
    eventually(lambda: len(entries()), 1, within=15)


def test_it_is_critical_while_it_leads_out_and_gone_after(make, start, entries):
    backend = make.backend()
    backend.on("/slow", answer(delay=2.0))
    gateway = start(one_upstream(backend), drain={"lead": "4s", "timeout": "10s"})
    eventually(lambda: health(entries), ["passing"], within=SOON)
    gateway.admin.post("/v1/drain")
    eventually(lambda: health(entries), ["critical"], within=3.5)
    eventually(entries, [], within=5)
    assert gateway.wait() == 0
    assert any("taken out of Consul's catalog" in line for line in gateway.stderr)


def test_it_is_gone_when_the_process_has_ended(start, entries):
    gateway = start()
    eventually(lambda: len(entries()), 1)
    gateway.stop()
    assert entries() == []


def test_an_agent_that_refuses_it_delays_nothing(make, fake):
    fake.script("agent/service/register", fails(403, b"Permission denied"))
    backend = make.backend()
    fake.put("routes/all", {"path": "/*", "service": "web"})
    fake.set_backends("web", backend)
    gateway = make.gateway_on(fake, register={"service": "lictor"})
    assert gateway.get("/").status == 200
    eventually(lambda: fake.asked("agent/service/register"), lambda asked: len(asked) >= 2)
    assert len([line for line in gateway.stderr if "Permission denied" in line]) == 1
    assert gateway.admin.status()["consul"]["connected"]


def test_null_registers_nothing(make, agent, service):
    make.gateway({}, consul={"address": agent.address}, register=None)
    steadily(lambda: [name for name in agent.api("GET", "/v1/agent/services") if name.startswith("lictor")], [])
