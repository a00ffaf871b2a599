"""Limits of an upstream: what is beyond them waits, or is answered at once, and every place is given back."""

import collections
import threading
import time

import pytest

from harness.backend import answer, never
from harness.client import Closed, Truncated
from harness.documents import all_to, endpoints, one_upstream
from harness.fake_consul import entry
from harness.load import Load
from harness.wait import eventually, scaled, steadily

NEVER_EJECT = {"consecutive_failures": 0}


class Gate:
    """A handler whose requests stay inside until it is opened; knows how many there were at once."""

    def __init__(self, delay=0.0):
        self.delay = delay  # without open(): each leaves by itself after it
        self.inside = self.most = 0
        self._opened = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, exchange):
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        if self.delay:
            time.sleep(self.delay)
        else:
            while not self._opened.is_set() and not exchange.connection.peer_has_closed():
                time.sleep(0.005)
        with self._lock:
            self.inside -= 1
        exchange.reply(200, exchange.backend.name.encode())

    def open(self):
        self._opened.set()


class Together:
    """Requests at the same time, each on a connection of its own and in the order of their start."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.answers = []  # as they come: (target, response or error, seconds)
        self._threads = []

    def send(self, target="/", **how):
        thread = threading.Thread(target=self._send, args=(target, how), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _send(self, target, how):
        began = time.monotonic()
        try:
            response = self.gateway.get(target, **how)
        except (OSError, AssertionError) as error:
            response = error
        self.answers.append((target, response, time.monotonic() - began))

    def wait(self):
        for thread in self._threads:
            thread.join(timeout=scaled(20))
            assert not thread.is_alive(), "a request without an answer"
        return [getattr(response, "status", response) for _, response, _ in self.answers]


def held(backend, path="/held"):
    gate = Gate()
    backend.on(path, gate)
    return gate


def start(make, *backends, workers=1, route=None, **policy):
    return make.gateway(one_upstream(*backends, route=route, ejection=NEVER_EJECT, **policy), workers=workers)


def pending_is(gateway, inside, waiting, backend):
    """There is no gauge of those who wait: they are the ones the gateway has and the backend has not."""
    eventually(lambda: gateway.admin.metrics().sum("lictor_connections") == inside + waiting and backend.started == inside)


# Connections


def test_requests_beyond_max_connections_wait_for_one(make):
    backend = make.backend()
    gate = backend.default = Gate(delay=0.02)
    gateway = start(make, backend, workers=2, max_connections=4, connect_timeout="10s")
    together = Together(gateway)
    for _ in range(50):
        together.send()
    assert together.wait() == [200] * 50
    assert gate.most <= 4
    assert backend.open_connections <= 4


def test_a_steady_crowd_on_one_worker_does_not_starve_another(make):
    backend = make.backend()
    gate = backend.default = Gate(delay=0.01)
    gateway = start(make, backend, workers=2, max_connections=4, connect_timeout="2s")
    with Load(gateway.address, connections=50, pace=0) as load:
        time.sleep(scaled(5))
    load.assert_no_failures()
    assert gate.most <= 4


def test_waiting_costs_nothing(make):
    """Workers whose requests wait for the same places don't keep each other awake."""
    backend = make.backend()
    gate = held(backend)
    gateway = start(make, backend, workers=2, max_connections=1, connect_timeout="20s")
    together = Together(gateway)
    together.send("/held")
    eventually(lambda: gate.inside, 1)
    for _ in range(30):
        together.send("/waits")
    pending_is(gateway, 1, 30, backend)
    cpu = gateway.cpu_seconds()
    time.sleep(1)
    assert gateway.cpu_seconds() - cpu < 0.2
    gate.open()
    assert together.wait() == [200] * 31


def test_several_instances_share_max_connections(make):
    pair = make.backends("a", "b")
    for backend in pair:
        backend.default = Gate(delay=0.01)
    gateway = start(make, *pair, workers=2, max_connections=3, connect_timeout="5s")
    together = Together(gateway)
    for _ in range(40):
        together.send()
    assert together.wait() == [200] * 40
    assert pair[0].default.most + pair[1].default.most <= 2 * 3
    assert all(backend.hits >= 5 for backend in pair)


def test_who_waits_is_served_in_order(make):
    backend = make.backend()
    gate = held(backend)
    gateway = start(make, backend, max_connections=1, connect_timeout="10s")
    together = Together(gateway)
    together.send("/held")
    eventually(lambda: gate.inside, 1)
    for number in range(8):
        together.send(f"/{number}")
        pending_is(gateway, 1, number + 1, backend)
    gate.open()
    assert together.wait() == [200] * 9
    assert backend.paths() == ["/held", *(f"/{number}" for number in range(8))]


@pytest.mark.parametrize("workers", [1, 2])
def test_beyond_max_pending_is_overloaded_at_once(make, workers):
    backend = make.backend()
    gate = held(backend)
    gateway = start(make, backend, workers=workers, max_connections=1, max_pending=2, connect_timeout="10s")
    together = Together(gateway)
    together.send("/held")
    eventually(lambda: gate.inside, 1)
    for number in range(2):
        together.send("/waits")
        pending_is(gateway, 1, number + 1, backend)
    for _ in range(6):
        began = time.monotonic()
        gateway.get("/").problem(503, "overloaded")
        assert time.monotonic() - began < scaled(0.5)
    gate.open()
    assert together.wait() == [200] * 3
    assert gateway.get("/").status == 200


def test_no_max_pending_is_no_limit(make):
    backend = make.backend()
    gate = held(backend)
    gateway = start(make, backend, max_connections=1, max_pending=0, connect_timeout="10s")
    together = Together(gateway)
    together.send("/held")
    eventually(lambda: gate.inside, 1)
    for _ in range(20):
        together.send("/")
    pending_is(gateway, 1, 20, backend)
    gate.open()
    assert together.wait() == [200] * 21


def test_who_waits_longer_than_connect_timeout_is_overloaded(make):
    backend = make.backend()
    gate = held(backend)
    gateway = start(make, backend, max_connections=1, connect_timeout="300ms")
    together = Together(gateway)
    together.send("/held")
    eventually(lambda: gate.inside, 1)
    began = time.monotonic()
    gateway.get("/").problem(503, "overloaded")
    assert 0.3 <= time.monotonic() - began < scaled(1)
    gate.open()
    assert together.wait() == [200], "the one that had its connection has no deadline of that kind"


def test_the_wait_does_not_shorten_the_request_after_it(make):
    backend = make.backend()
    backend.default = Gate(delay=0.4)
    gateway = start(make, backend, max_connections=1, connect_timeout="600ms")
    together = Together(gateway)
    together.send()
    together.send()
    assert together.wait() == [200] * 2


def test_a_body_waits_too(make):
    backend = make.backend()
    gate = held(backend)
    gateway = start(make, backend, max_connections=1, connect_timeout="10s")
    together = Together(gateway)
    together.send("/held")
    eventually(lambda: gate.inside, 1)
    together.send("/small", method="POST", body=b"small")
    together.send("/large", method="POST", body=b"x" * 1_000_000)
    together.send("/chunks", method="POST", body=[b"a" * 1000] * 50)
    pending_is(gateway, 1, 3, backend)
    gate.open()
    assert together.wait() == [200] * 4
    assert {request.target: len(request.body) for request in backend.requests} == {"/held": 0, "/small": 5, "/large": 1_000_000, "/chunks": 50_000}


def test_a_keep_alive_connection_goes_on_after_a_wait(make):
    backend = make.backend()
    gate = held(backend)
    gateway = start(make, backend, max_connections=1, connect_timeout="10s")
    together = Together(gateway)
    together.send("/held")
    eventually(lambda: gate.inside, 1)
    with gateway.client() as client:
        client.send_request("GET", "/waits")
        client.send_request("GET", "/pipelined")
        client.expect_silence(0.2)
        gate.open()
        assert client.read_response().status == client.read_response().status == 200
        assert client.get("/next").status == 200
    assert together.wait() == [200]


def test_an_instance_that_goes_gives_its_place_to_who_waits(make, fake):
    old, new = make.backends("old", "new")
    gate = held(old)
    fake.put("routes/all", all_to("web"))
    fake.put("upstreams/web", {"max_connections": 1, "connect_timeout": "10s"})
    fake.set_backends("web", old)
    gateway = make.gateway_on(fake, workers=1)
    together = Together(gateway)
    together.send("/held")
    eventually(lambda: gate.inside, 1)
    together.send("/waits")
    pending_is(gateway, 1, 1, old)
    fake.set_backends("web", new)
    eventually(lambda: list(gateway.admin.instances("web")), [new.address])
    gate.open()
    began = time.monotonic()
    assert together.wait() == [200] * 2
    assert time.monotonic() - began < scaled(1)
    assert new.paths() == ["/waits"]


def test_a_raised_limit_lets_go_on_who_waits(make, fake):
    backend = make.backend()
    gate = held(backend)
    fake.put("routes/all", all_to("web"))
    fake.put("upstreams/web", {"max_connections": 1, "connect_timeout": "10s"})
    fake.set_backends("web", backend)
    gateway = make.gateway_on(fake, workers=2)
    together = Together(gateway)
    together.send("/held")
    eventually(lambda: gate.inside, 1)
    for _ in range(3):
        together.send("/waits")
    fake.put("upstreams/web", {"max_connections": 0})
    eventually(lambda: backend.paths().count("/waits"), 3)
    gate.open()
    assert together.wait() == [200] * 4


def test_documents_may_change_while_requests_wait(make, fake):
    """Those go on with the routes they began with, whose subsets are gone."""
    backend = make.backend()
    gate = held(backend)
    subsets = [{"service": "web", "tags": [f"t{n}"]} for n in range(5)]
    fake.put("routes/all", {"path": "/*", "backends": subsets})
    fake.put("upstreams/web", {"max_connections": 1, "connect_timeout": "10s"})
    fake.set_instances("web", entry("web", backend.port, tags=[f"t{n}" for n in range(5)]))
    gateway = make.gateway_on(fake, workers=1)
    together = Together(gateway)
    together.send("/held")
    eventually(lambda: gate.inside, 1)
    for number in range(10):
        together.send("/waits")
    pending_is(gateway, 1, 10, backend)
    fake.put("routes/all", all_to("web"))
    fake.put("routes/new", {"path": "/new", "service": "nobody"})
    eventually(lambda: gateway.admin.state("routes/new"), "active")
    gate.open()
    assert together.wait() == [200] * 11


# Requests


@pytest.mark.parametrize("workers", [1, 2])
def test_beyond_max_requests_is_overloaded_at_once(make, workers):
    backend = make.backend()
    gate = held(backend)
    gateway = start(make, backend, workers=workers, max_requests=3)
    together = Together(gateway)
    for number in range(3):
        together.send("/held")
        eventually(lambda: gate.inside, number + 1)
    for _ in range(6):
        began = time.monotonic()
        gateway.get("/").problem(503, "overloaded")
        assert time.monotonic() - began < scaled(0.5)
    gate.open()
    assert together.wait() == [200] * 3
    together = Together(gateway)
    for _ in range(3):
        together.send("/")
    assert together.wait() == [200] * 3


def test_limits_of_one_upstream_leave_another_alone(make):
    full, free = make.backends("full", "free")
    gate = held(full)
    documents = {
        "routes/full": {"path": "/held", "service": "full"},
        "routes/free": {"path": "/free", "service": "free"},
        "upstreams/full": endpoints(full, max_connections=1, max_requests=1),
        "upstreams/free": endpoints(free, max_connections=1, max_pending=100, max_requests=100, connect_timeout="5s"),
    }
    gateway = make.gateway(documents, workers=2)
    together = Together(gateway)
    together.send("/held")
    eventually(lambda: gate.inside, 1)
    gateway.get("/held").problem(503, "overloaded")
    others = Together(gateway)
    for _ in range(20):
        others.send("/free")
    assert others.wait() == [200] * 20
    gate.open()
    assert together.wait() == [200]


# Places are given back


def give_up(client, how):
    client.reset() if how == "reset" else client.close()


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("limit", ["max_connections", "max_requests"])
def test_a_client_that_gives_up_gives_its_place_back(make, how, limit):
    backend = make.backend()
    backend.on("/never", never)
    gateway = start(make, backend, connect_timeout="5s", **{limit: 1})
    for number in range(5):
        client = gateway.client()
        client.send_request("GET", "/never")
        eventually(lambda: backend.paths().count("/never"), number + 1)
        give_up(client, how)
        eventually(lambda: gateway.get("/").status, 200, within=2)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_gives_up_waiting_gives_its_place_back(make, how):
    backend = make.backend()
    gate = held(backend)
    gateway = start(make, backend, max_connections=1, max_pending=1, connect_timeout="10s")
    together = Together(gateway)
    together.send("/held")
    eventually(lambda: gate.inside, 1)
    for number in range(5):
        client = gateway.client()
        client.send_request("GET", f"/{number}")
        pending_is(gateway, 1, 1, backend)
        give_up(client, how)
        eventually(lambda: gateway.admin.metrics().sum("lictor_connections"), 1, within=2)
    together.send("/waits")
    pending_is(gateway, 1, 1, backend)
    gate.open()
    assert together.wait() == [200] * 2
    assert backend.paths() == ["/held", "/waits"], "nothing is sent for who is gone"


def test_a_client_that_waited_can_still_give_up(make):
    backend = make.backend()
    gate = held(backend)
    backend.on("/never", never)
    gateway = start(make, backend, max_connections=1, connect_timeout="10s")
    together = Together(gateway)
    together.send("/held")
    eventually(lambda: gate.inside, 1)
    client = gateway.client()
    client.send_request("GET", "/never")
    pending_is(gateway, 1, 1, backend)
    gate.open()
    assert together.wait() == [200]
    eventually(lambda: backend.paths()[-1], "/never")
    client.close()
    eventually(lambda: gateway.get("/").status, 200, within=2)


@pytest.mark.parametrize("failing", ["resets", "hangs_up", "times_out", "refuses_body", "is_cut"])
def test_a_request_that_fails_gives_its_place_back(make, failing):
    backend = make.backend()
    handlers = {
        "resets": lambda exchange: exchange.reset(),
        "hangs_up": lambda exchange: exchange.close(),
        "times_out": never,
        "refuses_body": answer(413, b""),
        "is_cut": lambda exchange: (exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), exchange.close()),
    }
    backend.on("/fails", handlers[failing])
    gateway = start(make, backend, workers=1, max_connections=1, max_requests=1, route={"timeout": "200ms"})
    for _ in range(5):
        try:
            gateway.get("/fails", method="POST", body=b"data")
        except (Truncated, Closed):
            assert failing == "is_cut"
        eventually(lambda: gateway.get("/").status, 200, within=2)


def test_places_are_given_back_under_a_mix_of_everything(make):
    backend = make.backend()
    backend.default = Gate(delay=0.005)
    backend.on("/resets", lambda exchange: exchange.reset())
    backend.on("/503", answer(503))
    backend.on("/never", never)
    gateway = start(
        make, backend, workers=2, max_connections=3, max_requests=30, max_pending=10, connect_timeout="100ms",
        route={"timeout": "300ms", "retries": {"attempts": 2, "on": ["connect", "reset", "503"]}},
    )  # fmt: skip
    together = Together(gateway)
    for _ in range(25):
        for target in ("/", "/resets", "/503", "/never"):
            together.send(target)
        client = gateway.client()
        client.send_request("GET", "/never")
        client.reset()
    together.wait()
    assert set(collections.Counter(getattr(response, "status", 0) for _, response, _ in together.answers)) <= {200, 502, 503, 504}
    eventually(lambda: gateway.admin.metrics().sum("lictor_upstream_connections", state="busy"), 0)
    again = Together(gateway)
    for _ in range(3):
        again.send()
    assert again.wait() == [200] * 3
    steadily(lambda: gateway.get("/").status, 200, during=0.3)


# The retry budget


@pytest.mark.parametrize("failing", ["503", "reset"])
def test_retries_stay_within_their_budget_when_everything_fails(make, failing):
    backend = make.backend()

    def fails(exchange):
        time.sleep(0.05)
        if failing == "503":
            exchange.reply(503, b"no")
        else:
            exchange.reset()

    backend.default = fails
    route = {"retries": {"attempts": 3, "on": [failing]}}
    gateway = start(make, backend, workers=1, route=route, retry_budget_percent=20)
    with Load(gateway.address, connections=50, pace=0, expected=(502, 503)) as load:
        load.run_for(600)
    load.assert_no_failures()
    requests = len(load.results)
    # A share of 20 % of the tries are retries: a fourth of the requests.
    assert backend.started <= 1.25 * requests + 5, f"{backend.started} tries for {requests} requests"
    assert backend.started >= 1.05 * requests, "the budget was not used"


def test_a_budget_of_0_means_no_retries(make):
    backend = make.backend()
    backend.default = answer(503)
    route = {"retries": {"attempts": 3, "on": ["503"]}}
    gateway = start(make, backend, route=route, retry_budget_percent=0)
    assert gateway.get("/").status == 503
    assert backend.hits == 1


def test_a_few_retries_are_always_allowed(make):
    backend = make.backend()
    backend.default = answer(503)
    route = {"retries": {"attempts": 3, "on": ["503"]}}
    gateway = start(make, backend, route=route, retry_budget_percent=1)
    assert gateway.get("/").status == 503
    assert backend.hits == 4
