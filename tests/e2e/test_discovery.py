"""Instances of a real Consul agent: who gets traffic, from when on, and that nobody's request pays for a change."""

import time

import pytest

from harness.backend import answer
from harness.consul import Documents
from harness.documents import all_to
from harness.load import Load, tally
from harness.wait import eventually

SOON = 1.0


@pytest.fixture
def pair(make):
    return make.backends("a", "b")


@pytest.fixture
def gateway(make, agent, documents, service, pair):
    """Sends everything to `service`, of which "a" and "b" are passing instances."""
    documents.put("routes/all", all_to(service))
    for backend in pair:
        agent.register_backend(service, backend)
    gateway = make.gateway_on(agent, documents.prefix)
    eventually(lambda: len(gateway.admin.instances(service)), 2)
    yield gateway
    for name in ("a", "b", "new"):
        agent.api("PUT", f"/v1/agent/service/deregister/{service}-{name}") if agent.api("GET", f"/v1/agent/service/{service}-{name}") else None


@pytest.fixture
def load(gateway):
    """Traffic that must not fail, whatever a test does to the instances."""
    with Load(gateway.address) as load:
        load.run_for(20)
        yield load
    load.assert_no_failures()


def test_a_new_instance_gets_traffic(make, agent, service, load):
    agent.register_backend(service, make.backend("new"))
    load.wait_for("new", within=SOON)


def test_a_deregistered_instance_gets_none(agent, service, load, pair):
    agent.deregister(f"{service}-b")
    load.assert_gone("b", within=SOON)
    pair[1].stop()
    load.run_for(50)


def test_connections_to_an_instance_that_went_are_closed(agent, service, load, pair):
    assert pair[1].open_connections > 0
    agent.deregister(f"{service}-b")
    eventually(lambda: pair[1].open_connections, 0, within=3)


def test_a_critical_instance_gets_none_until_it_passes_again(agent, service, load):
    agent.set_check(f"{service}-b", "critical")
    load.assert_gone("b", within=SOON)
    agent.set_check(f"{service}-b", "passing")
    load.wait_for("b", within=SOON)


def test_an_instance_in_maintenance_gets_none(agent, service, load, gateway, pair):
    agent.set_maintenance(f"{service}-b", True)
    load.assert_gone("b", within=SOON)
    instance = gateway.admin.instance(service, pair[1].address)
    assert (instance["health"], instance["usable"]) == ("maintenance", False)
    agent.set_maintenance(f"{service}-b", False)
    load.wait_for("b", within=SOON)


def test_a_slow_answer_of_an_instance_that_went_still_arrives(agent, service, gateway, pair):
    for backend in pair:
        backend.on("/slow", answer(delay=1.0))
    clients = [gateway.client() for _ in range(4)]
    for client in clients:
        client.send_request("GET", "/slow")
    eventually(lambda: sum(backend.started for backend in pair) >= 4)
    agent.deregister(f"{service}-b")
    eventually(lambda: len(gateway.admin.instances(service)), 1, within=SOON)
    assert sorted(client.read_response().backend for client in clients).count("b") >= 1
    for client in clients:
        client.close()


def test_the_health_of_the_node_counts_for_its_instances(make, service):
    agent = make.agent()
    backend = make.backend()
    documents = Documents(agent, "lictor")
    documents.put("routes/all", all_to(service))
    agent.register_backend(service, backend)
    gateway = make.gateway_on(agent, documents.prefix)
    eventually(lambda: gateway.get("/").status, 200)
    agent.register_node_check("critical")
    eventually(lambda: gateway.get("/").problem(503, "no_instance"), within=SOON)
    agent.deregister_node_check()
    eventually(lambda: gateway.get("/").status, 200, within=SOON)
    agent.set_node_maintenance(True)
    eventually(lambda: gateway.get("/").problem(503, "no_instance"), within=SOON)
    agent.set_node_maintenance(False)
    eventually(lambda: gateway.get("/").status, 200, within=SOON)


def test_all_instances_critical_is_503(agent, service, gateway):
    for name in ("a", "b"):
        agent.set_check(f"{service}-{name}", "critical")
    eventually(lambda: gateway.get("/").problem(503, "no_instance"), within=SOON)
    agent.set_check(f"{service}-a", "passing")
    eventually(lambda: gateway.get("/").status, 200, within=SOON)


# Weights


def register_weighted(agent, service, backend, passing, warning=1, check="passing"):
    agent.register_backend(service, backend, weights={"Passing": passing, "Warning": warning}, check=check)


def weight_of(gateway, service, backend):
    instance = gateway.admin.instances(service).get(backend.address)
    return instance and instance["weight"]


def test_weights_hold_and_are_smooth(agent, service, gateway, pair):
    a, b = pair
    register_weighted(agent, service, a, 3)
    register_weighted(agent, service, b, 1)
    eventually(lambda: (weight_of(gateway, service, a), weight_of(gateway, service, b)), (3, 1), within=SOON)
    assert 285 <= tally(gateway.address, 400, connections=4)["a"] <= 315
    with gateway.client() as client:
        order = "".join(client.get("/").backend for _ in range(60))
    assert "aaaa" not in order and "bb" not in order


def test_a_changed_weight_takes_effect(agent, service, gateway, pair):
    a, b = pair
    register_weighted(agent, service, a, 9)
    register_weighted(agent, service, b, 1)
    eventually(lambda: weight_of(gateway, service, a), 9, within=SOON)
    eventually(lambda: weight_of(gateway, service, b), 1, within=SOON)
    assert 85 <= tally(gateway.address, 100)["a"] <= 95
    register_weighted(agent, service, a, 1)
    eventually(lambda: weight_of(gateway, service, a), 1, within=SOON)
    assert 45 <= tally(gateway.address, 100)["a"] <= 55


def test_a_warning_instance_gets_its_warning_weight(agent, service, gateway, pair):
    a, b = pair
    register_weighted(agent, service, a, 3, 3)
    register_weighted(agent, service, b, 3, 1)
    agent.set_check(f"{service}-b", "warning")
    eventually(lambda: (weight_of(gateway, service, a), weight_of(gateway, service, b)), (3, 1), within=SOON)
    assert gateway.admin.instance(service, b.address)["health"] == "warning"
    assert 285 <= tally(gateway.address, 400)["a"] <= 315


def test_a_weight_of_zero_is_out(agent, service, gateway, pair, load):
    agent.set_check(f"{service}-b", "warning")
    register_weighted(agent, service, pair[1], 5, 0, check="warning")
    load.assert_gone("b", within=SOON)


# Addresses


def test_an_empty_service_address_means_the_nodes(make, agent, documents, service):
    backend = make.backend()
    documents.put("routes/all", all_to(service))
    agent.register_backend(service, backend, address="")
    gateway = make.gateway_on(agent, documents.prefix)
    eventually(lambda: gateway.get("/").status, 200, within=SOON)
    assert gateway.admin.instance(service, backend.address)["node"] == "node-1"


def test_an_instance_that_moves_is_followed(make, agent, service, gateway):
    moved = make.backend("moved")
    with Load(gateway.address) as load:
        agent.register(service, f"{service}-b", moved.port)
        load.wait_for("moved", within=SOON)
        load.assert_gone("b", within=0)
    load.assert_no_failures()


def test_instances_show_what_consul_knows_of_them(make, agent, documents, service):
    backend = make.backend()
    documents.put("routes/all", all_to(service))
    agent.register_backend(service, backend, tags=["v1", "blue"], meta={"zone": "a"}, weights={"Passing": 7, "Warning": 2})
    gateway = make.gateway_on(agent, documents.prefix)
    instance = eventually(lambda: gateway.admin.instances(service).get(backend.address))
    assert {key: instance[key] for key in ("id", "weight", "health", "usable", "node", "datacenter", "tags", "meta")} == {
        "id": f"{service}-backend",
        "weight": 7,
        "health": "passing",
        "usable": True,
        "node": "node-1",
        "datacenter": "dc1",
        "tags": ["v1", "blue"],
        "meta": {"zone": "a"},
    }


def test_a_route_may_come_before_its_service(make, agent, documents, service):
    documents.put("routes/all", all_to(service))
    gateway = make.gateway_on(agent, documents.prefix)
    gateway.get("/").problem(503, "no_instance")
    agent.register_backend(service, make.backend())
    eventually(lambda: gateway.get("/").status, 200, within=SOON)


def test_weighted_backends_are_discovered_each(make, agent, documents, service):
    old, new = make.backends("old", "new")
    documents.put("routes/all", {"path": "/*", "backends": [{"service": f"{service}-old", "weight": 90}, {"service": f"{service}-new", "weight": 10}]})
    agent.register_backend(f"{service}-old", old)
    agent.register_backend(f"{service}-new", new)
    gateway = make.gateway_on(agent, documents.prefix)
    answers = tally(gateway.address, 2000, connections=4)
    assert 1800 * 0.95 <= answers["old"] <= 1800 * 1.05 and answers["new"] > 0
    documents.put("routes/all", {"path": "/*", "backends": [{"service": f"{service}-old", "weight": 0}, {"service": f"{service}-new", "weight": 10}]})
    eventually(lambda: tally(gateway.address, 20), {"new": 20}, within=SOON)


def test_a_deploy_of_every_instance_fails_no_request(make, agent, service, load, pair):
    """Rolling: a new one comes, an old one goes, and each that went is shut down for good."""
    old = list(pair)
    for backend in old:
        new = make.backend("new-" + backend.name)
        agent.register_backend(service, new)
        load.wait_for(new.name, within=SOON)
        agent.deregister(f"{service}-{backend.name}")
        load.assert_gone(backend.name, within=SOON, watch=0.2)
        backend.stop()
    load.run_for(100)


# The agent goes and comes back


def start_on(make, agent, *backends, changes=0):
    """A gateway with a route to service "web" in an agent of its own, whose index is well advanced."""
    documents = Documents(agent, "lictor")
    fill(agent, documents, *backends)
    for number in range(changes):
        agent.kv_put("elsewhere/key", str(number))
    documents.put("routes/all", all_to("web"))
    gateway = make.gateway_on(agent, "lictor")
    eventually(lambda: len(gateway.admin.instances("web")), len(backends))
    return gateway, documents


def fill(agent, documents, *backends):
    documents.put("routes/all", all_to("web"))
    for backend in backends:
        agent.register_backend("web", backend, check=None)


def disconnected(gateway):
    status = gateway.admin.status()["consul"]
    return not status["connected"] and status["last_error"]


@pytest.mark.slow
def test_a_killed_agent_costs_no_request_and_is_followed_again(make, pair):
    agent = make.agent(keeps_data=True)
    gateway, documents = start_on(make, agent, *pair)
    with Load(gateway.address) as load:
        load.run_for(50)
        agent.kill()
        eventually(lambda: disconnected(gateway), within=2)
        eventually(lambda: gateway.admin.status()["consul"]["staleness_s"] > 1, within=5)
        metrics = gateway.admin.metrics()
        assert metrics.one("lictor_consul_connected") == 0
        assert metrics.one("lictor_consul_staleness_seconds") > 1
        assert load.since(time.monotonic() - 1).keys() == {"a", "b"}
        assert gateway.admin.get("/readyz").status == 200

        agent.restart()
        new = make.backend("new")
        agent.register_backend("web", new, check=None)
        load.wait_for("new", within=10)
        eventually(lambda: gateway.admin.status()["consul"]["connected"], within=5)
        documents.put("routes/other", {"path": "/other", "service": "web"})
        eventually(lambda: gateway.get("/other").status, 200, within=10)
        agent.deregister("web-a")
        load.assert_gone("a", within=SOON)
    load.assert_no_failures()


@pytest.mark.slow
def test_an_agent_that_comes_back_with_an_empty_data_directory_is_followed(make, pair):
    """Its index begins again far below the one that the gateway knows."""
    agent = make.agent()
    gateway, documents = start_on(make, agent, *pair, changes=300)
    with Load(gateway.address) as load:
        load.run_for(50)
        agent.kill()
        eventually(lambda: disconnected(gateway), within=2)
        load.run_for(200)
    load.assert_no_failures()

    agent.restart()
    new = make.backend("new")
    fill(agent, documents, new)
    eventually(lambda: tally(gateway.address, 10), {"new": 10}, within=10)
    # And from now on changes are as quick as ever.
    agent.register_backend("web", pair[0], check=None)
    eventually(lambda: tally(gateway.address, 10).keys() == {"new", "a"}, within=SOON)
    documents.put("routes/other", {"path": "/other", "service": "web"})
    documents.delete("routes/all")
    eventually(lambda: (gateway.get("/other").status, gateway.get("/").status), (200, 404), within=SOON)


@pytest.mark.slow
def test_an_agent_killed_again_and_again_costs_nothing(make, pair):
    agent = make.agent(keeps_data=True)
    gateway, _ = start_on(make, agent, *pair)
    descriptors = gateway.descriptors()
    with Load(gateway.address) as load:
        for _ in range(3):
            agent.restart()
            load.run_for(50)
    load.assert_no_failures()
    eventually(lambda: gateway.admin.status()["consul"]["connected"], within=30)
    eventually(lambda: gateway.descriptors() <= descriptors + 10, within=30)
