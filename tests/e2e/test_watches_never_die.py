"""Hundreds of random faults in a row: a change is still seen soon after, and nobody is lost who Consul had not removed."""

import collections
import os
import random
import time

import pytest

from harness.documents import all_to
from harness.fake_consul import answers_body, fails, hangs_up, resets, says, speaks_nonsense, truncates
from harness.load import Load, tally
from harness.wait import eventually, scaled

SEED = int(os.environ.get("LICTOR_FAULT_SEED", "20"))
FAULTS = int(os.environ.get("LICTOR_FAULTS", "100"))  # of each of eight watches, in a row: a minute; 200 take two
SOON = 2.0  # after a fault's end

ANSWERED = {
    "500": fails(500),
    "429": fails(429, b"Your IP is issuing too many concurrent connections"),
    "garbage": answers_body(b"<html>a proxy's error page</html>"),
    "half-json": answers_body(b'[{"Node": {"Node": "no'),
    "truncated": truncates,
    "no-http": speaks_nonsense,
    "closes": hangs_up,
    "resets": resets,
    "index-backwards": says(index=1),
    "no-leader": says([], index=None, known_leader=False),
    "no-leader-empty": says([], index=7000, known_leader=False),
}


def hangs_while(faulty, longest=None):
    """A hang that ends with the fault, or by itself; the query's connection is closed then."""

    def action(fake, connection, query):
        began = time.monotonic()
        while faulty() and not fake.stopping and not connection.peer_has_closed():
            if longest and time.monotonic() - began > longest:
                break
            time.sleep(0.005)
        return False

    return action


@pytest.fixture
def pair(make):
    return make.backends("a", "b")


@pytest.fixture
def gateway(make, fake, pair):
    fake.put("routes/all", all_to("web"))
    fake.set_backends("web", *pair)
    gateway = make.gateway_on(fake)
    eventually(lambda: len(gateway.admin.instances("web")), 2)
    return gateway


@pytest.mark.slow
def test_a_change_is_seen_after_hundreds_of_faults_in_a_row(make, fake, gateway, pair):
    services = [f"service-{number}" for number in range(6)]
    for service in services:
        fake.put(f"routes/{service}", {"path": f"/{service}", "service": service})
        fake.set_backends(service, *pair)
    eventually(lambda: all(len(gateway.admin.instances(service)) == 2 for service in services))
    chance, met, faulty = random.Random(SEED), collections.Counter(), [True]
    kinds = {**ANSWERED, "hangs": hangs_while(lambda: faulty, longest=0.3)}

    def any_fault(fake, connection, query):
        met[query.endpoint] += 1
        return kinds[chance.choice(list(kinds))](fake, connection, query)

    endpoints = ["kv", "health/web", *(f"health/{service}" for service in services)]
    with Load(gateway.address, connections=2, pace=0.01) as load:
        for endpoint in ["kv", "health/"]:
            fake.script(endpoint, any_fault)
        while min(met[endpoint] for endpoint in endpoints) < FAULTS:
            assert all(len(gateway.admin.instances(service)) == 2 for service in ["web", *services]), met
            assert gateway.admin.state("routes/all") == "active"
            time.sleep(0.05)
        assert gateway.get("/service-0").status == 200
        new = make.backend("new")
        fake.heal()
        faulty.clear()
        fake.put("routes/new", {"path": "/new", "service": "nobody"})
        for service in ["web", *services]:
            fake.set_backends(service, *pair, new)
        began = time.monotonic()
        for service in ["web", *services]:
            eventually(lambda: new.address in gateway.admin.instances(service), within=SOON)
        eventually(lambda: gateway.get("/new").status, 503, within=SOON)
        assert time.monotonic() - began < scaled(SOON)
    load.assert_no_failures()
    assert set(load.since(0)) == {"a", "b", "new"}


@pytest.mark.parametrize("fault", [*ANSWERED, "hangs"])
def test_a_change_is_seen_within_two_seconds_of_a_long_faults_end(make, fake, gateway, pair, fault):
    """Also when the backoff is at its longest."""
    faulty = [True]
    fake.script("health/web", hangs_while(lambda: faulty) if fault == "hangs" else ANSWERED[fault])
    time.sleep(scaled(3))
    assert len(gateway.admin.instances("web")) == 2
    new = make.backend("new")
    faulty.clear()
    fake.heal()
    fake.set_backends("web", new)
    eventually(lambda: set(gateway.admin.instances("web")) == {new.address}, within=SOON)


def test_an_index_that_moves_without_a_change_is_asked_at_most_20_times_a_second(fake, gateway):
    revision = gateway.admin.status()["config_revision"]
    index = [5000]

    def moves(fake, connection, query):
        index[0] += 1
        return says(index=index[0])(fake, connection, query)

    began = time.monotonic()
    fake.script("health/web", moves)
    fake.script("kv", moves)
    time.sleep(3)
    for endpoint in ("health/web", "kv"):
        starts = sorted(query.began for query in fake.asked(endpoint, since=began))
        most = max(sum(1 for other in starts if start <= other < start + 1) for start in starts)
        assert most <= 20, f"{endpoint}: {most} queries within a second"
        assert len(starts) >= 5
    assert gateway.admin.status()["config_revision"] == revision
    assert tally(gateway.address, 10).keys() == {"a", "b"}
