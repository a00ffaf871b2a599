"""Who takes which request: balancers, sessions, subsets, failover, slow start and panic."""

import re
import threading
import time

import pytest

from harness.backend import answer, hangs_up, then_default
from harness.documents import all_to, endpoints, one_upstream
from harness.fake_consul import entry
from harness.load import Load, tally
from harness.wait import eventually

NAMES = ["a", "b", "c", "d"]


def gateway_to(make, *targets, workers=2, **policy):
    return make.gateway(one_upstream(*targets, **policy), workers=workers)


def backend_of(gateway, target="/", **how):
    """Who answers, asked on a connection of its own."""
    response = gateway.get(target, **how)
    assert response.status == 200, response
    return response.backend


# Balancers


def test_random_follows_the_weights(make):
    a, b = make.backends("a", "b")
    gateway = gateway_to(make, (a, 3), (b, 1), workers=1, balance="random")
    with gateway.client() as client:
        picks = [client.get("/").backend for _ in range(800)]
    # Chi-square of one degree of freedom, p = 0.0001 (the seed is fixed: this doesn't flicker).
    assert (picks.count("a") - 600) ** 2 / 600 + (picks.count("b") - 200) ** 2 / 200 < 15.1
    assert "aaaa" in "".join(picks) and "bb" in "".join(picks), "taking turns is not chance"


def test_least_request_avoids_who_is_busy(make):
    slow, fast = make.backends("slow", "fast")
    slow.default = answer(delay=0.1)
    gateway = gateway_to(make, slow, fast, workers=1, balance="least_request")
    with Load(gateway.address, connections=8, pace=0.005) as load:
        load.run_for(300)
    load.assert_no_failures()
    answers = load.since(0)
    assert answers["slow"] < 0.25 * answers["fast"], answers


def test_round_robin_ignores_the_weights(make):
    a, b = make.backends("a", "b")
    gateway = gateway_to(make, (a, 9), (b, 1), workers=1, balance="round_robin")
    assert tally(gateway.address, 20) == {"a": 10, "b": 10}


KEYS = {
    "header": ({"header": "X-User"}, lambda n: {"fields": {"x-user": f"user-{n}"}}),
    "cookie": ({"cookie": "id"}, lambda n: {"fields": {"Cookie": f"other=1; id=user-{n}"}}),
    "query": ({"query": "id"}, lambda n: {"target": f"/?x=1&id=user-{n}"}),
    "client_ip": ("client_ip", lambda n: {"source": f"127.0.0.{n + 2}"}),
}


@pytest.mark.parametrize("key", KEYS)
def test_ring_hash_keeps_a_key_at_its_instance(make, key):
    hash_on, ask = KEYS[key]
    gateway = gateway_to(make, *make.backends(*NAMES), balance="ring_hash", hash_on=hash_on)
    homes = [backend_of(gateway, **ask(n)) for n in range(40)]
    assert set(homes) == set(NAMES)
    for _ in range(3):  # on other connections, thus on both workers
        assert [backend_of(gateway, **ask(n)) for n in range(40)] == homes


def test_ring_hash_is_the_same_on_every_gateway(make):
    backends = make.backends(*NAMES)
    gateways = [gateway_to(make, *order, balance="ring_hash", hash_on={"header": "x-user"}) for order in (backends, backends[::-1])]
    first, second = ([backend_of(gateway, fields={"x-user": str(n)}) for n in range(40)] for gateway in gateways)
    assert first == second


def test_ring_hash_without_a_key_goes_by_chance(make):
    gateway = gateway_to(make, *make.backends(*NAMES), balance="ring_hash", hash_on={"header": "x-user"})
    assert set(tally(gateway.address, 60)) == set(NAMES)


def test_ring_hash_moves_few_keys_when_an_instance_goes(make, fake):
    backends = make.backends(*NAMES)
    fake.put("routes/all", all_to("web"))
    fake.put("upstreams/web", {"balance": "ring_hash", "hash_on": {"header": "x-user"}})
    fake.set_backends("web", *backends)
    gateway = make.gateway_on(fake)

    def homes():
        with gateway.client() as client:
            return {n: client.get("/", fields={"x-user": str(n)}).backend for n in range(200)}

    before = homes()
    fake.set_backends("web", *backends[:3])
    eventually(lambda: len(gateway.admin.instances("web")), 3)
    eventually(lambda: "d" not in tally(gateway.address, 20, connections=4))
    after = homes()
    assert {n for n in before if before[n] != after[n]} == {n for n in before if before[n] == "d"}
    fake.set_backends("web", *backends)
    eventually(lambda: len(gateway.admin.instances("web")), 4)
    eventually(homes, before)


def test_a_hot_key_does_not_break_its_instance(make):
    backends = make.backends(*NAMES)
    for backend in backends:
        backend.default = answer(delay=0.05)
    gateway = gateway_to(make, *backends, workers=1, balance="ring_hash", hash_on={"query": "id"})
    with Load(gateway.address, target="/?id=hot", connections=20, pace=0) as load:
        load.run_for(200)
    load.assert_no_failures()
    answers = load.since(0)
    assert max(answers.values()) <= 0.45 * sum(answers.values()), answers


# Sessions

STICKY = {"balance": "ring_hash", "hash_on": {"cookie": "lb", "set": True}}


def begin_session(gateway):
    """The cookie of a new one, and who has it."""
    response = gateway.get("/")
    cookie = response.fields["set-cookie"]
    return re.match(r"lb=[^;]+", cookie)[0], response.backend, cookie


def test_a_session_begins_with_an_opaque_cookie(make):
    backends = make.backends(*NAMES)
    gateway = gateway_to(make, *backends, **STICKY)
    cookies = [begin_session(gateway) for _ in range(60)]
    assert len({pair for pair, _, _ in cookies}) == 60
    assert {backend for _, backend, _ in cookies} == set(NAMES)
    for pair, backend, cookie in cookies:
        assert "httponly" in cookie.lower() and "path=/" in cookie.lower()
        assert re.fullmatch(r"lb=[A-Za-z0-9_-]{16,}", pair)
        assert not any(part in pair for part in ("127.0.0.1", *(str(backend.port) for backend in backends)))


def test_a_session_stays_with_its_instance(make):
    gateway = gateway_to(make, *make.backends(*NAMES), **STICKY)
    for pair, home, _ in [begin_session(gateway) for _ in range(10)]:
        for _ in range(8):  # each on a connection of its own
            response = gateway.get("/", fields={"Cookie": f"a=b; {pair}; c=d"})
            assert response.backend == home
            assert "set-cookie" not in response.fields


def test_a_session_stays_when_its_instance_is_busy(make):
    backends = make.backends(*NAMES)
    for backend in backends:
        backend.on("/slow", answer(delay=0.3))
    gateway = gateway_to(make, *backends, workers=1, **STICKY)
    pair, home, _ = begin_session(gateway)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(gateway.get("/slow", fields={"Cookie": pair}).backend)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [home] * 6


def test_a_session_survives_a_stale_connection(make):
    backends = make.backends(*NAMES)
    gateway = gateway_to(make, *backends, workers=1, **STICKY)
    pair, home, _ = begin_session(gateway)
    backend = next(backend for backend in backends if backend.name == home)
    backend.default = then_default(hangs_up)
    assert backend_of(gateway, fields={"Cookie": pair}) == home


def test_a_session_survives_the_going_and_coming_of_others(make, fake):
    backends = make.backends(*NAMES)
    fake.put("routes/all", all_to("web"))
    fake.put("upstreams/web", STICKY)
    fake.set_backends("web", *backends)
    gateway = make.gateway_on(fake)
    sessions = [begin_session(gateway)[:2] for _ in range(30)]
    for gone in backends:
        fake.set_backends("web", *(backend for backend in backends if backend is not gone))
        eventually(lambda: gone.address not in gateway.admin.instances("web"))
        eventually(lambda: gone.name not in tally(gateway.address, 20, connections=4))
        for pair, home in sessions:
            now = backend_of(gateway, fields={"Cookie": pair})
            assert now == home or home == gone.name
    fake.set_backends("web", *backends)
    eventually(lambda: [backend_of(gateway, fields={"Cookie": pair}) for pair, _ in sessions] == [home for _, home in sessions])


def test_no_cookie_where_the_failover_has_no_sessions(make):
    spare = make.backend("spare")
    documents = {
        "routes/all": {"path": "/*", "backends": [{"service": "web", "failover": [{"service": "spare"}]}]},
        "upstreams/web": {"endpoints": [{"address": "127.0.0.1:1", "weight": 0}], **STICKY},
        "upstreams/spare": endpoints(spare),
    }
    response = make.gateway(documents).get("/")
    assert response.backend == "spare"
    assert "set-cookie" not in response.fields


# Subsets


@pytest.fixture
def fleet(make, agent, service):
    """v1 has "a" and "b", v2 "c"; "b" and "c" are in the green zone."""
    a, b, c = backends = make.backends("a", "b", "c")
    agent.register_backend(service, a, tags=["v1", "web"], meta={"zone": "blue", "tier": "1"})
    agent.register_backend(service, b, tags=["v1", "web"], meta={"zone": "green", "tier": "1"})
    agent.register_backend(service, c, tags=["v2", "web"], meta={"zone": "green", "tier": "2"})
    yield service
    for backend in backends:
        agent.deregister(f"{service}-{backend.name}")


@pytest.mark.parametrize(
    "subset, takes",
    [
        ({}, "abc"),
        ({"tags": ["v1"]}, "ab"),
        ({"tags": ["v2"]}, "c"),
        ({"tags": ["web", "v1"]}, "ab"),
        ({"meta": {"zone": "green"}}, "bc"),
        ({"meta": {"zone": "green", "tier": "2"}}, "c"),
        ({"tags": ["v1"], "meta": {"zone": "green"}}, "b"),
        ({"tags": ["v1", "v2"]}, ""),
        ({"tags": ["V1"]}, ""),
        ({"meta": {"zone": ""}}, ""),
    ],
)
def test_a_subset_takes_who_has_all_of_it(make, agent, documents, fleet, subset, takes):
    documents.put("routes/all", {"path": "/*", "backends": [{"service": fleet, **subset}]})
    gateway = make.gateway_on(agent, documents.prefix, workers=1)
    if takes:
        assert set(tally(gateway.address, 12)) == set(takes)
    else:
        gateway.get("/").problem(503, "no_instance")


def test_weights_split_traffic_between_subsets(make, agent, documents, fleet):
    backends = [{"service": fleet, "tags": ["v1"], "weight": 75}, {"service": fleet, "tags": ["v2"], "weight": 25}]
    documents.put("routes/all", {"path": "/*", "backends": backends})
    gateway = make.gateway_on(agent, documents.prefix, workers=1)
    counts = tally(gateway.address, 600)
    assert 90 <= counts["c"] <= 215, counts
    assert abs(counts["a"] - counts["b"]) <= 2, counts


def test_tags_that_change_move_traffic(make, agent, documents, service):
    a, b = make.backends("a", "b")
    agent.register_backend(service, a, tags=["live"])
    agent.register_backend(service, b, tags=["idle"])
    documents.put("routes/all", {"path": "/*", "backends": [{"service": service, "tags": ["live"]}]})
    gateway = make.gateway_on(agent, documents.prefix)
    with Load(gateway.address) as load:
        load.wait_for("a")
        agent.register_backend(service, b, tags=["live"])
        load.wait_for("b")
        agent.register_backend(service, a, tags=["idle"])
        load.assert_gone("a")
    load.assert_no_failures()
    agent.deregister(f"{service}-a")
    agent.deregister(f"{service}-b")


# Failover


@pytest.fixture
def failing_over(make, fake):
    """Everything goes to "web" with instance "main", else to "spare" with instance "spare"."""
    main, spare = make.backends("main", "spare")
    fake.put("routes/all", {"path": "/*", "backends": [{"service": "web", "failover": [{"service": "nobody"}, {"service": "spare"}]}]})
    fake.set_backends("web", main)
    fake.set_backends("spare", spare)
    return main, spare


def test_a_failover_is_used_while_there_is_nobody_usable(make, fake, failing_over):
    main, spare = failing_over
    gateway = make.gateway_on(fake)
    with Load(gateway.address) as load:
        load.run_for(100)
        assert set(load.since(0)) == {"main"}
        for status in ("critical", None):
            fake.set_instances("web", *([entry("main", main.port, status=status)] if status else []))
            load.wait_for("spare")
            load.assert_gone("main", within=0.3, watch=0.2)
            fake.set_backends("web", main)
            load.wait_for("main")
            load.assert_gone("spare", within=0.3, watch=0.2)
    load.assert_no_failures()


def test_a_failover_within_the_service_takes_another_subset(make, fake):
    old, new = make.backends("old", "new")
    fake.put("routes/all", {"path": "/*", "backends": [{"service": "web", "tags": ["new"], "failover": [{"service": "web"}]}]})
    fake.set_instances("web", entry("old", old.port, tags=["old"]))
    gateway = make.gateway_on(fake)
    assert backend_of(gateway) == "old"
    fake.set_instances("web", entry("old", old.port, tags=["old"]), entry("new", new.port, tags=["new"]))
    eventually(lambda: set(tally(gateway.address, 10, connections=4)) == {"new"})


def test_no_failover_for_what_a_retry_can_do(make, fake, failing_over):
    main, _ = failing_over
    main.default = answer(503)
    gateway = make.gateway_on(fake)
    assert {gateway.get("/").status for _ in range(4)} == {503}


def test_a_failover_comes_before_a_panic(make, fake, failing_over):
    main, _ = failing_over
    fake.put("upstreams/web", {"health": "passing", "panic_percent": 50})
    fake.set_instances("web", entry("main", main.port, status="warning"))
    gateway = make.gateway_on(fake)
    assert set(tally(gateway.address, 10)) == {"spare"}
    fake.set_instances("spare")
    eventually(lambda: set(tally(gateway.address, 10)) == {"main"})


def test_nobody_anywhere_is_no_instance(make, fake, failing_over):
    fake.set_instances("web")
    fake.set_instances("spare")
    make.gateway_on(fake).get("/").problem(503, "no_instance")


# Slow start and panic


@pytest.mark.parametrize("balance", ["weighted_round_robin", "round_robin", "random", "least_request"])
def test_a_new_instance_starts_slowly(make, fake, balance):
    old, new = make.backends("old", "new")
    fake.put("routes/all", all_to("web"))
    fake.put("upstreams/web", {"slow_start": "3s", "balance": balance})
    fake.set_backends("web", old)
    gateway = make.gateway_on(fake, workers=1)
    assert tally(gateway.address, 20) == {"old": 20}
    fake.set_backends("web", old, new)
    eventually(lambda: len(gateway.admin.instances("web")), 2)
    began = time.monotonic()
    first = tally(gateway.address, 100)
    if time.monotonic() - began < 0.6:
        assert first["new"] <= 35, first
    time.sleep(max(0.0, began + 3.3 - time.monotonic()))
    last = tally(gateway.address, 100)
    assert 30 <= last["new"] <= 70, last


def test_those_there_from_the_start_start_at_once(make):
    backends = [(backend, weight) for backend, weight in zip(make.backends("a", "b"), (3, 1))]
    gateway = gateway_to(make, *backends, workers=1, slow_start="1h")
    assert tally(gateway.address, 40) == {"a": 30, "b": 10}


@pytest.mark.parametrize("percent, takes", [(50, "abcd"), (25, "a"), (0, "a")])
def test_in_a_panic_all_that_may_be_alive_are_used(make, fake, percent, takes):
    backends = make.backends(*NAMES, "critical", "maintenance")
    fake.put("routes/all", all_to("web"))
    fake.put("upstreams/web", {"health": "passing", "panic_percent": percent})
    health = ["passing", "warning", "warning", "warning"] + (["critical", "maintenance"] if percent == 50 else [])
    fake.set_instances("web", *(entry(backend.name, backend.port, status=status) for backend, status in zip(backends, health)))
    gateway = make.gateway_on(fake, workers=1)
    assert set(tally(gateway.address, 24)) == set(takes)


def test_an_operators_hand_holds_in_a_panic(make, fake):
    backends = make.backends(*NAMES)
    fake.put("routes/all", all_to("web"))
    fake.put("upstreams/web", {"panic_percent": 100})
    fake.set_backends("web", *backends)
    gateway = make.gateway_on(fake, workers=1)
    assert gateway.admin.order("eject", "web", "a").status in (200, 204)
    assert set(tally(gateway.address, 24)) == {"b", "c", "d"}
