"""What Consul may do to us, on demand: only a successful answer removes an instance, and nothing costs a request."""

import threading
import time

import pytest

from harness.documents import all_to
from harness.fake_consul import answers_body, entry, fails, hangs, hangs_for_good, hangs_up, resets, says, seconds, speaks_nonsense, truncates
from harness.load import Load, tally
from harness.wait import eventually, scaled, steadily

RECOVERY = 15.0  # the longest pause between two tries that we accept

FAULTS = {
    "500": fails(500),
    "503": fails(503),
    "429": fails(429, b"Your IP is issuing too many concurrent connections"),
    "403": fails(403, b"Permission denied"),
    "no-json": answers_body(b"<html>I am a proxy's error page</html>"),
    "half-json": answers_body(b'[{"Node": {"Node": "no'),
    "wrong-json": answers_body(b'{"message": "an object"}'),
    "no-body": answers_body(b""),
    "truncated": truncates,
    "no-http": speaks_nonsense,
    "closes": hangs_up,
    "resets": resets,
}

# A client may ask again at once, and silently, when a connection that it used before ends without a
# byte: only the second time is it surely an error.
TIMES = {"closes": 2, "resets": 2}


def script_fault(fake, endpoint, fault):
    """Returns how many errors that may be."""
    times = TIMES.get(fault, 1)
    fake.script(endpoint, FAULTS[fault], times=times)
    return times


@pytest.fixture
def pair(make):
    return make.backends("a", "b")


@pytest.fixture
def gateway(make, fake, pair):
    """Sends everything to "web", of which "a" and "b" are instances."""
    fake.put("routes/all", all_to("web"))
    fake.set_backends("web", *pair)
    gateway = make.gateway_on(fake)
    eventually(lambda: len(gateway.admin.instances("web")), 2)
    return gateway


def errors(gateway):
    return gateway.admin.status()["consul"]["errors_total"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_health_query_removes_nobody_and_is_asked_again(make, fake, gateway, pair, fault):
    with Load(gateway.address) as load:
        most = script_fault(fake, "health/web", fault)
        eventually(lambda: errors(gateway), within=2)
        assert set(gateway.admin.instances("web")) == {backend.address for backend in pair}
        assert gateway.admin.status()["consul"]["last_error"]
        new = make.backend("new")
        fake.set_backends("web", new)
        load.wait_for("new", within=RECOVERY)
        load.assert_gone("a", within=0.2, watch=0.1)
    load.assert_no_failures()
    failed = [query for query in gateway.admin.metrics().find("lictor_consul_queries_total") if query[0]["outcome"] != "ok"]
    assert 1 <= sum(count for _, count in failed) <= most


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_kv_query_changes_no_route_and_is_asked_again(fake, gateway, fault):
    with Load(gateway.address) as load:
        script_fault(fake, "kv", fault)
        eventually(lambda: errors(gateway), within=2)
        assert gateway.admin.state("routes/all") == "active"
    load.assert_no_failures()
    fake.put("routes/new", {"path": "/new", "service": "nobody"})
    eventually(lambda: gateway.get("/new").status, 503, within=RECOVERY)


@pytest.mark.slow
def test_errors_back_off_with_a_cap_and_never_give_up(fake, gateway):
    fake.script("health/web", fails(500))
    began = time.monotonic()
    time.sleep(6)
    tries = [query.began for query in fake.asked("health/web", since=began)]
    assert 3 <= len(tries) <= 40, f"{len(tries)} tries in 6 s"
    gaps = [later - earlier for earlier, later in zip(tries, tries[1:])]
    assert max(gaps) > min(gaps) * 1.5, f"no back-off: {gaps}"
    assert max(gaps) <= RECOVERY


def test_a_429_is_not_answered_with_haste(fake, gateway):
    fake.script("health/", fails(429))
    began = time.monotonic()
    time.sleep(2)
    assert len(fake.asked("health/web", since=began)) <= 20


@pytest.mark.slow
def test_a_query_that_hangs_is_given_up_after_its_wait_and_asked_again(make, fake, pair):
    fake.put("routes/all", all_to("web"))
    fake.set_backends("web", *pair)
    gateway = make.gateway_on(fake, consul={"wait": "1s"})
    eventually(lambda: fake.waiting("health/web"))
    with Load(gateway.address) as load:
        began = time.monotonic()
        fake.script("health/web", hangs_for_good, times=1)
        new = make.backend("new")
        fake.set_backends("web", new)
        load.wait_for("new", within=20)
        # wait x 17/16 + 10 s, and the pause after an error
        assert 8 < time.monotonic() - began
    load.assert_no_failures()


def test_a_hanging_consul_does_not_delay_the_admin_port(make, fake):
    fake.script("kv", hangs)
    gateway = make.gateway_on(fake, wait_ready=False)
    response = gateway.admin.get("/readyz", timeout=2)
    assert response.status == 503 and response.body
    assert gateway.admin.get("/healthz", timeout=2).status == 200
    fake.heal()
    gateway.wait_ready(within=30)


def test_ready_means_documents_and_every_referenced_service_were_read(make, fake, pair):
    fake.put("routes/all", all_to("web"))
    fake.put("routes/other", {"path": "/other", "service": "slow"})
    fake.set_backends("web", *pair)
    fake.script("health/slow", fails(500))
    gateway = make.gateway_on(fake, wait_ready=False)
    eventually(lambda: gateway.get("/").status, 200)
    response = gateway.admin.get("/readyz")
    assert response.status == 503 and b"slow" in response.body
    assert gateway.admin.status()["state"] == "starting"
    fake.heal()
    gateway.wait_ready(within=RECOVERY)
    assert gateway.admin.status()["state"] == "ready"


def test_a_consul_that_is_not_there_yet_is_waited_for(make, fake, pair):
    fake.put("routes/all", all_to("web"))
    fake.set_backends("web", *pair)
    fake.stop_listening()
    gateway = make.gateway_on(fake, wait_ready=False)
    eventually(lambda: gateway.admin.status()["consul"]["last_error"])
    assert gateway.admin.get("/readyz").status == 503
    fake.listen()
    gateway.wait_ready(within=RECOVERY)
    assert gateway.get("/").status == 200


# Indexes


def last_index(fake, endpoint):
    waiting = fake.waiting(endpoint)
    return waiting[-1].index if waiting else None


def test_queries_wait_on_the_index_they_were_given(fake, gateway):
    eventually(lambda: last_index(fake, "health/web"), fake.index_of("health/web"))
    eventually(lambda: last_index(fake, "kv"), fake.index_of("kv"))
    query = fake.waiting("health/web")[-1]
    assert query.params["wait"]
    assert "passing" not in query.params
    assert "recurse" in fake.waiting("kv")[-1].params


def test_the_wait_is_the_configured_one_with_jitter(make, fake):
    fake.put("routes/all", all_to("web"))
    make.gateway_on(fake, consul={"wait": "90s"})
    query = eventually(lambda: fake.waiting("kv"))[-1]
    assert 90 * 7 / 8 - 1 <= seconds(query.params["wait"]) <= 90


def test_a_lower_index_restarts_from_zero(make, fake, gateway):
    fake.script("health/web", says(index=5), times=1)
    seen = eventually(lambda: [query for query in fake.asked("health/web") if query.scripted])[0]
    following = eventually(lambda: [query for query in fake.asked("health/web") if query.began > seen.began])[0]
    assert following.index == 0
    fake.set_backends("web", make.backend("new"))
    eventually(lambda: tally(gateway.address, 4).keys() == {"new"}, within=2)


def test_a_lower_index_of_the_documents_restarts_from_zero(fake, gateway):
    fake.script("kv", says(index=5), times=1)
    seen = eventually(lambda: [query for query in fake.asked("kv") if query.scripted])[0]
    following = eventually(lambda: [query for query in fake.asked("kv") if query.began > seen.began])[0]
    assert following.index == 0


def test_an_index_below_one_means_one(make, fake):
    fake.put("routes/all", all_to("web"))
    fake.script("health/web", says([], index=0), times=1)
    make.gateway_on(fake)
    first = fake.asked("health/web")[0]
    assert first.scripted and first.index == 0
    following = eventually(lambda: fake.asked("health/web")[1:])[0]
    assert following.index == 1


def test_an_answer_without_an_index_is_not_consuls(fake, gateway):
    """That of a proxy in between, perhaps: it removes nobody."""
    fake.script("health/web", says([], index=None), times=1)
    eventually(lambda: errors(gateway), within=2)
    assert tally(gateway.address, 10).keys() == {"a", "b"}
    following = eventually(lambda: fake.waiting("health/web"), within=RECOVERY)[-1]
    assert following.index == fake.index_of("health/web")


@pytest.mark.parametrize("index", ["abc", "-7", "99999999999999999999999"])
def test_an_index_that_is_no_number_does_no_harm(make, fake, gateway, index):
    fake.script("health/web", says(index=index), times=2)
    eventually(lambda: len([query for query in fake.asked("health/web") if query.scripted]), 2, within=RECOVERY)
    fake.set_backends("web", make.backend("new"))
    eventually(lambda: tally(gateway.address, 4).keys() == {"new"}, within=RECOVERY)


def test_a_consul_that_restarts_empty_is_followed_from_its_new_index(make, fake, gateway):
    """It would hold a query on an index from its former life until the wait is over."""
    eventually(lambda: all(last_index(fake, endpoint) for endpoint in ("kv", "health/web")))
    fake.rewind()
    fake.drop_connections()
    fake.set_backends("web", make.backend("new"))
    eventually(lambda: tally(gateway.address, 4).keys() == {"new"}, within=RECOVERY)


def test_a_flood_of_unchanged_answers_changes_nothing_and_is_paced(fake, gateway):
    revision = gateway.admin.status()["config_revision"]
    began, cpu = time.monotonic(), gateway.cpu_seconds()
    fake.script("kv", says())
    fake.script("health/web", says())
    with Load(gateway.address, pace=0.05) as load:
        time.sleep(2)
    load.assert_no_failures()
    assert len(fake.asked("kv", since=began)) + len(fake.asked("health/web", since=began)) < 400
    assert gateway.cpu_seconds() - cpu < 1
    assert gateway.admin.status()["config_revision"] == revision


def test_a_service_that_flaps_does_not_touch_the_others(make, fake, pair):
    fake.put("routes/all", all_to("web"))
    fake.put("routes/other", {"path": "/other", "service": "flapping"})
    fake.set_backends("web", *pair)
    gateway = make.gateway_on(fake)
    eventually(lambda: last_index(fake, "health/web"), fake.index_of("health/web"))
    revision = gateway.admin.status()["config_revision"]
    with Load(gateway.address) as load:
        load.run_for(20)
        connections = sum(backend.accepted for backend in pair)
        asked = len(fake.asked("health/web"))
        for number in range(30):
            fake.set_instances("flapping", entry("x", 1000 + number, "flapping"))
            time.sleep(0.02)
        eventually(lambda: list(gateway.admin.instances("flapping")), ["127.0.0.1:1029"])
    load.assert_no_failures()
    assert len(fake.asked("health/web")) == asked
    assert sum(backend.accepted for backend in pair) - connections < 10, "connections of another service were not kept"
    assert gateway.admin.status()["config_revision"] == revision


# No known leader


def test_fewer_instances_without_a_known_leader_are_held(fake, gateway, pair):
    fake.script("health/web", says([entry("a", pair[0].port)], index=900, known_leader=False))
    eventually(lambda: len([query for query in fake.asked("health/web") if query.scripted]) >= 2, within=RECOVERY)
    steadily(lambda: len(gateway.admin.instances("web")), 2, during=1.0)
    assert tally(gateway.address, 10).keys() == {"a", "b"}
    assert gateway.admin.status()["consul"]["known_leader"] is False
    fake.set_backends("web", pair[0])
    fake.heal()
    eventually(lambda: len(gateway.admin.instances("web")), 1, within=RECOVERY)
    assert gateway.admin.status()["consul"]["known_leader"] is True


def test_no_instances_without_a_known_leader_are_held(fake, gateway):
    fake.script("health/web", says([], index=900, known_leader=False))
    eventually(lambda: len([query for query in fake.asked("health/web") if query.scripted]) >= 2, within=RECOVERY)
    assert tally(gateway.address, 10).keys() == {"a", "b"}


def test_more_instances_without_a_known_leader_are_taken(make, fake, gateway, pair):
    new = make.backend("new")
    fake.script("health/web", says([entry(b.name, b.port) for b in [*pair, new]], index=900, known_leader=False))
    eventually(lambda: tally(gateway.address, 9)["new"] == 3, within=5)


# One query per referenced service, few connections


def test_one_query_per_referenced_service(fake, make, pair):
    fake.set_backends("web", *pair)
    fake.set_backends("unreferenced", *pair)
    for number in range(5):
        fake.put(f"routes/r{number}", {"path": f"/{number}", "backends": [{"service": "web"}, {"service": "api"}]})
    fake.put("upstreams/policy-only", {"balance": "round_robin"})
    make.gateway_on(fake)
    eventually(lambda: len(fake.waiting("health/web")) == len(fake.waiting("health/api")) == 1)
    assert fake.most_at_once("health/web") == fake.most_at_once("health/api") == fake.most_at_once("kv") == 1
    assert fake.asked("health/unreferenced") == []


def test_a_service_no_longer_referenced_is_no_longer_asked_for(fake, gateway):
    eventually(lambda: fake.waiting("health/web"))
    fake.put("routes/all", all_to("other"))
    eventually(lambda: fake.waiting("health/other"))
    eventually(lambda: fake.waiting("health/web"), [], within=3)
    eventually(lambda: gateway.admin.upstream("web"), None)


def test_a_service_with_static_endpoints_is_not_asked_for(fake, make, pair):
    fake.put("routes/all", all_to("web"))
    fake.put("upstreams/web", {"endpoints": [{"address": pair[0].address}]})
    gateway = make.gateway_on(fake)
    assert gateway.get("/").backend == "a"
    assert fake.asked("health/web") == []


def test_many_services_share_few_connections(make, fake):
    backend = make.backend()
    names = [f"service-{number}" for number in range(40)]
    for name in names:
        fake.put(f"routes/{name}", {"path": f"/{name}", "service": name})
        fake.set_backends(name, backend)
    gateway = make.gateway_on(fake, consul={"max_connections": 6})
    most, watching = [0], threading.Event()

    def watch():
        while not watching.wait(0.005):
            most[0] = max(most[0], fake.open_connections)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with gateway.client() as client:
        assert [name for name in names if client.get(f"/{name}").status != 200] == []
        for name in names[::7]:
            fake.set_instances(name)
        for name in names[::7]:
            eventually(lambda: client.get(f"/{name}").status, 503, within=20)
    fake.put("routes/last", {"path": "/last", "service": names[0]})
    eventually(lambda: gateway.get("/last").status, 503, within=10)
    watching.set()
    watcher.join()
    assert most[0] <= 6


def test_the_answer_may_be_large(make, fake):
    backend = make.backend()
    fake.put("routes/all", all_to("web"))
    fake.set_instances("web", *(entry(f"instance-{n}", backend.port, address=f"127.0.{n // 250}.{n % 250 + 1}", meta={"padding": "x" * 200}) for n in range(2000)))
    gateway = make.gateway_on(fake)
    eventually(lambda: len(gateway.admin.instances("web")), 2000, within=10)
    began = time.monotonic()
    fake.set_backends("web", backend)
    eventually(lambda: len(gateway.admin.instances("web")), 1, within=2)
    assert time.monotonic() - began < scaled(2)


def test_the_same_service_id_on_two_nodes_is_two_instances(make, fake, pair):
    fake.put("routes/all", all_to("web"))
    fake.set_instances("web", entry("web", pair[0].port, node="node-1"), entry("web", pair[1].port, node="node-2"))
    gateway = make.gateway_on(fake)
    assert tally(gateway.address, 10) == {"a": 5, "b": 5}


def test_the_worst_check_decides(make, fake, pair):
    checks = [{"Node": "node-1", "CheckID": f"c{n}", "Name": "c", "Status": status, "ServiceID": ""} for n, status in enumerate(("passing", "critical", "warning"))]
    fake.put("routes/all", all_to("web"))
    fake.set_instances("web", entry("a", pair[0].port, checks=checks), entry("b", pair[1].port, checks=[]))
    gateway = make.gateway_on(fake)
    assert gateway.admin.instance("web", pair[0].address)["health"] == "critical"
    assert gateway.admin.instance("web", pair[1].address)["health"] == "passing"
    assert tally(gateway.address, 6) == {"b": 6}
