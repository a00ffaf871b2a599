"""TLS to clients: names, versions, resumption, clients' certificates, and HTTP as ever inside."""

import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness import websocket
from harness.backend import answer, streaming
from harness.certificates import Certificates, Pair, names
from harness.client import Client
from harness.documents import one_upstream
from harness.lictor import is_sanitized, run_lictor
from harness.load import Load
from harness.wait import eventually
from harness.wire import Truncated

MiB = 1 << 20
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("strangers"), "strangers")


@pytest.fixture(scope="module")
def backend(make_once):
    return make_once.backend()


@pytest.fixture(autouse=True)
def fresh(backend):
    yield
    backend.clear()


def listener(*pairs, name="https", **tls):
    return {"name": name, "address": "127.0.0.1:0", "tls": {"certificates": [pair.files for pair in pairs], **tls}}


@pytest.fixture(scope="module")
def gateway(make_once, authority, backend):
    """Several certificates, the first for names that none is for."""
    pairs = [authority.issue("first.example"), authority.issue("a.example", "b.example"), authority.issue("*.wild.example"), authority.issue(cn="only.cn.example"),
             authority.issue("exact.wild.example"), authority.issue("rsa.example", kind="rsa")]  # fmt: skip
    listeners = [listener(*pairs), {"name": "http", "address": "127.0.0.1:0"}]
    return make_once.gateway(one_upstream(backend), listeners=listeners)


def connect(gateway, context, name="first.example", **how):
    return Client(gateway.address, tls=context, server_name=name, **how)


def handshakes(gateway, outcome, listener="https"):
    return gateway.admin.metrics().one("lictor_tls_handshakes_total", listener=listener, outcome=outcome)


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked, shown",
    [
        ("first.example", "first.example"),
        ("a.example", "a.example"),
        ("B.Example", "a.example"),
        ("x.wild.example", "*.wild.example"),
        ("exact.wild.example", "exact.wild.example"),
        ("x.y.wild.example", "first.example"),
        ("wild.example", "first.example"),
        ("unknown.example", "first.example"),
        ("rsa.example", "rsa.example"),
        (None, "first.example"),
    ],
)
def test_the_name_chooses_the_certificate(gateway, authority, asked, shown):
    with connect(gateway, authority.client(check=False), asked) as client:
        assert names(client.sock)[0] == shown
        assert client.get("/").status == 200


def test_a_common_name_counts_when_there_is_no_san(gateway, authority):
    with connect(gateway, authority.client(check=False), "only.cn.example") as client:
        assert "subjectAltName" not in client.sock.getpeercert()


def test_the_client_verifies_it(gateway, authority, strangers):
    connect(gateway, authority.client(), "b.example").close()
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(gateway, strangers.client(), "b.example")


# --- versions, suites and protocols --------------------------------------------------------------


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("name", ["first.example", "rsa.example"])
def test_both_versions_with_both_kinds_of_keys(gateway, authority, version, name):
    with connect(gateway, authority.client(minimum_version=version, maximum_version=version), name) as client:
        assert client.sock.version() == version.name.replace("_", ".")
        assert client.get("/").status == 200


def test_a_listener_may_ask_for_tls_1_3(make, backend, authority):
    gateway = make.gateway(one_upstream(backend), listeners=[listener(authority.issue("first.example"), min_version="1.3")])
    with pytest.raises(ssl.SSLError):
        connect(gateway, authority.client(maximum_version=V12))
    with connect(gateway, authority.client()) as client:
        assert client.sock.version() == "TLSv1.3"
    assert handshakes(gateway, "protocol_error") == 1


def test_alpn_is_answered_and_an_unknown_protocol_refused(gateway, authority):
    context = authority.client()
    context.set_alpn_protocols(["h9", "http/1.1"])
    with connect(gateway, context) as client:
        assert client.sock.selected_alpn_protocol() == "http/1.1"
    context.set_alpn_protocols(["h9"])
    with pytest.raises(ssl.SSLError):
        connect(gateway, context)


MOZILLA_INTERMEDIATE = {
    "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
}  # fmt: skip


@pytest.mark.skipif(not shutil.which("sslscan"), reason="sslscan is not installed")
@pytest.mark.parametrize("name", ["first.example", "rsa.example"])
def test_nothing_is_weaker_than_mozilla_intermediate(gateway, name):
    address = "%s:%d" % gateway.address
    done = subprocess.run(["sslscan", "--no-colour", "--show-sigs", f"--sni-name={name}", address], capture_output=True, text=True, timeout=60)
    report = done.stdout
    states = dict(re.findall(r"^(SSLv2|SSLv3|TLSv1\.\d)\s+(enabled|disabled)$", report, re.M))
    assert states == {"SSLv2": "disabled", "SSLv3": "disabled", "TLSv1.0": "disabled", "TLSv1.1": "disabled", "TLSv1.2": "enabled", "TLSv1.3": "enabled"}
    suites = set(re.findall(r"^(?:Preferred|Accepted)\s+TLSv1\.\d\s+\d+ bits\s+(\S+)", report, re.M))
    assert suites and suites <= MOZILLA_INTERMEDIATE
    groups = set(re.findall(r"^TLSv1\.\d\s+\d+ bits\s+(x\d+|secp\w+|sect\w+|brainpool\w+|ffdhe\w+)", report, re.M))
    assert groups == {"x25519", "secp256r1", "secp384r1"}
    assert not re.search(r"^TLSv1\.\d\s+\S*(sha1|md5|dsa_sha1)", report, re.M | re.I), report
    assert "Session renegotiation not supported" in report
    assert re.search("Compression disabled|does not support compression", report)


# --- resumption ----------------------------------------------------------------------------------


def resumed(gateway, context, session):
    with connect(gateway, context, session=session) as client:
        assert client.get("/").status == 200
        return client.sock.session_reused


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_sessions_are_resumed_by_every_worker_and_after_a_reload(make, backend, authority, version):
    pair = authority.issue("first.example")
    gateway = make.gateway(one_upstream(backend), listeners=[listener(pair)], workers=4)
    context = authority.client(minimum_version=version, maximum_version=version)
    with connect(gateway, context) as client:
        client.get("/")
        session = client.sock.session
    assert all(resumed(gateway, context, session) for _ in range(20))
    pair.replace(authority.issue("first.example", "second.example"))
    gateway.signal(1)
    eventually(lambda: "second.example" in shown(gateway, authority), within=3)
    assert resumed(gateway, context, session)
    assert handshakes(gateway, "resumed") == 21


def shown(gateway, authority, name="first.example"):
    with connect(gateway, authority.client(check=False), name) as client:
        return names(client.sock)


# --- certificates of clients ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(make_once, authority):
    backend = make_once.backend("told")
    backend.default = lambda exchange: exchange.reply(
        200, b"", [("X-Proto", exchange.request.fields["x-forwarded-proto"]), ("X-Subject", exchange.request.fields.get("x-subject", "none"))]
    )
    return backend


@pytest.fixture(scope="module")
def asking(make_once, authority, told):
    route = {"filters": [{"request_headers": {"set": {"X-Subject": "${client_cert.subject}"}}}]}
    pair = authority.issue("first.example")
    return {
        how: make_once.gateway(one_upstream(told, route=route), listeners=[listener(pair, client_ca=authority.ca, client_cert=how)])
        for how in ("request", "require")
    }


@pytest.mark.parametrize("how", ["request", "require"])
@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_a_verified_client_is_named_to_the_service(asking, authority, told, how, version):
    pair = authority.issue("client.example", uris=["spiffe://tests/api"], cn="api")
    context = authority.client(pair, minimum_version=version, maximum_version=version)
    for session in (None, "resumed"):
        with connect(asking[how], context) as client:
            client.get("/")
            session = session and client.sock.session
        with connect(asking[how], context, session=session) as client:
            response = client.get("/", fields=[("X-Forwarded-Client-Cert", "forged"), ("X_Forwarded_Client_Cert", "forged")])
            assert client.sock.session_reused == bool(session)
        der = ssl.PEM_cert_to_DER_cert(Path(pair.cert).read_text())
        assert told.last.fields["x-forwarded-client-cert"] == f'Hash={hashlib.sha256(der).hexdigest()};Subject="CN=api,O=Tests";URI=spiffe://tests/api;DNS=client.example'
        assert "x_forwarded_client_cert" not in told.last.fields
        assert response.fields["x-proto"] == "https"
        assert response.fields["x-subject"] == "CN=api,O=Tests"


def test_without_a_certificate_request_goes_on_and_forgeries_are_dropped(asking, authority, told):
    with connect(asking["request"], authority.client()) as client:
        response = client.get("/", fields=[("X-Forwarded-Client-Cert", "forged"), ("X_Forwarded_Client_Cert", "forged"), ("x-forwarded-client_cert", "forged")])
    assert response.fields["x-subject"] == "none"
    assert not [name for name, _ in told.last.fields.pairs if "client" in name.lower()]


def test_with_request_a_certificate_of_strangers_counts_as_none(asking, authority, strangers):
    context = authority.client(strangers.issue("client.example"))
    with connect(asking["request"], context) as client:
        assert client.get("/").fields["x-subject"] == "none"
        session = client.sock.session
    with connect(asking["request"], context, session=session) as client:
        assert client.sock.session_reused and client.get("/").fields["x-subject"] == "none"
    with connect(asking["request"], authority.client(authority.issue("client.example", days=-1))) as client:
        assert client.get("/").fields["x-subject"] == "none"


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("whose", ["nobody", "strangers", "expired"])
def test_require_fails_the_handshake(asking, authority, strangers, version, whose):
    pair = {"nobody": lambda: None, "strangers": lambda: strangers.issue("c.example"), "expired": lambda: authority.issue("c.example", days=-1)}[whose]()
    before = handshakes(asking["require"], "client_certificate")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with connect(asking["require"], authority.client(pair, minimum_version=version, maximum_version=version)) as client:
            client.get("/")
    assert handshakes(asking["require"], "client_certificate") == before + 1


# --- HTTP inside ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 100, 16_383, 16_384, 16_385, 65_536, 70_000, 3 * MiB])
@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_bodies_pass_both_ways(gateway, backend, authority, version, size):
    backend.default = lambda exchange: exchange.reply(200, exchange.request.body)
    body = os.urandom(size)
    with connect(gateway, authority.client(maximum_version=version)) as client:
        for chunked in (None, [body[at : at + 5000] for at in range(0, size, 5000)]):
            response = client.request("POST", "/", body=chunked if chunked else body)
            assert response.status == 200 and response.body == body


def test_chunked_answers_trailers_and_pipelines(gateway, backend, authority):
    backend.on("/chunks", answer(body=[b"a" * 20_000, b"b", b"c" * 50_000], trailers={"X-Sum": "1"}))
    with connect(gateway, authority.client()) as client:
        client.send(b"GET /chunks HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /chunks HTTP/1.1\r\nHost: a\r\n\r\n")
        first, second, third = (client.read_response() for _ in range(3))
    assert first.body == third.body == b"a" * 20_000 + b"b" + b"c" * 50_000
    assert first.trailers["x-sum"] == "1" and second.body == b"backend"


def test_a_head_byte_by_byte(gateway, authority):
    with connect(gateway, authority.client()) as client:
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n":
            client.send(bytes([byte]))
        assert client.read_response().status == 200


def test_a_websocket_works_under_tls(gateway, backend, authority):
    backend.default = websocket.echo_server
    with connect(gateway, authority.client()) as client:
        websocket.connect(client, "/chat")
        for message in (b"hello", os.urandom(70_000), b"x" * 200_000):
            websocket.send(client, websocket.BINARY, message)
            assert websocket.read_frame(client.reader) == (websocket.BINARY, message)


def test_the_end_of_an_answer_is_announced(gateway, authority):
    with connect(gateway, authority.client()) as client:
        assert client.get("/", fields={"Connection": "close"}).closes
        assert client.sock.recv(1) == b"", "close_notify, or Python would have raised"


def test_an_answer_cut_short_has_no_such_end(gateway, backend, authority):
    def short(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000)
        exchange.reset()

    backend.default = short
    with connect(gateway, authority.client()) as client:
        client.send_request("GET", "/")
        response = client.read_response_head()
        with pytest.raises((Truncated, ssl.SSLError, ConnectionError)):
            list(client.body_pieces(response))


def test_a_slow_reader_stops_the_service(gateway, backend, authority):
    sent = []

    def endless(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (200 * MiB))
        for _ in range(200):
            exchange.send(b"x" * MiB)
            sent.append(1)

    backend.default = endless
    before = gateway.rss()
    with connect(gateway, authority.client(), receive_buffer=8192) as client:
        client.send_request("GET", "/")
        client.read_response_head()
        eventually(lambda: len(sent) > 0)
        count = [0]

        def settled():
            count[0], last = len(sent), count[0]
            return count[0] == last

        eventually(settled, interval=0.3)
        assert len(sent) < 50
        assert gateway.rss() - before < (64 if is_sanitized() else 2) * MiB
        for piece in (client.reader.some(65536) for _ in range(100)):
            assert set(piece) == {ord("x")}


def test_an_upload_that_nobody_reads_stops_the_client(gateway, backend, authority):
    go = threading.Event()

    def waits(exchange):
        go.wait(10)
        size = sum(map(len, exchange.body_pieces()))
        exchange.reply(200, str(size).encode())

    backend.default = streaming(waits)
    size = 64 * MiB
    with connect(gateway, authority.client(), timeout=0.5) as client:
        client.send_request("POST", "/", fields={"Content-Length": size})
        sent = 0
        block = b"x" * 65536
        try:
            while sent < size:
                client.sock.sendall(block)
                sent += len(block)
        except (socket.timeout, ssl.SSLError):
            pass
        assert sent < size, "nothing held it back"
        go.set()


def test_plain_http_is_told_so(gateway):
    with Client(gateway.address) as client:
        response = client.get("/")
        assert response.status == 400 and b"https" in response.body
        client.expect_close()


def test_nonsense_and_silence_end(make, backend, authority):
    gateway = make.gateway(one_upstream(backend), listeners=[listener(authority.issue("first.example"))], limits={"header_timeout": "300ms"})
    with Client(gateway.address) as client:
        client.send(os.urandom(200))
        client.sock.recv(100)  # an alert, perhaps
    with Client(gateway.address) as client:
        client.expect_close(timeout=3)
    eventually(lambda: handshakes(gateway, "aborted"), 1)
    assert handshakes(gateway, "protocol_error") == 1


def test_a_drain_lets_requests_finish(make, backend, authority):
    gateway = make.gateway(one_upstream(backend), listeners=[listener(authority.issue("first.example"))])
    backend.on("/slow", answer(delay=0.4))
    with connect(gateway, authority.client()) as idle, connect(gateway, authority.client()) as busy:
        idle.get("/")
        busy.send_request("GET", "/slow")
        eventually(lambda: backend.started == 2)
        gateway.signal(15)
        assert busy.read_response().status == 200
        assert idle.sock.recv(1) == b"" and busy.sock.recv(1) == b""
    assert gateway.wait() == 0


# --- other certificates --------------------------------------------------------------------------


@pytest.fixture
def reloading(make, backend, authority, tmp_path):
    """A gateway, its pair of files, and a way to see which certificate it shows."""
    first = authority.issue("first.example", "one.example")
    pair = Pair(tmp_path / "tls.pem", tmp_path / "tls.key")
    pair.replace(first)
    gateway = make.gateway(one_upstream(backend), listeners=[listener(pair)])
    return gateway, pair


@pytest.mark.parametrize("how", ["SIGHUP", "by itself"])
def test_new_files_are_shown_and_no_connection_is_dropped(reloading, authority, how):
    gateway, pair = reloading
    with Load(gateway.address, host="first.example", tls=authority.client(), server_name="first.example") as load, connect(gateway, authority.client()) as old:
        load.run_for(20)
        old.get("/")
        pair.replace(authority.issue("first.example", "two.example"))
        if how == "SIGHUP":
            gateway.signal(1)
        eventually(lambda: shown(gateway, authority), ["first.example", "two.example"], within=3)
        assert old.get("/").status == 200
        load.run_for(20)
    load.assert_no_failures()


def test_a_swapped_symlink_is_seen(make, backend, authority, tmp_path):
    """As Kubernetes does it: the files are links into a folder that is a link itself."""

    def put(folder, pair):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tls.crt").write_bytes(Path(pair.cert).read_bytes())
        (tmp_path / folder / "tls.key").write_bytes(Path(pair.key).read_bytes())

    put("..1", authority.issue("first.example", "one.example"))
    (tmp_path / "..data").symlink_to("..1")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    gateway = make.gateway(one_upstream(backend), listeners=[listener(Pair(tmp_path / "tls.crt", tmp_path / "tls.key"))])
    put("..2", authority.issue("first.example", "two.example"))
    (tmp_path / "..data_tmp").symlink_to("..2")
    os.replace(tmp_path / "..data_tmp", tmp_path / "..data")
    eventually(lambda: shown(gateway, authority), ["first.example", "two.example"], within=3)


def errors(gateway):
    return [line for line in gateway.stderr if " error " in line]


@pytest.mark.parametrize("wrong", ["missing", "other key", "nonsense"])
def test_a_bad_pair_is_refused_and_the_old_one_stays(reloading, authority, wrong):
    gateway, pair = reloading
    if wrong == "missing":
        os.unlink(pair.key)
        named = f"{pair.key}: No such file"
    elif wrong == "nonsense":
        Path(pair.cert).write_text("not a certificate")
        named = f"{pair.cert}: has no PEM certificate in it"
    else:
        Path(pair.key).write_bytes(Path(authority.issue("x.example").key).read_bytes())
        named = f"{pair.key}: is not the key of the certificate in {pair.cert}"
    eventually(lambda: len(errors(gateway)), 1, within=3)
    assert f"listener https: {named}" in errors(gateway)[0] and "stays in force" in errors(gateway)[0]
    assert shown(gateway, authority) == ["first.example", "one.example"]
    pair.replace(authority.issue("first.example", "two.example"))
    eventually(lambda: shown(gateway, authority), ["first.example", "two.example"], within=3)
    assert len(errors(gateway)) == 1


def test_sighup_takes_over_the_list_of_certificates(make, backend, authority):
    gateway = make.gateway(one_upstream(backend), listeners=[listener(authority.issue("first.example"))])
    config = gateway.folder / "lictor.json"
    bootstrap = json.loads(config.read_text())
    bootstrap["listeners"][0]["tls"]["certificates"].append(authority.issue("more.example").files)
    bootstrap["listeners"][0]["tls"]["min_version"] = "1.3"
    config.write_text(json.dumps(bootstrap))
    gateway.signal(1)
    eventually(lambda: shown(gateway, authority, "more.example"), ["more.example"], within=3)
    with pytest.raises(ssl.SSLError):
        connect(gateway, authority.client(maximum_version=V12))


def test_the_expiry_is_a_metric(gateway):
    metrics = gateway.admin.metrics()
    for name in ("first.example", "a.example", "*.wild.example", "only.cn.example", "exact.wild.example", "rsa.example"):
        left = metrics.find("lictor_tls_certificate_expiry_seconds", name=name)[0][1] - time.time()
        assert 29 * 86400 < left < 31 * 86400
    assert len(metrics.find("lictor_tls_certificate_expiry_seconds")) == 6


def test_an_expired_certificate_is_a_warning(make, backend, authority):
    gateway = make.gateway(one_upstream(backend), listeners=[listener(authority.issue("old.example", days=-2))])
    assert any("certificate old.example has expired on" in line for line in gateway.stderr)
    context = authority.client(check=False)
    context.verify_mode = ssl.CERT_NONE
    with connect(gateway, context) as client:
        assert client.get("/").status == 200


# --- at start, and check -------------------------------------------------------------------------


def bad_config(tmp_path, authority, case):
    good = authority.issue("first.example")
    if case == "missing":
        pair, text = Pair(tmp_path / "none.pem", good.key), "none.pem: No such file or directory"
    elif case == "other key":
        pair, text = Pair(good.cert, authority.issue("x.example").key), "is not the key of the certificate in"
    elif case == "encrypted":
        (tmp_path / "enc.key").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n")
        pair, text = Pair(good.cert, tmp_path / "enc.key"), "is encrypted"
    else:
        pair, text = Pair(good.key, good.key), "has no PEM certificate in it"
    config = tmp_path / "lictor.json"
    config.write_text(json.dumps({"source": {"directory": str(tmp_path)}, "listeners": [listener(good, pair)], "admin": {"address": "127.0.0.1:0"}}))
    return config, text


@pytest.mark.parametrize("case", ["missing", "other key", "encrypted", "no certificate"])
def test_a_bad_pair_at_start_and_in_check(tmp_path, authority, case):
    config, text = bad_config(tmp_path, authority, case)
    done = run_lictor("run", "--config", config)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("lictor: ")]
    assert len(lines) == 1 and "$.listeners[0].tls.certificates[1]: " in lines[0] and text in lines[0]
    checked = run_lictor("check", "--config", config)
    assert checked.returncode == 1
    assert checked.stdout.startswith(f"{config}: $.listeners[0].tls.certificates[1]: ") and text in checked.stdout
