"""A scripted stand-in for Consul's HTTP API, for what a real agent won't do on demand.

It keeps documents and instances and answers blocking queries as Consul does, and remembers every query. A script for
an endpoint ("kv", "health/web", "health/") replaces its answers, those of queries that already wait included:

    fake.script("health/web", fails(500), times=3)
    fake.script("kv", hangs)
    fake.heal()
"""

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from . import wire
from .server import Server
from .wire import Fields, encode_head


@dataclass
class Query:
    endpoint: str
    path: str
    params: dict
    fields: Fields
    connection: int
    began: float = field(default_factory=time.monotonic)
    ended: float = None
    scripted: bool = False

    @property
    def index(self):
        """The index it waits on; 0 without one."""
        return int(self.params.get("index") or 0)


def entry(instance_id, port, service="web", address="127.0.0.1", status="passing", weights=(1, 1), node="node-1", checks=None, tags=(), meta=None):
    """One instance as /v1/health/service has it."""
    if checks is None:
        checks = [{"Node": node, "CheckID": f"service:{instance_id}", "Name": "check", "Status": status, "ServiceID": instance_id, "ServiceName": service}]
    return {
        "Node": {"ID": f"id-of-{node}", "Node": node, "Address": "127.0.0.1", "Datacenter": "dc1", "TaggedAddresses": {}, "Meta": {}},
        "Service": {
            "ID": instance_id, "Service": service, "Tags": list(tags), "Address": address, "Port": port, "Meta": meta or {},
            "Weights": {"Passing": weights[0], "Warning": weights[1]}, "EnableTagOverride": False,
        },
        "Checks": checks,
    }  # fmt: skip


class FakeConsul(Server):
    def __init__(self, prefix="lictor", unix_path=None):
        self.prefix = prefix
        self.documents = {}  # key → (bytes or None, modify index)
        self.instances = {}  # service → list of entries
        self.queries = []
        self._scripts = {}  # endpoint → [action, times left or None]
        self._changed = {}  # endpoint → index of its last change
        self._index = 10
        self._change = threading.Condition()
        self.stopping = False
        super().__init__(unix_path=unix_path)

    @property
    def url(self):
        return f"unix://{self.unix_path}" if self.unix_path else f"http://{self.address}"

    def stop(self):
        self.stopping = True
        with self._change:
            self._change.notify_all()
        super().stop()

    # State

    def put(self, key, document):
        value = document if isinstance(document, bytes) or document is None else json.dumps(document).encode()
        with self._change:
            self._bump("kv")
            self.documents[f"{self.prefix}/{key}"] = (value, self._index)

    def delete(self, key):
        with self._change:
            self._bump("kv")
            del self.documents[f"{self.prefix}/{key}"]

    def set_instances(self, service, *entries):
        with self._change:
            self._bump(f"health/{service}", "checks", "catalog/services", "catalog/nodes")
            self.instances[service] = list(entries)

    def set_backends(self, service, *backends):
        """Passing instances, one for each backend, with its name as ID."""
        self.set_instances(service, *(entry(backend.name, backend.port, service) for backend in backends))

    def rewind(self, index=1):
        """As after a restart with an empty data directory: the index begins again."""
        with self._change:
            self._index = index
            self._changed = {endpoint: index for endpoint in self._changed}
            self._change.notify_all()

    def _bump(self, *endpoints):
        self._index += 1
        for endpoint in endpoints:
            self._changed[endpoint] = self._index
        self._change.notify_all()

    def index_of(self, endpoint):
        return self._changed.get(endpoint, 1)

    # Scripts

    def script(self, endpoint, action, times=None):
        with self._change:
            self._scripts[endpoint] = [action, times]
            self._change.notify_all()

    def heal(self, endpoint=None):
        with self._change:
            if endpoint is None:
                self._scripts.clear()
            else:
                self._scripts.pop(endpoint, None)
            self._change.notify_all()

    def _script_for(self, endpoint):
        return next((name for name in self._scripts if endpoint == name or (name.endswith("/") and endpoint.startswith(name))), None)

    def _take_script(self, endpoint):
        name = self._script_for(endpoint)
        if name is None:
            return None
        script = self._scripts[name]
        if script[1] is not None:
            script[1] -= 1
            if script[1] <= 0:
                del self._scripts[name]
        return script[0]

    # What was asked

    def asked(self, endpoint, since=0.0):
        return [query for query in list(self.queries) if query.endpoint == endpoint and query.began >= since]

    def waiting(self, endpoint):
        """Queries of the endpoint that have no answer yet."""
        return [query for query in self.asked(endpoint) if query.ended is None]

    def most_at_once(self, endpoint):
        """The largest number of queries of the endpoint that overlapped."""
        moments = []
        for query in self.asked(endpoint):
            moments += [(query.began, 1), (query.ended or float("inf"), -1)]
        current = most = 0
        for _, step in sorted(moments):
            current += step
            most = max(most, current)
        return most

    # Serving

    def serve(self, connection):
        while not self.stopping:
            start, fields, _ = wire.read_head(connection.reader)
            method, target, _ = start.decode().split(" ")
            how, length = wire.framing(fields)
            if how == "length":
                connection.reader.exactly(length)
            path, _, query_string = target.partition("?")
            query = Query(self._endpoint(unquote(path)), path, dict(parse_qsl(query_string, keep_blank_values=True)), fields, connection.number)
            self.queries.append(query)
            try:
                if not self._answer(connection, query):
                    return
            finally:
                query.ended = time.monotonic()

    def _endpoint(self, path):
        if path.startswith("/v1/kv/"):
            return "kv"
        if path.startswith("/v1/health/service/"):
            return "health/" + path[len("/v1/health/service/") :]
        if path.startswith("/v1/health/state/"):
            return "checks"
        return path.removeprefix("/v1/")

    def _answer(self, connection, query):
        with self._change:
            self._wait_for_change(connection, query)
            action = self._take_script(query.endpoint)
            index, (status, content) = self.index_of(query.endpoint), self._content(query)
        if action:
            query.scripted = True
            return action(self, connection, query)
        send_answer(connection, content, status=status, index=index)
        return True

    def _wait_for_change(self, connection, query):
        deadline = time.monotonic() + seconds(query.params.get("wait", "5m"))
        while (
            query.index > 0
            and query.index >= self.index_of(query.endpoint)  # an index from the future waits too, as with the real one
            and self._script_for(query.endpoint) is None
            and time.monotonic() < deadline
            and not self.stopping
        ):
            if connection.peer_has_closed():
                raise ConnectionError("the client went away")
            self._change.wait(0.02)

    def _content(self, query):
        if query.endpoint == "kv":
            prefix = unquote(query.path[len("/v1/kv/") :])
            found = [
                {"LockIndex": 0, "Key": key, "Flags": 0, "Value": value and base64.b64encode(value).decode(), "CreateIndex": index, "ModifyIndex": index}
                for key, (value, index) in sorted(self.documents.items())
                if key.startswith(prefix)
            ]
            return (200, found) if found else (404, None)
        if query.endpoint.startswith("health/"):
            return 200, self.instances.get(query.endpoint[len("health/") :], [])
        if query.endpoint == "checks":
            checks = [check for entries in self.instances.values() for one in entries for check in one["Checks"]]
            assert query.params.get("filter") in (None, 'Status != "passing"')
            return 200, [check for check in checks if "filter" not in query.params or check["Status"] != "passing"]
        if query.endpoint == "catalog/services":
            return 200, {service: sorted({tag for one in entries for tag in one["Service"]["Tags"]}) for service, entries in self.instances.items() if entries}
        if query.endpoint == "catalog/nodes":
            assert query.params.get("filter") == 'Node == ""'
            return 200, []
        if query.endpoint == "status/leader":
            return 200, "127.0.0.1:8300"
        if query.endpoint == "agent/self":
            return 200, {"Config": {"Datacenter": "dc1", "NodeName": "node-1", "Version": "1.8.7"}, "Member": {"Addr": "127.0.0.1"}}
        return 404, None


def seconds(duration):
    """Of "90s", "1m30s", "250ms"."""
    total, number = 0.0, ""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    at = 0
    while at < len(duration):
        if duration[at].isdigit() or duration[at] == ".":
            number += duration[at]
            at += 1
            continue
        unit = "ms" if duration.startswith("ms", at) else duration[at]
        total += float(number) * units[unit]
        number, at = "", at + len(unit)
    return total


def send_answer(connection, content, status=200, index=1, known_leader=True, body=None):
    body = body if body is not None else b"" if content is None else json.dumps(content).encode()
    head = [("Content-Type", "application/json"), ("X-Consul-KnownLeader", str(known_leader).lower()), ("X-Consul-LastContact", "0"), ("Content-Length", len(body))]
    if index is not None:
        head.append(("X-Consul-Index", index))
    connection.send(encode_head(f"HTTP/1.1 {status} Answer", head) + body)


# Actions for scripts: they answer in the fake's place and say whether the connection stays open.


def says(entries=None, **how):
    """An answer of the script's own: entries, and index, known_leader, status or body as send_answer takes them."""

    def action(fake, connection, query):
        with fake._change:
            content = fake._content(query)[1] if entries is None else entries
        send_answer(connection, content, **{"index": fake.index_of(query.endpoint), **how})
        return True

    return action


def fails(status, body=b"rpc error: No cluster leader"):
    return says(status=status, body=body, index=None)


def answers_body(body):
    """200, a new index, and this."""

    def action(fake, connection, query):
        send_answer(connection, None, index=fake.index_of(query.endpoint) + 1000, body=body)
        return True

    return action


def truncates(fake, connection, query):
    """Promises a body and closes halfway."""
    connection.send(encode_head("HTTP/1.1 200 OK", [("Content-Type", "application/json"), ("X-Consul-Index", 5000), ("Content-Length", 5000)]) + b'[{"Node": {')
    return False


def speaks_nonsense(fake, connection, query):
    connection.send(b"\x00\x01\x02 this is not HTTP at all\r\n\r\n")
    return False


def hangs_up(fake, connection, query):
    return False


def resets(fake, connection, query):
    connection.reset()
    return False


def hangs(fake, connection, query):
    """No answer until the script is gone or the client is."""
    while not fake.stopping and fake._script_for(query.endpoint) is not None:
        if connection.peer_has_closed():
            return False
        time.sleep(0.01)
    return False


def hangs_for_good(fake, connection, query):
    """No answer until the client is gone; with times=1, that of one query."""
    while not fake.stopping and not connection.peer_has_closed():
        time.sleep(0.01)
    return False
