"""The steady path allocates nothing: counted by a library that is preloaded into the gateway."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from harness.backend import answer
from harness.client import Client
from harness.documents import one_upstream
from harness.lictor import environment, is_sanitized

SOURCE = Path(__file__).parent / "harness" / "count_malloc.c"

pytestmark = pytest.mark.skipif(is_sanitized(), reason="a sanitizer has a malloc of its own")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    made = tmp_path_factory.mktemp("malloc") / "count_malloc.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", made, SOURCE], check=True)
    return made


class Counted:
    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(4096))

    def __int__(self):
        return struct.unpack("Q", self.path.read_bytes()[:8])[0]


@pytest.mark.parametrize("log", ["off", "file"])
@pytest.mark.parametrize(
    "method, target, body",
    [("GET", "/", None), ("GET", "/users/7?x=1", None), ("GET", "/limits", None), ("POST", "/", b"x" * 1000), ("HEAD", "/", None), ("GET", "/nowhere", None)],
    ids=["get", "captures and filters", "limits", "post", "head", "no route"],
)
def test_a_request_allocates_nothing(make, library, tmp_path, method, target, body, log):
    backend = make.backend()
    backend.on("/", answer(body=b"y" * 100))
    documents = one_upstream(backend, route={"path": "/"})
    documents["routes/users"] = {
        "path": "/users/{id}", "service": "web", "headers": {"accept": {"present": True}},
        "filters": [{"request_headers": {"set": {"X-Id": "${path.id}-${client_ip}"}}}, {"response_headers": {"add": {"X-Route": "${route}"}}}],
    }  # fmt: skip
    documents["routes/limits"] = {
        "path": "/limits", "service": "web",
        "filters": [{"cors": {"origins": ["https://a.example"]}}, {"rate_limit": {"rate": 1000000}}, {"concurrency_limit": {"requests": 9}}, {"body_limit": "1KiB"}],
    }  # fmt: skip
    counted = Counted(tmp_path / "count")
    access = {"path": "off" if log == "off" else str(tmp_path / "access.log")}
    gateway = make.gateway(documents, workers=1, log={"access": access}, env=environment(LD_PRELOAD=str(library), LICTOR_MALLOC_COUNT=str(counted.path)))
    with Client(gateway.address) as client:

        def ask(times):
            before = int(counted)
            for _ in range(times):
                client.request(method, target, body=body, fields={"Accept": "*/*", "User-Agent": "test"})
            return int(counted) - before

        assert ask(100) > 0, "nothing is counted"
        assert ask(150) == 0  # a log that is far behind may grow
