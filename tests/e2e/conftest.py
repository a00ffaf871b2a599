"""Fixtures. Names: a gateway is a running Lictor, an agent a real Consul, a fake a scripted one, a backend an upstream."""

import itertools

import pytest

from harness import wait
from harness.backend import Backend
from harness.consul import ConsulAgent, Documents
from harness.fake_consul import FakeConsul
from harness.lictor import BINARY, Lictor, is_sanitized

_numbers = itertools.count(1)


def pytest_configure(config):
    if is_sanitized():
        wait.set_time_scale(3)


def pytest_report_header(config):
    return f"lictor: {BINARY}{' (sanitized)' if is_sanitized() else ''}"


class Makers:
    """Starts things for a test (or a module of them) and stops them in reverse."""

    def __init__(self, folders):
        self._folders = folders
        self._made = []

    def gateway(self, documents=None, wait_ready=True, env=None, **bootstrap):
        """A running gateway. documents: from a directory; else say where from with consul= and source=."""
        assert BINARY.exists(), f"there is no {BINARY}: build it, or set LICTOR_BIN"
        gateway = Lictor(self._folders.mktemp("lictor"), bootstrap, documents, env)
        self._made.append(gateway)
        gateway.start()
        return gateway.wait_ready() if wait_ready else gateway

    def gateway_on(self, where, /, prefix=None, wait_ready=True, **bootstrap):
        """A running gateway with its documents in this agent or fake."""
        address = where.url if isinstance(where, FakeConsul) else where.address
        prefix = prefix or where.prefix
        settings = {"address": address, **bootstrap.pop("consul", {})}
        return self.gateway(wait_ready=wait_ready, consul=settings, source={"kv_prefix": prefix, **bootstrap.pop("source", {})}, **bootstrap)

    def backend(self, name="backend", **how):
        return self.keep(Backend(name, **how))

    def backends(self, *names):
        return [self.backend(name) for name in names]

    def fake(self, **how):
        return self.keep(FakeConsul(**how))

    def agent(self, **how):
        agent = self.keep(ConsulAgent(self._folders.mktemp("consul"), **how))
        return agent.start()

    def keep(self, thing):
        self._made.append(thing)
        return thing

    def stop_all(self):
        """Stops everything even when a stop finds something wrong, and then fails with the first wrong."""
        wrongs = []
        for thing in reversed(self._made):
            try:
                thing.stop()
                assert not getattr(thing, "violations", None), f"the gateway sent {thing.name}: {thing.violations}"
            except Exception as wrong:
                wrongs.append(wrong)
        if wrongs:
            raise wrongs[0]


@pytest.fixture
def make(tmp_path_factory):
    """Makes what one test needs."""
    makers = Makers(tmp_path_factory)
    yield makers
    makers.stop_all()


@pytest.fixture(scope="module")
def make_once(tmp_path_factory):
    """Makes what the tests of a module share."""
    makers = Makers(tmp_path_factory)
    yield makers
    makers.stop_all()


@pytest.fixture(scope="session")
def agent(tmp_path_factory):
    """The Consul agent that tests share, each with services and documents of its own names."""
    agent = ConsulAgent(tmp_path_factory.mktemp("agent"))
    yield agent.start()
    agent.stop()


@pytest.fixture
def service():
    """A service name that no other test uses."""
    return f"service-{next(_numbers)}"


@pytest.fixture
def documents(agent):
    """An empty place for documents in the shared agent."""
    documents = Documents(agent, f"test-{next(_numbers)}")
    yield documents
    documents.clear()


@pytest.fixture
def fake(make):
    return make.fake()
