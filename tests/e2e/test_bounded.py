"""What many bad clients at once, or instances, may cost."""

import resource
import socket
import statistics
import threading
import time

import pytest

from harness.backend import streaming
from harness.client import Client
from harness.documents import one_upstream
from harness.lictor import is_sanitized
from harness.wait import eventually, scaled
from harness.wire import Closed

MiB = 1 << 20
CROWD = 200
CROWD_MEMORY = (64 if not is_sanitized() else 400) * MiB  # the sanitizer's own memory comes on top


class Crowd:
    """Clients that stay until the with-block ends."""

    def __init__(self, address, count, **how):
        self.clients = [Client(address, **how) for _ in range(count)]

    def __enter__(self):
        return self.clients

    def __exit__(self, *_):
        for client in self.clients:
            client.close()


@pytest.mark.slow
def test_many_slow_readers_hold_little_memory(make):
    size = 100 * MiB
    block = b"x" * MiB

    def endless(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(block)):
            exchange.send(block)

    backend = make.backend()
    backend.on("/large", endless)
    gateway = make.gateway(one_upstream(backend, route={"timeout": "60s"}))
    gateway.get("/")
    before = gateway.rss()
    with Crowd(gateway.address, CROWD, receive_buffer=8192) as clients:
        for client in clients:
            client.send_request("GET", "/large")
        for client in clients:
            assert client.read_response_head().status == 200
        for _ in range(3):  # a KiB a second each
            began = time.monotonic()
            for client in clients:
                assert client.sock.recv(1024)
            time.sleep(max(0, 1 - (time.monotonic() - began)))
        assert gateway.rss() - before < CROWD_MEMORY
        assert gateway.get("/").status == 200


@pytest.mark.slow
def test_many_uploads_to_a_slow_instance_hold_little_memory(make):
    size = 100 * MiB

    over = threading.Event()

    @streaming
    def reads_slowly(exchange):
        while not over.wait(1):
            exchange.connection.sock.recv(1024)
        exchange.reset()

    backend = make.backend(receive_buffer=8192)
    backend.on("/slow", reads_slowly)
    gateway = make.gateway(one_upstream(backend, route={"timeout": "60s"}))
    gateway.get("/")
    before = gateway.rss()
    with Crowd(gateway.address, CROWD) as clients:
        for client in clients:
            client.send(b"PUT /slow HTTP/1.1\r\nHost: test.example\r\nContent-Length: %d\r\n\r\n" % size)
            client.sock.setblocking(False)
        block, sent, quiet = b"x" * 65536, 0, 0
        while quiet < 5:  # until nobody can send any more
            more = 0
            for client in clients:
                try:
                    more += client.sock.send(block)
                except BlockingIOError:
                    pass
            quiet = 0 if more else quiet + 1
            sent += more
            if not more:
                time.sleep(0.1)
        assert sent > CROWD * 65536
        assert gateway.rss() - before < CROWD_MEMORY
        assert gateway.get("/").status == 200
    over.set()


def test_short_of_descriptors_new_connections_wait_and_others_are_served(make):
    backend = make.backend()
    gateway = make.gateway(one_upstream(backend), workers=1, limits={"connections": 100})
    limits = resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE)
    with gateway.client() as early:
        assert early.get("/").status == 200
        few = gateway.descriptors() + 10
        resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (few, limits[1]))
        with Crowd(gateway.address, 40) as crowd:
            eventually(lambda: any("too many open files" in line for line in gateway.stderr))
            cpu = gateway.cpu_seconds()
            for _ in range(20):
                assert early.get("/").status == 200
                time.sleep(0.02)
            assert gateway.cpu_seconds() - cpu < scaled(0.3), "it tries again and again"
            # Who got in is served, who waits is served when somebody leaves.
            for client in crowd:
                assert client.get("/").status == 200
                client.close()
    assert sum("too many open files" in line for line in gateway.stderr) == 1
    assert gateway.get("/").status == 200


@pytest.mark.slow
def test_thousands_of_unfinished_heads_are_cut_and_hurt_nobody(make):
    backend = make.backend()
    gateway = make.gateway(one_upstream(backend), limits={"header_timeout": "2s", "connections": 5000})

    def p99(seconds):
        times, until = [], time.monotonic() + seconds
        with gateway.client() as client:
            while time.monotonic() < until:
                began = time.monotonic()
                assert client.get("/").status == 200
                times.append(time.monotonic() - began)
                time.sleep(0.001)
        return statistics.quantiles(times, n=100)[98]

    calm = p99(1)
    with Crowd(gateway.address, 2000) as crowd:
        began = time.monotonic()
        for client in crowd:
            client.send(b"GET / HTTP/1.1\r\nHost: test.ex")
        under_attack = p99(1)
        for client in crowd:
            client.sock.settimeout(10)
            try:
                assert client.read_response().status == 408
            except Closed:
                pass
        assert time.monotonic() - began < scaled(4)
    # A scheduler's hiccup is no cost of the heads.
    assert under_attack < 2 * calm + scaled(0.02)
    eventually(lambda: gateway.admin.metrics().one("lictor_connections", listener="http"), 0)


def test_a_crowd_that_connects_at_once_is_let_in(make):
    backend = make.backend()
    gateway = make.gateway(one_upstream(backend), workers=2)
    crowd = []
    for _ in range(500):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(gateway.address)
        crowd.append(sock)
    eventually(lambda: gateway.admin.metrics().one("lictor_connections", listener="http"), 500)
    for sock in crowd:
        sock.close()
