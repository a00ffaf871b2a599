"""A deploy in the ordinary way, over and over: no client may notice. The load is Python's, and wrk's where it is installed."""

import contextlib
import re
import shutil
import subprocess
import time

import pytest

from harness.documents import all_to
from harness.load import Load
from harness.wait import eventually, scaled

ROUNDS = 20


class Wrk:
    """As Load, with as many requests as wrk can do."""

    def __init__(self, address):
        self.url = f"http://{address[0]}:{address[1]}/"

    def __enter__(self):
        command = ["wrk", "-t1", "-c16", "-d120s", "--timeout", "10s", self.url]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return self

    def __exit__(self, *_):
        self._process.send_signal(2)
        self.output = self._process.communicate(timeout=15)[0]

    def assert_no_failures(self):
        assert int(re.search(r"(\d+) requests in", self.output)[1]) > 1000, self.output
        # A signal ends wrk's last requests, which it doesn't count.
        assert not re.search(r"Non-2xx|Socket errors", self.output), self.output


@pytest.fixture(params=["python", "wrk"])
def traffic(request):
    if request.param == "wrk" and not shutil.which("wrk"):
        pytest.skip("no wrk here")
    return Wrk if request.param == "wrk" else lambda address: Load(address, connections=8, pace=0)


@pytest.mark.slow
def test_twenty_rolling_deploys_lose_no_request(make, agent, documents, service, traffic):
    documents.put("routes/all", all_to(service, retries={"attempts": 2, "on": ["connect", "reset"]}))
    running = make.backends("0-a", "0-b", "0-c")
    for backend in running:
        agent.register_backend(service, backend)
    gateway = make.gateway_on(agent, documents.prefix)
    eventually(lambda: len(gateway.admin.instances(service)), 3)
    began = time.monotonic()
    with traffic(gateway.address) as load:
        for number in range(1, ROUNDS + 1):
            for place, letter in enumerate("abc"):
                old, new = running[place], make.backend(f"{number}-{letter}")
                agent.register_backend(service, new)
                eventually(lambda: new.hits > 0, within=5)
                agent.deregister(f"{service}-{old.name}")
                old.stop()
                running[place] = new
        eventually(lambda: set(gateway.admin.instances(service)) == {backend.address for backend in running})
    with contextlib.suppress(AssertionError):
        for backend in running:
            agent.deregister(f"{service}-{backend.name}")
    load.assert_no_failures()
    assert time.monotonic() - began < scaled(60)
