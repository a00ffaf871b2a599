"""Passive health: instances that fail live traffic are left out for a while."""

import time

import pytest

from harness.backend import Refusing, answer, hangs_up, never, then_default
from harness.documents import all_to, endpoints, one_upstream
from harness.load import Load, tally
from harness.wait import eventually, steadily

QUICK = {"consecutive_failures": 5, "base_time": "400ms", "max_time": "10s", "max_percent": 100}
LASTING = {**QUICK, "base_time": "5m", "max_time": "5m"}


def ejected(gateway, backend, service="web"):
    return gateway.admin.instance(service, backend.address)["ejected"]


def eject_by_failures(gateway, backend):
    backend.default = answer(503)
    with gateway.client() as client:
        eventually(lambda: client.get("/") and ejected(gateway, backend))


@pytest.fixture
def pair(make):
    return make.backends("good", "bad")


def test_five_failures_in_a_row_eject(make, pair):
    good, bad = pair
    gateway = make.gateway(one_upstream(good, bad, ejection=LASTING), workers=1)
    bad.default = answer(503)
    with gateway.client() as client:
        statuses = [client.get("/").status for _ in range(60)]
    assert statuses.count(503) == 5 and bad.hits == 5
    instance = gateway.admin.instance("web", bad.address)
    assert instance["ejected"] and instance["ejected_until"]
    assert not ejected(gateway, good)
    metrics = gateway.admin.metrics()
    assert metrics.one("lictor_upstream_ejections_total", service="web", instance=instance["id"]) == 1
    assert tally(gateway.address, 20) == {"good": 20}


def test_failures_must_be_in_a_row(make, pair):
    good, bad = pair
    gateway = make.gateway(one_upstream(good, bad, ejection=LASTING), workers=1)
    bad.default = then_default(*([answer(503)] * 4 + [answer()] + [answer(503)] * 4 + [answer()]) * 3)
    tally(gateway.address, 60)
    assert bad.hits == 30 and not ejected(gateway, bad)
    assert gateway.admin.instance("web", bad.address)["failures_total"] == 24


def test_an_ejected_instance_returns_after_its_time(make, pair):
    good, bad = pair
    gateway = make.gateway(one_upstream(good, bad, ejection=QUICK))
    eject_by_failures(gateway, bad)
    bad.default = answer()
    assert tally(gateway.address, 10) == {"good": 10}
    eventually(lambda: ejected(gateway, bad), False, within=3)
    assert tally(gateway.address, 20, connections=2)["bad"] > 0
    assert gateway.admin.instance("web", bad.address)["ejected_until"] in (None, "", 0) or "ejected_until" not in gateway.admin.instance("web", bad.address)


def test_each_ejection_is_longer_up_to_the_longest(make, pair):
    good, bad = pair
    gateway = make.gateway(one_upstream(good, bad, ejection={**QUICK, "base_time": "300ms", "max_time": "700ms"}))
    lasted = []
    for _ in range(4):
        eject_by_failures(gateway, bad)
        began = time.monotonic()
        eventually(lambda: ejected(gateway, bad), False, within=5)
        lasted.append(time.monotonic() - began)
    assert lasted[0] < 0.55, lasted
    assert lasted[1] > lasted[0] + 0.15, lasted
    assert lasted[3] < 1.2, lasted


@pytest.mark.parametrize(
    "failure",
    [answer(500), answer(502), answer(503), answer(504), hangs_up],
    ids=["500", "502", "503", "504", "close"],
)
def test_what_counts_as_a_failure(make, pair, failure):
    good, bad = pair
    gateway = make.gateway(one_upstream(good, bad, ejection=LASTING))
    bad.default = failure
    tally_of_any_status(gateway, 20)
    assert ejected(gateway, bad)


def tally_of_any_status(gateway, requests):
    for _ in range(requests):
        gateway.get("/")


def test_a_refused_connect_counts(make):
    good, dead = make.backend("good"), make.keep(Refusing())
    gateway = make.gateway(one_upstream(good, dead, ejection=LASTING))
    assert tally(gateway.address, 20) == {"good": 20}
    assert ejected(gateway, dead)


def test_a_timeout_counts(make, pair):
    good, bad = pair
    gateway = make.gateway(one_upstream(good, bad, route={"timeout": "100ms"}, ejection={**LASTING, "consecutive_failures": 2}))
    bad.default = never
    tally_of_any_status(gateway, 8)
    assert ejected(gateway, bad)


@pytest.mark.parametrize("status", [200, 404, 429, 501])
def test_other_answers_do_not_count(make, pair, status):
    good, bad = pair
    gateway = make.gateway(one_upstream(good, bad, ejection=LASTING))
    bad.default = answer(status)
    tally_of_any_status(gateway, 20)
    assert not ejected(gateway, bad)


def test_which_status_counts_is_the_upstreams_choice(make, pair):
    good, bad = pair
    gateway = make.gateway(one_upstream(good, bad, ejection={**LASTING, "failure_status": [418]}))
    bad.default = answer(503)
    tally_of_any_status(gateway, 20)
    assert not ejected(gateway, bad)
    bad.default = answer(418)
    tally_of_any_status(gateway, 20)
    assert ejected(gateway, bad)


def test_a_client_that_aborts_is_not_the_instances_fault(make, pair):
    good, bad = pair
    gateway = make.gateway(one_upstream(good, bad, ejection=LASTING))
    good.default = bad.default = never
    for _ in range(20):
        with gateway.client() as client:
            before = good.started + bad.started
            client.send_request("GET", "/")
            eventually(lambda: good.started + bad.started > before)
            client.reset()
    eventually(lambda: good.open_connections + bad.open_connections, 0)
    assert not ejected(gateway, good) and not ejected(gateway, bad)


# How many


def test_the_last_instance_is_never_ejected(make):
    only = make.backend("only")
    gateway = make.gateway(one_upstream(only, ejection=LASTING))
    only.default = answer(503, b"its own words")
    assert {gateway.get("/").body for _ in range(20)} == {b"its own words"}
    assert not ejected(gateway, only)


def test_of_two_failing_instances_one_stays(make, pair):
    gateway = make.gateway(one_upstream(*pair, ejection=LASTING))
    for backend in pair:
        backend.default = answer(503)
    tally_of_any_status(gateway, 60)
    assert sorted(ejected(gateway, backend) for backend in pair) == [False, True]


@pytest.mark.parametrize("percent, count", [(50, 2), (25, 1), (10, 1), (0, 1)])
def test_max_percent_bounds_how_many_are_out(make, percent, count):
    backends = make.backends("a", "b", "c", "d")
    gateway = make.gateway(one_upstream(*backends, ejection={**LASTING, "consecutive_failures": 2, "max_percent": percent}))
    for backend in backends:
        backend.default = answer(503)
    tally_of_any_status(gateway, 60)
    assert sum(ejected(gateway, backend) for backend in backends) == count


# For how many workers, and through what


def test_workers_share_what_they_learn(make, pair):
    good, bad = pair
    gateway = make.gateway(one_upstream(good, bad, ejection=LASTING), workers=4)
    eject_by_failures(gateway, bad)
    bad.default = answer()
    assert tally(gateway.address, 64, connections=16) == {"good": 64}


def test_an_ejection_survives_changes_of_configuration(make, agent, documents, service, pair):
    good, bad = pair
    documents.put("routes/all", all_to(service))
    documents.put(f"upstreams/{service}", {"ejection": LASTING})
    for backend in pair:
        agent.register_backend(service, backend)
    gateway = make.gateway_on(agent, documents.prefix)
    eventually(lambda: len(gateway.admin.instances(service)), 2)
    bad.default = answer(503)
    with gateway.client() as client:
        eventually(lambda: client.get("/") and ejected(gateway, bad, service))
    bad.default = answer()
    ejections = gateway.admin.metrics().sum("lictor_upstream_ejections_total", service=service)

    documents.put("routes/other", {"path": "/other", "service": service})
    documents.put(f"upstreams/{service}", {"ejection": LASTING, "idle_timeout": "30s"})
    third = make.backend("third")
    agent.register_backend(service, third)
    eventually(lambda: gateway.admin.state("routes/other"), "active")
    eventually(lambda: len(gateway.admin.instances(service)), 3)

    assert ejected(gateway, bad, service)
    assert tally(gateway.address, 20, connections=4)["bad"] == 0
    assert gateway.admin.metrics().sum("lictor_upstream_ejections_total", service=service) == ejections


def test_five_503s_eject_an_instance_found_in_consul(make, agent, documents, service, pair):
    good, bad = pair
    documents.put("routes/all", all_to(service))
    for backend in pair:
        agent.register_backend(service, backend)
    gateway = make.gateway_on(agent, documents.prefix)
    eventually(lambda: len(gateway.admin.instances(service)), 2)
    bad.default = answer(503)
    with Load(gateway.address, expected=(200, 503)) as load:
        eventually(lambda: ejected(gateway, bad, service))
        load.assert_gone("bad", within=0.1)
    load.assert_no_failures()
    # A request in flight at another worker may still have met it.
    assert 5 <= sum(result.status == 503 for result in load.results) <= 9


# An operator's hand


def test_an_operator_ejects_and_restores(make, pair):
    good, bad = pair
    gateway = make.gateway(one_upstream(good, bad, ejection=QUICK))
    instance = gateway.admin.instance("web", bad.address)["id"]
    assert gateway.admin.order("eject", "web", instance).status in (200, 204)
    assert ejected(gateway, bad)
    assert tally(gateway.address, 20, connections=4) == {"good": 20}
    # base_time is long over, traffic is fine: it stays out.
    steadily(lambda: ejected(gateway, bad), during=1.0)
    assert gateway.admin.order("restore", "web", instance).status in (200, 204)
    assert not ejected(gateway, bad)
    assert tally(gateway.address, 20, connections=4)["bad"] > 0
    said = [f"upstream web: instance {instance} {what} by an operator" for what in ("ejected", "restored")]
    eventually(lambda: [line.split("admin: ", 1)[1] for line in gateway.stderr if "by an operator" in line], said)


def test_an_operator_restores_what_traffic_ejected(make, pair):
    good, bad = pair
    gateway = make.gateway(one_upstream(good, bad, ejection=LASTING))
    eject_by_failures(gateway, bad)
    bad.default = answer()
    assert gateway.admin.order("restore", "web", gateway.admin.instance("web", bad.address)["id"]).status in (200, 204)
    assert tally(gateway.address, 20, connections=2)["bad"] > 0


def test_orders_for_the_unknown_are_404(make, pair):
    gateway = make.gateway(one_upstream(*pair))
    known = gateway.admin.instance("web", pair[0].address)["id"]
    assert gateway.admin.order("eject", "web", "nobody").status == 404
    assert gateway.admin.order("eject", "nowhere", known).status == 404
    assert gateway.admin.order("promote", "web", known).status in (404, 405)
    assert gateway.admin.get(f"/v1/upstreams/web/instances/{known}/eject").status in (404, 405)


def test_one_service_is_not_ejected_for_another(make, pair):
    good, bad = pair
    gateway = make.gateway(
        {
            "routes/a": {"path": "/a", "service": "a"},
            "routes/b": {"path": "/b", "service": "b"},
            "upstreams/a": endpoints(good, bad, ejection=LASTING),
            "upstreams/b": endpoints(good, bad, ejection=LASTING),
        }
    )
    bad.on("/a", answer(503))
    for _ in range(20):
        gateway.get("/a")
    assert ejected(gateway, bad, "a") and not ejected(gateway, bad, "b")
    assert tally(gateway.address, 10, target="/b")["bad"] == 5
