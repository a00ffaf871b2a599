"""Many requests of mixed kinds, good and bad, at once: nothing breaks, and nothing grows from the half to the end.

LICTOR_SOAK_REQUESTS says how many (20000); scripts/test lets the sanitizer build have 100000. LICTOR_SOAK_SECONDS is how
long everything changes under traffic (10).
"""

import collections
import os
import random
import threading
import time

import pytest

from harness.backend import answer, hangs_up, raw, tunnel_echo
from harness.client import Client, request_bytes
from harness.documents import endpoints
from harness.lictor import is_sanitized
from harness.load import Load
from harness.wait import eventually
from harness.wire import Closed, Truncated

REQUESTS = int(os.environ.get("LICTOR_SOAK_REQUESTS", "20000"))
SECONDS = float(os.environ.get("LICTOR_SOAK_SECONDS", "10"))
THREADS = 4


class Kinds:
    """Each method sends requests of one kind, checks the answers, and returns how many they were."""

    def __init__(self, gateway, seed):
        self.gateway = gateway
        self.random = random.Random(seed)
        self.client = Client(gateway.address)
        self.one_of = self.random.choice
        self.table = [(getattr(self, name), weight) for name, weight in WEIGHTS.items()]

    def run_one(self):
        kinds, weights = zip(*self.table)
        (kind,) = self.random.choices(kinds, weights)
        try:
            return kind.__name__, kind()
        except (OSError, AssertionError) as failure:
            raise AssertionError(f"{kind.__name__}: {failure!r}") from failure

    def ask(self, method, target, status, **how):
        response = self.client.request(method, target, **how)
        assert response.status == status, f"{method} {target}: {response.status} {response.body[:200]!r}"
        if response.closes:
            self.renew()
        return response

    def renew(self):
        self.client.close()
        self.client = Client(self.gateway.address)

    def get(self):
        assert self.ask("GET", "/", 200).body == b"web"
        return 1

    def head(self):
        self.ask("HEAD", "/", 200)
        return 1

    def bodiless(self):
        status = self.one_of([204, 304])
        self.ask("GET", f"/{status}", status)
        return 1

    def post(self):
        body = self.random.randbytes(self.one_of([0, 10, 1000, 50_000, 150_000]))
        assert self.ask("POST", "/echo", 200, body=body).body == body
        return 1

    def post_chunks(self):
        pieces = [self.random.randbytes(self.one_of([1, 100, 20_000])) for _ in range(self.random.randrange(1, 6))]
        assert self.ask("POST", "/echo-chunked", 200, body=pieces, trailers={"Sum": "1"}).body == b"".join(pieces)
        return 1

    def no_route(self):
        self.ask("GET", "/x", 404, host="nobody.example")
        return 1

    def no_method(self):
        self.ask("DELETE", "/", 405, host="reads.example")
        return 1

    def upstream_error(self):
        status = self.one_of([500, 418])
        self.ask("GET", f"/{status}", status)
        return 1

    def upstream_hangs_up(self):
        self.ask("POST", "/hangs-up", 502, body=b"x")
        return 1

    def upstream_nonsense(self):
        self.ask("GET", "/nonsense", 502)
        return 1

    def upstream_breaks_off(self):
        try:
            self.client.get("/short")
        except (Truncated, Closed):
            self.renew()
            return 1
        raise AssertionError("a short answer looked whole")

    def pipeline(self):
        self.client.send(request_bytes("GET", "/") * 5 + request_bytes("POST", "/echo", body=b"abc") + request_bytes("GET", "/"))
        bodies = [self.client.read_response().body for _ in range(7)]
        assert bodies == [b"web"] * 5 + [b"abc", b"web"]
        return 7

    def abort(self):
        """Gone at some moment or other."""
        self.client.send_request("GET", self.one_of(["/", "/slow", "/large"]))
        if self.random.random() < 0.5:
            time.sleep(self.random.random() * 0.005)
        self.client.reset()
        self.client = Client(self.gateway.address)
        return 1

    def abort_upload(self):
        self.client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * self.random.randrange(50_000))
        self.renew()
        return 1

    def malformed(self):
        with Client(self.gateway.address) as client:
            client.send(self.one_of([b"GET / HTTP/1.1\r\nBroken\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"]))
            assert client.read_response().status == 400
        return 1

    def upgrade(self):
        with Client(self.gateway.address) as client:
            client.send_request("GET", "/tunnel", fields={"Connection": "upgrade", "Upgrade": "echo/1"})
            assert client.read_response_head().status == 101
            data = self.random.randbytes(10_000)
            client.send(data)
            assert client.reader.exactly(len(data)) == data
        return 1

    def http_10(self):
        with Client(self.gateway.address) as client:
            client.send(b"GET /echo-chunked HTTP/1.0\r\n\r\n")
            assert client.read_response().status == 200
            client.expect_close()
        return 1

    def large(self):
        assert len(self.ask("GET", "/large", 200).body) == 300_000
        return 1


WEIGHTS = {
    "get": 40, "head": 5, "post": 10, "post_chunks": 8, "no_route": 4, "no_method": 2, "upstream_error": 4, "upstream_hangs_up": 1, "upstream_nonsense": 1,
    "upstream_breaks_off": 1, "pipeline": 4, "abort": 5, "abort_upload": 2, "malformed": 2, "upgrade": 3, "http_10": 3, "large": 2, "bodiless": 3,
}  # fmt: skip


def echo(exchange):
    exchange.reply(body=exchange.request.body)


def echo_chunked(exchange):
    exchange.reply(body=[exchange.request.body], trailers={"Sum": "1"})


@pytest.mark.soak
@pytest.mark.slow
def test_mixed_requests_leave_nothing_behind(make):
    backends = make.backends("web", "web")
    for backend in backends:
        for path, handler in {
            "/echo": echo, "/echo-chunked": echo_chunked, "/204": answer(204), "/304": answer(304), "/500": answer(500), "/418": answer(418), "/slow": answer(delay=0.01),
            "/large": answer(body=b"x" * 300_000), "/hangs-up": hangs_up, "/nonsense": raw(b"nonsense\r\n\r\n", then="close"),
            "/short": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", then="close"), "/tunnel": tunnel_echo("echo/1"),
        }.items():  # fmt: skip
            backend.on(path, handler)
    gateway = make.gateway(
        {
            "routes/all": {"path": "/*", "service": "web", "hosts": ["test.example"]},
            "routes/reads": {"path": "/*", "service": "web", "hosts": ["reads.example"], "methods": ["GET"]},
            "routes/no-host": {"path": "/echo-chunked", "service": "web"},
            "upstreams/web": endpoints(*backends, ejection={"consecutive_failures": 0}),
        },
        workers=2,
    )

    done, failures, kinds = collections.Counter(), [], collections.Counter()
    goal = [0]

    def run(number):
        mix = mixes[number]
        while sum(done.values()) < goal[0] and not failures:
            try:
                kind, count = mix.run_one()
            except Exception as failure:
                failures.append(repr(failure))
                return
            done[number] += count
            kinds[kind] += count

    def settle():
        """Reads what the gateway holds once nothing is under way."""
        eventually(lambda: sum(gateway.admin.instances("web")[backend.address]["active_requests"] for backend in backends), 0, within=10)
        eventually(lambda: gateway.admin.metrics().one("lictor_connections", listener="http"), THREADS, within=10)
        return gateway.rss(), gateway.descriptors()

    def run_until(requests):
        goal[0] = requests
        threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures

    mixes = [Kinds(gateway, seed) for seed in range(THREADS)]
    run_until(REQUESTS // 2)
    half_rss, half_descriptors = settle()
    run_until(REQUESTS)
    rss, descriptors = settle()
    for mix in mixes:
        mix.client.close()

    assert set(kinds) == set(WEIGHTS) or REQUESTS < 5000, f"kinds never sent: {set(WEIGHTS) - set(kinds)}"
    # A sanitizer keeps freed memory for a while; pools may hold a few connections more or less.
    assert rss - half_rss < (64 << 20 if is_sanitized() else 1 << 20), f"memory grew from {half_rss >> 10} to {rss >> 10} KiB"
    assert descriptors - half_descriptors <= 16, f"descriptors grew from {half_descriptors} to {descriptors}"


@pytest.mark.slow
def test_changing_configuration_leaves_nothing_behind(make, fake):
    """Documents and instances come and go under load: old snapshots and pools must go too."""
    backends = make.backends("a", "b", "c")
    fake.put("routes/all", {"path": "/*", "service": "web"})
    fake.set_backends("web", *backends)
    gateway = make.gateway_on(fake)
    rounds, seen = 60, []
    with Load(gateway.address, pace=0.001) as load:
        for part in range(3):
            for number in range(rounds):
                fake.put("routes/all", {"path": "/*", "service": "web", "timeout": f"{number % 7 + 5}s"})
                for n in range(5):
                    fake.put(f"routes/extra-{n}", {"path": f"/extra/{part}/{number}/{n}", "service": f"extra-{number % 10}"})
                fake.set_backends("web", *random.sample(backends, 1 + number % 3))
                time.sleep(0.02)
            load.run_for(20)
            seen.append((gateway.rss(), gateway.descriptors()))
    load.assert_no_failures()
    (rss_1, fds_1), (rss_2, fds_2) = seen[1:]
    assert rss_2 - rss_1 < (64 << 20 if is_sanitized() else 1 << 20), seen
    assert fds_2 - fds_1 <= 16, seen


class Numbered:
    """Requests with a number of their own each, and answers that must carry it."""

    def __init__(self, gateway, seed):
        self.gateway, self.random = gateway, random.Random(seed)
        self.seed, self.number, self.client = seed, 0, None
        self.kinds = [self.get] * 12 + [self.post] * 6 + [self.pipeline] * 2 + [self.gives_up, self.upstream_resets, self.upstream_breaks_off, self.large]

    def next_id(self):
        self.number += 1
        return f"{self.seed}-{self.number}"

    def ask(self, method, target, status=200, **how):
        self.client = self.client or Client(self.gateway.address)
        response = self.client.request(method, target, **how)
        assert response.status == status, f"{method} {target}: {response.status} {response.body[:300]!r}"
        if response.closes:
            self.renew()
        return response

    def renew(self):
        if self.client:
            self.client.close()
        self.client = None

    def run_one(self):
        self.random.choice(self.kinds)()

    def get(self):
        name = self.next_id()
        assert self.ask("GET", f"/id/{name}").body.decode() == f"/id/{name}"

    def large(self):
        name = self.next_id()
        assert self.ask("GET", f"/id/{name}?large").body == f"/id/{name}?large".encode() * 10_000

    def post(self):
        name = self.next_id()
        body = name.encode() * self.random.choice([1, 100, 10_000])
        assert self.ask("POST", f"/id/{name}?echo", body=body).body == body

    def pipeline(self):
        self.renew()
        self.client = Client(self.gateway.address)
        names = [self.next_id() for _ in range(5)]
        self.client.send(b"".join(request_bytes("GET", f"/id/{name}") for name in names))
        for name in names:
            assert self.client.read_response().body.decode() == f"/id/{name}"

    def gives_up(self):
        self.renew()
        client = Client(self.gateway.address)
        client.send(request_bytes("GET", f"/id/{self.next_id()}?large")[: self.random.choice([20, 1000])])
        time.sleep(self.random.random() / 100)
        client.reset()

    def upstream_resets(self):
        self.ask("GET", f"/id/{self.next_id()}?resets", status=502)

    def upstream_breaks_off(self):
        try:
            self.ask("GET", f"/id/{self.next_id()}?breaks-off")
            raise AssertionError("a response that broke off looks whole")
        except Truncated:
            self.renew()


def answers_number(exchange):
    target = exchange.request.target
    if target.endswith("?resets"):
        exchange.reset()
    elif target.endswith("?breaks-off"):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        exchange.reset()
    elif target.endswith("?echo"):
        exchange.reply(body=exchange.request.body)
    else:
        exchange.reply(body=target.encode() * (10_000 if target.endswith("?large") else 1))


@pytest.mark.soak
@pytest.mark.slow
def test_everything_changes_and_no_answer_is_wrong_or_lost(make, fake):
    backends = make.backends("a", "b", "c", "d", "e")
    for backend in backends:
        backend.default = answers_number
    fake.put("upstreams/web", {"ejection": {"consecutive_failures": 0}, "idle_timeout": "100ms"})
    fake.put("routes/all", {"path": "/*", "service": "web"})
    fake.set_backends("web", *backends)
    gateway = make.gateway_on(fake, workers=2)
    started, failures, asked, held = time.monotonic(), [], collections.Counter(), []

    def run(seed):
        numbered = Numbered(gateway, seed)
        while time.monotonic() - started < SECONDS and not failures:
            try:
                numbered.run_one()
                asked[seed] += 1
            except Exception as failure:
                failures.append(repr(failure))
        numbered.renew()

    threads = [threading.Thread(target=run, args=(seed,), daemon=True) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    change = random.Random(7)
    while time.monotonic() - started < SECONDS and not failures:
        fake.put("routes/all", {"path": change.choice(["/*", "/id/*", "/id/{name}"]), "service": "web", "timeout": f"{change.randrange(10, 20)}s"})
        fake.put(f"routes/other-{change.randrange(20)}", {"path": f"/other/{change.random()}", "service": f"other-{change.randrange(5)}"})
        fake.set_backends("web", *change.sample(backends, change.randrange(1, 6)))
        if len(held) < 1 and time.monotonic() - started > SECONDS / 3:
            held.append((gateway.rss(), gateway.descriptors()))
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert sum(asked.values()) > 50 * SECONDS / (10 if is_sanitized() else 1)
    eventually(lambda: gateway.admin.metrics().one("lictor_connections", listener="http"), 0, within=10)
    eventually(lambda: sum(one["active_requests"] for one in gateway.admin.instances("web").values()), 0)
    (rss, descriptors), (rss_end, descriptors_end) = *held, (gateway.rss(), gateway.descriptors())
    assert rss_end - rss < (64 << 20 if is_sanitized() else 2 << 20), f"memory grew from {rss >> 10} to {rss_end >> 10} KiB"
    assert descriptors_end - descriptors <= 16, f"descriptors grew from {descriptors} to {descriptors_end}"
