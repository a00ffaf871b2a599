"""A real Consul agent of the tests' own, on free ports."""

import base64
import json
import os
import random
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

from .lictor import ROOT, environment
from .wait import eventually


def find_consul():
    candidates = [os.environ.get("CONSUL_BIN"), shutil.which("consul"), ROOT / ".deps" / "bin" / "consul"]
    found = next((str(path) for path in candidates if path and os.access(path, os.X_OK)), None)
    assert found, "no consul: scripts/setup provides one, or set CONSUL_BIN"
    return found


def free_ports(count):
    """Below the range that outgoing connections use, so that they are still free after a restart."""
    ports = []
    while len(ports) < count:
        port = random.randint(15000, 30000)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        if port not in ports:
            ports.append(port)
    return ports


class ConsulAgent:
    """keeps_data: has a data directory that survives restart(); else it is a -dev agent, and a restart begins with nothing."""

    token = None  # that its own calls carry

    def __init__(self, folder, keeps_data=False, extra=None):
        self.folder = Path(folder)
        self.keeps_data = keeps_data
        self.extra = extra or {}  # more configuration
        self.process = None
        self.http_port, self._server_port, self._serf_port = free_ports(3)
        self.address = f"http://127.0.0.1:{self.http_port}"
        self.node_address = "127.0.0.1"

    # Life

    def start(self):
        config = {
            "node_name": "node-1",
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "ports": {"http": self.http_port, "server": self._server_port, "serf_lan": self._serf_port, "serf_wan": -1, "dns": -1, "grpc": -1, "https": -1},
            "disable_update_check": True,
            "disable_remote_exec": True,
            "performance": {"raft_multiplier": 1},
            "log_level": "warn",
        }
        config.update(self.extra)
        if self.keeps_data:
            config.update(server=True, bootstrap_expect=1, data_dir=str(self.folder / "data"))
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "agent.json"
        path.write_text(json.dumps(config))
        with open(self.folder / "agent.log", "ab") as log:
            self.process = subprocess.Popen(
                [find_consul(), "agent", *([] if self.keeps_data else ["-dev"]), f"-config-file={path}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment(),
            )  # fmt: skip
        self.wait_ready()
        return self

    def wait_ready(self):
        def writable():
            if self.process.poll() is not None:
                raise RuntimeError(f"the agent ended: {(self.folder / 'agent.log').read_text()[-2000:]}")
            return self.api("GET", "/v1/status/leader") and self.api("PUT", "/v1/kv/ready", b"yes") and self._node_is_registered()

        eventually(writable, within=30)

    def _node_is_registered(self):
        return self.api("GET", "/v1/health/node/node-1")

    def kill(self):
        """SIGKILL."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def restart(self):
        self.kill()
        return self.start()

    stop = kill

    # API

    def api(self, method, path, body=None):
        """The JSON of the answer; None for a 404; an AssertionError for the rest."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"X-Consul-Token": self.token} if self.token else {}
        request = urllib.request.Request(self.address + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from None
        return json.loads(content) if content else True

    def kv_put(self, key, value):
        """A dict is written as JSON, a str or bytes as it is."""
        data = value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else json.dumps(value).encode()
        assert self.api("PUT", f"/v1/kv/{quote(key)}", data) is True

    def kv_get(self, key):
        found = self.api("GET", f"/v1/kv/{quote(key)}")
        return found and base64.b64decode(found[0]["Value"] or b"")

    def kv_delete(self, key, recurse=False):
        assert self.api("DELETE", f"/v1/kv/{quote(key)}{'?recurse' if recurse else ''}") is True

    def register(self, service, instance_id, port, address="127.0.0.1", check="passing", weights=None, tags=(), meta=None):
        """check: its first status, None for an instance without a check."""
        definition = {"Name": service, "ID": instance_id, "Port": port, "Address": address, "Tags": list(tags), "Meta": meta or {}}
        if weights:
            definition["Weights"] = weights
        if check:
            definition["Check"] = {"CheckID": f"check:{instance_id}", "Name": "ttl", "TTL": "1h", "Status": check}
        self.api("PUT", "/v1/agent/service/register", definition)

    def register_backend(self, service, backend, **how):
        """Under the backend's name and address."""
        self.register(service, f"{service}-{backend.name}", backend.port, **how)

    def deregister(self, instance_id):
        self.api("PUT", f"/v1/agent/service/deregister/{instance_id}")

    def set_check(self, instance_id, status):
        self.api("PUT", f"/v1/agent/check/update/check:{instance_id}", {"Status": status})

    def set_maintenance(self, instance_id, enable):
        self.api("PUT", f"/v1/agent/service/maintenance/{instance_id}?enable={str(enable).lower()}")

    def set_node_maintenance(self, enable):
        self.api("PUT", f"/v1/agent/maintenance?enable={str(enable).lower()}")

    def register_node_check(self, status):
        """A check of the node itself, that counts for each of its instances."""
        self.api("PUT", "/v1/agent/check/register", {"ID": "node-check", "Name": "node-check", "TTL": "1h", "Status": status})

    def deregister_node_check(self):
        self.api("PUT", "/v1/agent/check/deregister/node-check")


class Documents:
    """The gateway's documents in an agent's KV, under a prefix of the test's own."""

    def __init__(self, agent, prefix):
        self.agent, self.prefix = agent, prefix

    def put(self, key, document):
        self.agent.kv_put(f"{self.prefix}/{key}", document)

    def delete(self, key):
        self.agent.kv_delete(f"{self.prefix}/{key}")

    def clear(self):
        self.agent.kv_delete(self.prefix + "/", recurse=True)
