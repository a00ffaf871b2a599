"""The access log: one JSON object a request, on stdout or in a file."""

import datetime
import json
import os
import signal

import pytest

from harness.backend import answer, never
from harness.documents import one_upstream
from harness.wait import eventually, steadily


@pytest.fixture
def backend(make):
    return make.backend()


@pytest.fixture
def gateway(make, backend):
    documents = one_upstream(backend)
    documents["routes/all"] = {"path": "/here/*", "service": "web"}
    documents["routes/nobody"] = {"path": "/nobody", "service": "nobody"}
    return make.gateway(documents, log={"access": {"path": "-", "format": "json"}}, trusted_proxies=["127.0.0.2"])


def entries(lines):
    return [json.loads(line) for line in list(lines)]


@pytest.fixture
def logged(gateway):
    """The entry of the only request so far."""

    def entry():
        found = eventually(lambda: entries(gateway.stdout), within=2)
        assert len(found) == 1, found
        return found[0]

    return entry


def test_a_forwarded_request(gateway, backend, logged):
    backend.on("/here/there", answer(201, b"made it", delay=0.05))
    gateway.request(
        "POST", "/here/there?a=1&b=2", host="shop.example:8080", body=b"four", fields={"User-Agent": "curl/8", "Referer": "http://shop.example/", "X-Other": "no"}
    )
    entry = logged()
    assert {key: entry[key] for key in ("client_ip", "method", "path", "query", "protocol", "listener", "status", "route", "service")} == {
        "client_ip": "127.0.0.1",
        "method": "POST",
        "path": "/here/there",
        "query": "a=1&b=2",
        "protocol": "HTTP/1.1",
        "listener": "http",
        "status": 201,
        "route": "all",
        "service": "web",
    }
    assert entry["host"].startswith("shop.example")
    assert entry["user_agent"] == "curl/8" and entry["referer"] == "http://shop.example/"
    assert entry["request_id"] == backend.last.fields["x-request-id"]
    assert entry["instance"] == gateway.admin.instance("web", backend.address)["id"]
    assert entry["bytes_in"] >= 4 and entry["bytes_out"] >= 7
    assert 50 <= entry["duration_ms"] < 5000 and 45 <= entry["upstream_ms"] <= entry["duration_ms"]
    moment = datetime.datetime.fromisoformat(entry["time"].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - moment).total_seconds()) < 10


def test_absent_values_are_left_out(gateway, logged):
    gateway.get("/here")
    entry = logged()
    assert not {"query", "user_agent", "referer", "code", "user", "trace_id"} & entry.keys()
    assert None not in entry.values() and "" not in entry.values()


def test_an_answer_of_the_gateways_own(gateway, logged):
    problem = gateway.get("/nowhere").problem(404, "no_route")
    entry = logged()
    assert (entry["status"], entry["code"], entry["request_id"]) == (404, "no_route", problem["request_id"])
    assert not {"route", "service", "instance", "upstream_ms"} & entry.keys()


def test_a_request_without_an_instance_names_its_route(gateway, logged):
    gateway.get("/nobody")
    entry = logged()
    assert (entry["status"], entry["code"], entry["route"], entry["service"]) == (503, "no_instance", "nobody", "nobody")
    assert "instance" not in entry


def test_a_malformed_request_is_logged(gateway, logged):
    with gateway.client() as client:
        client.send(b"GET /a?b=c HTTP/1.1\r\nUser-Agent: odd/1\r\nBroken\r\n\r\n")
        client.read_response()
    entry = logged()
    assert (entry["status"], entry["code"]) == (400, "bad_request")
    # As far as it could be read.
    assert (entry["method"], entry["path"], entry["query"]) == ("GET", "/a", "b=c")
    assert entry["user_agent"] == "odd/1"


def test_a_target_that_is_no_path_is_logged_as_it_came(gateway, logged):
    with gateway.client() as client:
        client.send(b"GET /../..?q HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_response()
    entry = logged()
    assert (entry["status"], entry["path"], entry["query"]) == (400, "/../..", "q")


def test_a_client_that_aborts_is_499(gateway, backend, logged):
    backend.default = never
    with gateway.client() as client:
        client.send_request("GET", "/here")
        eventually(lambda: backend.started)
        client.reset()
    assert logged()["status"] == 499
    eventually(lambda: gateway.admin.metrics().sum("lictor_requests_total", code=499), 1)


def test_the_client_behind_a_trusted_proxy(gateway, logged):
    gateway.get("/here", source="127.0.0.2", fields={"X-Forwarded-For": "203.0.113.1, 198.51.100.7", "X-Request-Id": "given"})
    entry = logged()
    assert (entry["client_ip"], entry["request_id"]) == ("198.51.100.7", "given")


def test_a_client_cannot_forge_a_line(gateway, logged):
    gateway.get('/here/%22%7D%0A"', fields={"User-Agent": '"}\t{"status":200} \xff\\', "Referer": "\xc3\xa9"})
    entry = logged()
    assert '"}\t{"status":200}' in entry["user_agent"]


def test_each_request_is_one_line_in_any_case(gateway):
    with gateway.client() as client:
        for number in range(50):
            client.get("/here" if number % 2 else "/nowhere")
    found = eventually(lambda: entries(gateway.stdout), lambda found: len(found) >= 50, within=2)
    assert len(found) == 50
    assert len({entry["request_id"] for entry in found}) == 50


def test_http_10_is_told_apart(gateway, logged):
    with gateway.client() as client:
        client.send(b"GET /here HTTP/1.0\r\n\r\n")
        client.read_response()
    entry = logged()
    assert entry["protocol"] == "HTTP/1.0" and "host" not in entry


# Files


def lines_of(path):
    return entries(path.read_text().splitlines()) if path.exists() else []


def test_a_file_is_reopened_on_sigusr1(make, backend, tmp_path):
    path, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    gateway = make.gateway(one_upstream(backend), log={"access": {"path": str(path)}})
    gateway.get("/first")
    eventually(lambda: [entry["path"] for entry in lines_of(path)], ["/first"], within=2)
    os.rename(path, rotated)
    gateway.get("/second")
    eventually(lambda: [entry["path"] for entry in lines_of(rotated)], ["/first", "/second"], within=2)
    gateway.signal(signal.SIGUSR1)
    eventually(path.exists, within=2)
    gateway.get("/third")
    eventually(lambda: [entry["path"] for entry in lines_of(path)], ["/third"], within=2)
    assert len(lines_of(rotated)) == 2
    assert gateway.stdout == []


def test_a_file_is_appended_to(make, backend, tmp_path):
    path = tmp_path / "access.log"
    path.write_text('{"path": "/before"}\n')
    gateway = make.gateway(one_upstream(backend), log={"access": {"path": str(path)}})
    gateway.get("/after")
    eventually(lambda: [entry["path"] for entry in lines_of(path)], ["/before", "/after"], within=2)


def test_the_last_lines_are_written_before_the_end(make, backend, tmp_path):
    path = tmp_path / "access.log"
    gateway = make.gateway(one_upstream(backend), log={"access": {"path": str(path)}})
    with gateway.client() as client:
        for _ in range(100):
            client.get("/")
    gateway.stop()
    assert len(lines_of(path)) == 100


def test_off_means_off(make, backend):
    gateway = make.gateway(one_upstream(backend), log={"access": {"path": "off"}})
    gateway.get("/")
    steadily(lambda: gateway.stdout, [], during=0.3)


def test_a_sample_is_a_part(make, backend):
    gateway = make.gateway(one_upstream(backend), log={"access": {"path": "-", "sample": 0.2}})
    with gateway.client() as client:
        for _ in range(500):
            client.get("/")
    gateway.stop()
    assert 50 <= len(gateway.stdout) <= 160


@pytest.mark.parametrize("path", ["/dev/full", "a-pipe-that-nobody-reads"])
def test_a_log_that_cannot_be_written_delays_no_request(make, backend, tmp_path, path):
    if path.startswith("a-pipe"):
        path = tmp_path / path
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    gateway = make.gateway(one_upstream(backend), log={"access": {"path": str(path)}})
    with gateway.client() as client:
        assert all(client.get("/" + "x" * 500).status == 200 for _ in range(1000))
    if path == "/dev/full":
        eventually(lambda: gateway.admin.metrics().one("lictor_access_log_dropped_total") > 0, within=3)
    else:
        os.set_blocking(reader, False)
        while _some(reader):  # so that the log's thread can end
            pass
        os.close(reader)


def _some(reader):
    try:
        return os.read(reader, 1 << 20)
    except BlockingIOError:
        return b""


def test_the_log_in_json(make):
    gateway = make.gateway({"routes/bad": "{"}, log={"format": "json", "access": {"path": "off"}})
    gateway.stop()
    assert gateway.stderr and all(isinstance(json.loads(line), dict) for line in gateway.stderr)
