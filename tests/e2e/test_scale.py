"""More services than connections: they sleep until something moves, and are still followed."""

import time

import pytest

from harness.documents import all_to
from harness.fake_consul import entry, fails
from harness.wait import eventually

SERVICES = 40
SOON = 3.0  # what a change of a service that is asked in turns may take
WAKES = ["checks", "catalog/services", "catalog/nodes"]


def register(agent, service, instance="one", node="elsewhere", node_address="10.0.0.1", address="10.0.0.2", weight=1, check="passing"):
    """Straight in the catalog, as an agent on another node does it."""
    entry = {
        "Node": node, "Address": node_address,
        "Service": {"ID": f"{service}-{instance}", "Service": service, "Port": 80, "Address": address, "Weights": {"Passing": weight, "Warning": 1}},
    }  # fmt: skip
    if check:
        entry["Check"] = {"Node": node, "CheckID": f"check:{service}-{instance}", "Name": "check", "ServiceID": f"{service}-{instance}", "Status": check, "Output": "ran"}
    agent.api("PUT", "/v1/catalog/register", entry)


@pytest.fixture(scope="module")
def crowd(make_once):
    """A real agent that nobody else moves, and a gateway with far fewer connections than services."""
    agent = make_once.agent()
    for number in range(SERVICES):
        agent.kv_put(f"lictor/routes/r{number}", {"path": f"/{number}", "service": f"s{number}"})
        register(agent, f"s{number}")
    for name in ("own", "leaving"):
        agent.kv_put(f"lictor/routes/{name}", {"path": f"/{name}", "service": name})
    agent.register("own", "own", 81, check=None)
    register(agent, "leaving", node="leaving")
    gateway = make_once.gateway_on(agent, "lictor", consul={"max_connections": 10}, register=None)
    eventually(lambda: asked_within(gateway, 2.5) <= SERVICES / 4, within=20)  # a round takes two
    return agent, gateway


def asked_within(gateway, seconds):
    before = gateway.admin.status()["consul"]["queries"]
    time.sleep(seconds)
    return gateway.admin.status()["consul"]["queries"] - before


def test_a_fleet_at_rest_is_hardly_asked(crowd):
    agent, gateway = crowd
    agent.kv_put("elsewhere", "moves the agent's index")
    assert asked_within(gateway, 3) <= SERVICES / 4  # each about every 30 s


def health(of):
    return lambda found: found and {one["health"] for one in found.values()} == {of}


def address(of):
    return lambda found: of in found


# service, then steps: a change, and what must be seen
CHANGES = {
    "a check fails and passes": ("s1", [(lambda agent: register(agent, "s1", check="critical"), health("critical")), (lambda agent: register(agent, "s1"), health("passing"))]),
    "an instance with a check": ("s2", [(lambda agent: register(agent, "s2", "two", address="10.0.0.3"), address("10.0.0.3:80"))]),
    "an instance without one": ("s3", [(lambda agent: register(agent, "s3", "two", address="10.0.0.3", check=None), address("10.0.0.3:80"))]),
    "a deregistration": ("s4", [(lambda agent: agent.api("PUT", "/v1/catalog/deregister", {"Node": "elsewhere", "ServiceID": "s4-one"}), {})]),
    "a weight": ("s5", [(lambda agent: register(agent, "s5", weight=7, check=None), lambda found: found["10.0.0.2:80"]["weight"] == 7)]),
    "an address": ("s6", [(lambda agent: register(agent, "s6", address="10.0.0.9", check=None), address("10.0.0.9:80"))]),
    "an address of the node": ("s7", [
        (lambda agent: register(agent, "s7", address="", check=None), address("10.0.0.1:80")),
        (lambda agent: register(agent, "s7", address="", check=None, node_address="10.0.0.8"), address("10.0.0.8:80")),
    ]),
    "maintenance": ("own", [(lambda agent: agent.set_maintenance("own", True), health("maintenance")), (lambda agent: agent.set_maintenance("own", False), health("passing"))]),
    "a check of the node": ("own", [(lambda agent: agent.register_node_check("critical"), health("critical")), (lambda agent: agent.deregister_node_check(), health("passing"))]),
    "maintenance of the node": ("own", [(lambda agent: agent.set_node_maintenance(True), health("maintenance")), (lambda agent: agent.set_node_maintenance(False), health("passing"))]),
    "a node that goes": ("leaving", [(lambda agent: agent.api("PUT", "/v1/catalog/deregister", {"Node": "leaving"}), {})]),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_changes_an_instance_is_seen_soon(crowd, what):
    agent, gateway = crowd
    service, steps = CHANGES[what]
    for change, seen in steps:
        change(agent)
        eventually(lambda: gateway.admin.instances(service), seen, within=SOON)


def fill(fake, datacenter=None):
    for number in range(SERVICES):
        backend = {"service": f"s{number}", **({"datacenter": datacenter} if datacenter else {})}
        fake.put(f"routes/r{number}", {"path": f"/{number}", "backends": [backend]})
        fake.set_instances(f"s{number}", entry("x", 1000 + number))


def test_another_datacenter_has_wake_ups_of_its_own(make, fake):
    fill(fake, "dc2")
    gateway = make.gateway_on(fake, consul={"max_connections": 10})
    eventually(lambda: asked_within(gateway, 0.5) == 0, within=10)
    for wake in WAKES:
        assert {query.params.get("dc") for query in fake.asked(wake)} == {"dc2"}
    fake.set_instances("s3", entry("x", 4000))
    eventually(lambda: list(gateway.admin.instances("s3@dc2")), ["127.0.0.1:4000"], within=SOON)


@pytest.mark.parametrize("wake", WAKES)
def test_without_wake_ups_services_are_asked_in_turns(make, fake, wake):
    fill(fake)
    fake.script(wake, fails(403, b"Permission denied"))
    gateway = make.gateway_on(fake, consul={"max_connections": 10})
    eventually(lambda: [line for line in gateway.stderr if "asked in turns" in line and "403" in line])
    assert asked_within(gateway, 2) > SERVICES / 2
    fake.set_instances("s3", entry("x", 4000))
    eventually(lambda: list(gateway.admin.instances("s3")), ["127.0.0.1:4000"], within=SOON)
    assert gateway.admin.status()["consul"]["connected"]
    fake.heal()
    eventually(lambda: asked_within(gateway, 0.5) == 0, within=20)


def test_a_fleet_within_the_budget_asks_for_no_wake_up(make, fake):
    fake.put("routes/all", all_to("web"))
    fake.set_instances("web", entry("x", 1000))
    make.gateway_on(fake)
    assert not [query for wake in WAKES for query in fake.asked(wake)]
