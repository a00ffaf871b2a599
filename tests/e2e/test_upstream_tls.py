"""TLS to instances: who they must be, who we are to them, and what happens when that goes wrong."""

import ssl
import time

import pytest

from harness.backend import answer
from harness.certificates import Certificates
from harness.documents import all_to, endpoints, one_upstream
from harness.lictor import run_lictor, write_documents
from harness.wait import eventually


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("strangers"), "strangers")


@pytest.fixture
def secured(make, authority):
    """Makes a backend under TLS with a certificate for these names or addresses."""

    def secured(*names, ips=("127.0.0.1",), name="backend", days=30, by=None, require=None, **versions):
        by = by or authority
        pair = by.issue(*names, ips=ips, days=days)
        return make.backend(name, tls=by.server(pair, require=require, **versions))

    return secured


def failed(response, text, error="tls_certificate_error"):
    problem = response.problem(502, "upstream_failed")
    assert text in problem["detail"], problem
    assert f"error={error}" in response.fields["proxy-status"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_requests_and_bodies(make, secured, authority, version):
    backend = secured(maximum_version=version)
    backend.on("/echo", lambda exchange: exchange.reply(200, exchange.request.body))
    backend.on("/chunks", answer(body=[b"a" * 30_000, b"b"], trailers={"X-Sum": "1"}))
    gateway = make.gateway(one_upstream(backend, tls={"ca_file": authority.ca}))
    with gateway.client() as client:
        for size in (0, 100, 70_000, 3_000_000):
            assert client.request("POST", "/echo", body=b"x" * size).body == b"x" * size
        response = client.get("/chunks")
        assert response.body == b"a" * 30_000 + b"b" and response.trailers["x-sum"] == "1"
    assert backend.accepted == 1, "connections are pooled"


def test_both_sides_under_tls(make, secured, authority):
    backend = secured()
    listener = {"name": "https", "address": "127.0.0.1:0", "tls": {"certificates": [authority.issue("edge.example").files]}}
    gateway = make.gateway(one_upstream(backend, tls={"ca_file": authority.ca}), listeners=[listener])
    backend.default = lambda exchange: exchange.reply(200, exchange.request.body)
    with gateway.client(tls=authority.client(), server_name="edge.example") as client:
        for size in (10, 200_000, 2_000_000):
            assert client.request("POST", "/", body=b"y" * size).body == b"y" * size


@pytest.mark.parametrize(
    "case, text",
    [
        ("other name", "for another name"),
        ("strangers", "of an unknown authority"),
        ("expired", "has expired"),
    ],
)
def test_a_wrong_certificate_is_a_connect_error(make, secured, authority, strangers, case, text):
    backend = {
        "other name": lambda: secured("web.internal", ips=()),
        "strangers": lambda: secured(by=strangers),
        "expired": lambda: secured(days=-1),
    }[case]()
    gateway = make.gateway(one_upstream(backend, tls={"ca_file": authority.ca}, panic_percent=0), workers=1)
    failed(gateway.get("/"), text)
    metrics = gateway.admin.metrics()
    assert metrics.sum("lictor_upstream_requests_total", outcome="connect_error") == 2, "tried again, as a refused connect is"
    assert backend.hits == 0
    assert gateway.admin.instance("web", backend.address)["consecutive_failures"] == 2


def test_another_instance_takes_the_request(make, secured, authority, strangers):
    good, bad = secured(name="good"), secured(by=strangers, name="bad")
    gateway = make.gateway(one_upstream(good, bad, tls={"ca_file": authority.ca}))
    assert {gateway.get("/").backend for _ in range(10)} == {"good"}
    assert bad.handshakes_failed > 0


def test_without_verification_anyone_will_do(make, secured, strangers):
    backend = secured("x.example", by=strangers, ips=(), days=-1)
    gateway = make.gateway(one_upstream(backend, tls={"verify": False}))
    assert gateway.get("/").status == 200


def test_the_systems_authorities_don_t_know_ours(make, secured):
    failed(make.gateway(one_upstream(secured(), tls={})).get("/"), "of an unknown authority")


@pytest.mark.parametrize(
    "policy, asked",
    [
        ({"tls": {"server_name": "web.internal"}}, "web.internal"),
        ({"tls": {}, "host": "web.internal"}, "web.internal"),
        ({"tls": {}, "host": "web.internal:443"}, "web.internal"),
        ({"tls": {}}, None),
    ],
    ids=["server_name", "literal host", "with a port", "an address has no SNI"],
)
def test_the_name_that_is_asked_for(make, authority, policy, asked):
    seen = []
    context = authority.server(authority.issue("web.internal", ips=["127.0.0.1"]))
    context.sni_callback = lambda sock, name, ctx: seen.append(name)
    backend = make.backend(tls=context)
    policy = {**policy, "tls": {**policy["tls"], "ca_file": authority.ca}}
    assert make.gateway(one_upstream(backend, **policy)).get("/").status == 200
    assert seen == [asked]


def test_a_name_of_an_endpoint_is_asked_for(make, authority):
    seen = []
    context = authority.server(authority.issue("localhost"))
    context.sni_callback = lambda sock, name, ctx: seen.append(name)
    backend = make.backend(tls=context)
    documents = {"routes/all": all_to("web"), "upstreams/web": {"endpoints": [{"address": f"localhost:{backend.port}"}], "tls": {"ca_file": authority.ca}}}
    gateway = make.gateway(documents)
    eventually(lambda: gateway.get("/").status, 200)
    assert set(seen) == {"localhost"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_our_own_certificate(make, secured, authority, version):
    backend = secured(require=authority, maximum_version=version)
    backend.default = lambda exchange: exchange.reply(200, str(exchange.connection.sock.getpeercert()["subject"]).encode())
    own = authority.issue(cn="the gateway")
    tls = {"ca_file": authority.ca, "cert_file": own.cert, "key_file": own.key}
    gateway = make.gateway(one_upstream(backend, tls=tls), workers=1)
    assert "the gateway" in gateway.get("/").text
    write_documents(gateway.folder / "documents", {"upstreams/web": endpoints(backend, tls={"ca_file": authority.ca})})
    eventually(lambda: gateway.get("/").status, 502)
    gateway.get("/").problem(502, "upstream_failed")


def test_sessions_are_used_again(make, secured, authority):
    backend = secured()
    backend.default = lambda exchange: exchange.reply(200, str(exchange.connection.sock.session_reused).encode(), {"Connection": "close"})
    gateway = make.gateway(one_upstream(backend, tls={"ca_file": authority.ca}), workers=1)
    assert [gateway.get("/").text for _ in range(3)] == ["False", "True", "True"]


def test_a_port_without_tls(make, authority):
    backend = make.backend()
    backend.serve = lambda connection: connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    gateway = make.gateway(one_upstream(backend, tls={"ca_file": authority.ca}))
    failed(gateway.get("/"), "", "tls_protocol_error")


def test_an_instance_that_is_silent_in_the_handshake(make, authority):
    backend = make.backend()
    backend.serve = lambda connection: time.sleep(5)
    gateway = make.gateway(one_upstream(backend, tls={"ca_file": authority.ca}, connect_timeout="200ms"))
    began = time.monotonic()
    gateway.get("/").problem(504, "upstream_timeout")
    assert time.monotonic() - began < 3


def test_a_body_until_close_needs_its_end_announced(make, secured, authority):
    backend = secured()

    def until_close(exchange, orderly):
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000)
        if orderly:
            exchange.connection.sock.unwrap()
        exchange.close()

    backend.on("/orderly", lambda exchange: until_close(exchange, True))
    backend.on("/cut", lambda exchange: until_close(exchange, False))
    gateway = make.gateway(one_upstream(backend, tls={"ca_file": authority.ca}))
    assert gateway.get("/orderly").body == b"x" * 1000
    with pytest.raises((AssertionError, OSError)):
        gateway.get("/cut")


def test_a_changed_policy_uses_no_old_connection(make, secured, authority):
    backend = secured("web.internal")
    backend.default = lambda exchange: exchange.reply(200, str(exchange.connection.number).encode())
    gateway = make.gateway(one_upstream(backend, tls={"ca_file": authority.ca}), workers=1)
    first = gateway.get("/").text
    assert gateway.get("/").text == first
    write_documents(gateway.folder / "documents", {"upstreams/web": endpoints(backend, tls={"ca_file": authority.ca}, connect_timeout="2s")})
    eventually(lambda: gateway.admin.json("/v1/config")["revision"], 2)
    assert gateway.get("/").text == first, "the same TLS: the same connections"
    write_documents(gateway.folder / "documents", {"upstreams/web": endpoints(backend, tls={"ca_file": authority.ca, "server_name": "web.internal"})})
    eventually(lambda: gateway.get("/").text != first)
    eventually(lambda: backend.open_connections, 1)


def test_a_missing_file_is_its_documents_error(make, secured, authority, tmp_path):
    backend = secured()
    gateway = make.gateway(one_upstream(backend, tls={"ca_file": authority.ca}))
    missing = str(tmp_path / "none.pem")
    write_documents(gateway.folder / "documents", {"upstreams/web": endpoints(backend, tls={"ca_file": missing})})
    eventually(lambda: gateway.admin.state("upstreams/web"), "stale")
    assert gateway.admin.document("upstreams/web")["error"] == f"$.tls.ca_file: {missing}: No such file or directory"
    assert gateway.get("/").status == 200
    write_documents(tmp_path / "checked", {"upstreams/web": endpoints(backend, tls={"ca_file": missing})})
    checked = run_lictor("check", tmp_path / "checked")
    assert checked.returncode == 1 and f"$.tls.ca_file: {missing}" in checked.stdout


def test_defaults_and_null(make, secured, authority):
    tls, plain = secured(name="tls"), make.backend("plain")
    documents = {
        "gateway": {"upstream_defaults": {"tls": {"ca_file": authority.ca}}},
        "routes/a": {"path": "/tls", "service": "tls"},
        "routes/b": {"path": "/plain", "service": "plain"},
        "upstreams/tls": endpoints(tls),
        "upstreams/plain": endpoints(plain, tls=None),
    }
    gateway = make.gateway(documents)
    assert gateway.get("/tls").backend == "tls"
    assert gateway.get("/plain").backend == "plain"


def test_sighup_reads_the_files_again(make, secured, authority):
    backend = secured(require=authority)
    backend.default = lambda exchange: exchange.reply(200, str(exchange.connection.sock.getpeercert()["subject"]).encode())
    own = authority.issue(cn="the old one")
    gateway = make.gateway(one_upstream(backend, tls={"ca_file": authority.ca, "cert_file": own.cert, "key_file": own.key}))
    assert "the old one" in gateway.get("/").text
    own.replace(authority.issue(cn="the new one"))
    assert "the old one" in gateway.get("/").text
    gateway.signal(1)
    eventually(lambda: "the new one" in gateway.get("/").text)
