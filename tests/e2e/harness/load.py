"""Continuous traffic over keep-alive connections that notices every failure."""

import collections
import threading
import time

from .client import Client
from .wait import eventually, scaled

Result = collections.namedtuple("Result", "began ended status backend error")


class Load:
    """Runs while its with-block does. A failure is an answer outside `expected`, or none.

        with Load(gateway.address) as load:
            ...
        load.assert_no_failures()
    """

    def __init__(self, address, target="/", host="test.example", connections=4, pace=0.002, expected=(200,), **how):
        self.address, self.target, self.host = address, target, host
        self.connections, self.pace, self.expected = connections, pace, expected
        self.how = how  # of each Client
        self.results = []
        self._stop = threading.Event()

    def __enter__(self):
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(self.connections)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=15)

    def _run(self):
        client = None
        while not self._stop.is_set():
            began = time.monotonic()
            status = backend = error = None
            try:
                client = client or Client(self.address, **self.how)
                response = client.get(self.target, host=self.host)
                status, backend = response.status, response.backend
            except (OSError, AssertionError) as failure:
                error = repr(failure)
            if client and (error or response.closes):
                client.close()
                client = None
            self.results.append(Result(began, time.monotonic(), status, backend, error))
            time.sleep(self.pace)
        if client:
            client.close()

    # Reading the results

    @property
    def failures(self):
        return [result for result in list(self.results) if result.error or result.status not in self.expected]

    def assert_no_failures(self):
        assert self.results, "the load sent nothing"
        assert not self.failures, f"{len(self.failures)} of {len(self.results)} failed, first {self.failures[:3]}"

    def since(self, moment):
        """Answers to requests that began after the moment, by backend."""
        return collections.Counter(result.backend for result in list(self.results) if result.began >= moment)

    def run_for(self, requests):
        """Waits until that many more requests were answered."""
        goal = len(self.results) + requests
        eventually(lambda: len(self.results) >= goal, within=30)

    def wait_for(self, backend, within=1.0):
        """The backend answers within the time."""
        moment = time.monotonic()
        eventually(lambda: self.since(moment)[backend] > 0, within=within)

    def assert_gone(self, backend, within=1.0, watch=0.5):
        """From `within` seconds on the backend gets nothing, while the others do."""
        time.sleep(scaled(within))
        moment = time.monotonic()
        time.sleep(watch)
        answers = self.since(moment)
        assert sum(answers.values()) > 0, "no traffic to watch"
        assert answers[backend] == 0, f"{backend} still gets traffic: {answers}"


def tally(address, requests, target="/", host="test.example", connections=1):
    """Sends the requests over that many connections in turn and counts the answers by backend."""
    clients = [Client(address) for _ in range(connections)]
    try:
        return collections.Counter(clients[n % connections].get(target, host=host).backend for n in range(requests))
    finally:
        for client in clients:
            client.close()
