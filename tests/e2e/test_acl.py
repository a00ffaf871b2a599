"""An agent that denies by default: the policy of docs/consul-acl.md is enough, and what happens without."""

import re
import time

import pytest

from harness.consul import ConsulAgent, Documents
from harness.documents import all_to
from harness.lictor import ROOT
from harness.wait import eventually


def documented_policy():
    """The rules as docs/consul-acl.md has them."""
    return re.search(r"```hcl\n(.*?)```", (ROOT / "docs" / "consul-acl.md").read_text(), re.S)[1]


class Guarded(ConsulAgent):
    """A real agent with ACLs on. Its own calls carry the token that may do anything."""

    def __init__(self, folder):
        super().__init__(folder, extra={"acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": "root"}}})
        self.token = "root"

    def new_token(self, rules):
        name = f"policy-{abs(hash(rules))}"
        if not any(policy["Name"] == name for policy in self.api("GET", "/v1/acl/policies")):
            self.api("PUT", "/v1/acl/policy", {"Name": name, "Rules": rules})
        return self.api("PUT", "/v1/acl/token", {"Policies": [{"Name": name}]})["SecretID"]


@pytest.fixture(scope="module")
def guarded(make_once, tmp_path_factory):
    agent = make_once.keep(Guarded(tmp_path_factory.mktemp("guarded")))
    return agent.start()


@pytest.fixture
def start(make, guarded, tmp_path):
    """A gateway whose token has these rules; one service with one instance, one route."""
    guarded.register_backend("web", make.backend("a"))
    documents = Documents(guarded, "lictor")
    documents.put("routes/all", all_to("web"))

    def start(rules, consul=None, **more):
        (tmp_path / "token").write_text(guarded.new_token(rules))
        return make.gateway_on(guarded, "lictor", consul={"token_file": str(tmp_path / "token"), **(consul or {})}, register={"service": "lictor"}, **more)

    yield start
    documents.clear()


def registered(guarded):
    return [one["ServiceID"] for one in guarded.api("GET", "/v1/catalog/service/lictor")]


def test_the_documented_policy_is_enough(start, guarded):
    gateway = start(documented_policy())
    assert gateway.get("/").status == 200
    eventually(lambda: len(registered(guarded)), 1)
    assert gateway.admin.status()["consul"]["errors_total"] == 0
    assert not [line for line in gateway.stderr if "denied" in line]
    gateway.stop()
    eventually(lambda: registered(guarded), [])


def test_the_documented_policy_is_enough_for_more_services_than_connections(start, guarded):
    """They sleep until a query of all checks, registrations and nodes moves."""
    for name in (f"crowd-{number}" for number in range(20)):
        guarded.register(name, name, 80, check=None)
        guarded.kv_put(f"lictor/routes/{name}", {"path": f"/{name}", "service": name})
    gateway = start(documented_policy(), consul={"max_connections": 10})

    def queries():
        return gateway.admin.status()["consul"]["queries"]

    def at_rest():
        before = queries()
        time.sleep(0.5)
        return queries() - before <= 1

    eventually(at_rest, within=10)
    guarded.register("crowd-7", "another", 81, check=None)
    eventually(lambda: len(gateway.admin.instances("crowd-7")), 2, within=3)
    guarded.register_node_check("critical")
    try:
        eventually(lambda: {one["health"] for one in gateway.admin.instances("crowd-8").values()}, {"critical"}, within=3)
    finally:
        guarded.deregister_node_check()
    assert gateway.admin.status()["consul"]["errors_total"] == 0


def without(kind):
    return re.sub(rf"(?m)^{kind} .*\n", "", documented_policy())


def test_without_the_right_to_register_traffic_flows_all_the_same(start, guarded):
    gateway = start(without('service "lictor"'))
    assert gateway.get("/").status == 200
    eventually(lambda: [line for line in gateway.stderr if "not in Consul's catalog" in line])
    assert registered(guarded) == []


def test_a_token_that_is_taken_away_keeps_what_is_known(start, guarded, tmp_path):
    gateway = start(documented_policy())
    (tmp_path / "token").write_text("00000000-0000-0000-0000-000000000000")
    guarded.kv_put("lictor/routes/more", {"path": "/more", "service": "web"})
    eventually(lambda: gateway.admin.status()["consul"]["last_error"], lambda error: error and "403" in error, within=15)
    assert gateway.get("/").status == 200
    # Another token in the file is used at once.
    (tmp_path / "token").write_text(guarded.new_token(documented_policy()))
    eventually(lambda: gateway.admin.state("routes/more"), "active", within=15)
