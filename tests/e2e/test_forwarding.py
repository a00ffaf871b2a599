"""What the gateway changes in a request and a response on their way, and what it must leave alone."""

import re

import pytest

from harness.backend import answer, raw
from harness.documents import endpoints, one_upstream

ADDED = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-request-id", "via"]


@pytest.fixture(scope="module")
def backend(make_once):
    return make_once.backend()


@pytest.fixture(scope="module")
def gateway(make_once, backend):
    return make_once.gateway(one_upstream(backend))


@pytest.fixture(scope="module")
def trusting(make_once, backend):
    """A gateway that believes what 127.0.0.2 says of its clients."""
    return make_once.gateway(one_upstream(backend), trusted_proxies=["127.0.0.2", "10.0.0.0/8"])


@pytest.fixture(autouse=True)
def fresh(backend):
    yield
    backend.clear()


@pytest.fixture
def sent(gateway, backend):
    """The request as the upstream got it."""

    def send(fields=(), target="/", through=gateway, source=None, **how):
        assert through.get(target, fields=fields, source=source, **how).status == 200
        return backend.last

    return send


# Fields that the gateway adds


def test_the_upstream_learns_who_asked(gateway, sent):
    fields = sent(host="Api.Example.com:8443").fields
    assert fields["x-forwarded-for"] == "127.0.0.1"
    assert fields["x-forwarded-proto"] == "http"
    assert fields["x-forwarded-host"] == "Api.Example.com:8443"
    assert fields["x-forwarded-port"] == str(gateway.address[1])
    assert fields["via"] == "1.1 lictor"


def test_every_request_has_an_id_of_its_own(sent):
    ids = {sent().fields["x-request-id"] for _ in range(20)}
    assert len(ids) == 20
    assert all(re.fullmatch(r"[0-9A-Za-z._-]{16,64}", one) for one in ids)


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Request-Id"])
def test_an_untrusted_peer_is_not_believed(sent, name):
    assert "forged" not in sent({name: "forged"}).fields[name]


@pytest.mark.parametrize("name", ["X-Real-Ip", "Forwarded", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-Anything"])
def test_other_forwarding_fields_of_an_untrusted_peer_are_dropped(sent, name):
    assert name not in sent({name: "forged"}).fields


@pytest.mark.parametrize("name", ["X_Forwarded_For", "X-Forwarded_For", "x_forwarded_proto", "X_Forwarded_Host", "X_Request_Id", "X_Real_Ip"])
def test_underscore_twins_are_dropped(sent, name):
    assert name not in sent({name: "forged"}).fields


def test_an_underscore_of_no_concern_stays(sent):
    assert sent({"my_field": "kept"}).fields["my_field"] == "kept"


def test_a_trusted_proxy_is_believed(sent, trusting):
    told = [
        ("X-Forwarded-For", "198.51.100.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "shop.example"),
        ("X-Forwarded-Port", "443"),
        ("X-Request-Id", "id-from-the-proxy"),
    ]
    fields = sent(told, through=trusting, source="127.0.0.2").fields
    assert fields["x-forwarded-for"] == "198.51.100.7, 127.0.0.2"
    assert fields["x-forwarded-proto"] == "https"
    assert fields["x-forwarded-host"] == "shop.example"
    assert fields["x-forwarded-port"] == "443"
    assert fields["x-request-id"] == "id-from-the-proxy"


def test_trust_is_by_address(sent, trusting):
    fields = sent({"X-Forwarded-For": "198.51.100.7", "X-Request-Id": "forged"}, through=trusting, source="127.0.0.3").fields
    assert fields["x-forwarded-for"] == "127.0.0.3"
    assert fields["x-request-id"] != "forged"


def test_a_trusted_proxy_without_an_id_gets_one(sent, trusting):
    assert sent(through=trusting, source="127.0.0.2").fields["x-request-id"]


def test_forwarded_for_in_two_lines_is_one_list(sent, trusting):
    fields = sent([("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-For", "10.0.0.9")], through=trusting, source="127.0.0.2").fields
    assert fields.tokens("x-forwarded-for") == ["198.51.100.7", "10.0.0.9", "127.0.0.2"]


def test_via_is_appended_to(sent):
    assert sent({"Via": "1.0 fred"}).fields.tokens("via") == ["1.0 fred", "1.1 lictor"]


# Fields that stay here


@pytest.mark.parametrize("name, value", [("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("TE", "gzip"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")])
def test_hop_by_hop_fields_of_a_request_stay_here(sent, name, value):
    assert name not in sent({name: value}).fields


def test_fields_that_connection_names_stay_here(sent):
    fields = sent([("Connection", "X-Private, keep-alive"), ("Connection", "x-other"), ("X-Private", "1"), ("X-Other", "2"), ("X-Public", "3")]).fields
    assert "x-private" not in fields and "x-other" not in fields
    assert fields["x-public"] == "3"


@pytest.mark.parametrize("name", ADDED)
def test_connection_cannot_strip_what_the_gateway_adds(sent, name):
    assert name in sent({"Connection": name}).fields


def test_connection_cannot_strip_host_or_framing(gateway, backend):
    response = gateway.request("POST", "/", body=b"whole", fields={"Connection": "Host, Content-Length"})
    if response.status == 200:
        assert backend.last.body == b"whole" and backend.last.fields["host"]
    else:
        assert response.status == 400 and backend.hits == 0


def test_te_trailers_may_pass_and_is_not_doubled(sent):
    assert sent({"TE": "trailers, gzip;q=0.5", "Connection": "TE"}).fields.all("te") in ([], ["trailers"])


def test_end_to_end_fields_pass_in_order_and_unchanged(sent):
    pairs = [("Accept", "*/*"), ("Cookie", "a=1"), ("X-Many", "one"), ("X-Many", "two"), ("Authorization", "Basic eDp5"), ("X-Empty", ""), ("X-Latin", "caf\xe9")]
    request = sent(pairs)
    assert [(name.lower(), value) for name, value in request.fields.pairs if (name, value) in pairs] == [(name.lower(), value) for name, value in pairs]


def test_hop_by_hop_fields_of_a_response_stay_here(gateway, backend):
    backend.default = raw(
        b"HTTP/1.1 200 OK\r\nConnection: X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nX-Public: 2\r\nContent-Length: 0\r\n\r\n"
    )
    fields = gateway.get("/").fields
    assert not {"x-private", "keep-alive", "proxy-connection"} & fields.names
    assert fields["x-public"] == "2"


def test_a_response_passes_unchanged(gateway, backend):
    pairs = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Server", "backend/1"), ("Date", "Tue, 01 Jul 2025 00:00:00 GMT"), ("ETag", '"x"')]
    backend.default = answer(418, b"short and stout", pairs)
    response = gateway.get("/")
    assert (response.status, response.body) == (418, b"short and stout")
    assert [pair for pair in response.fields.pairs if pair in pairs] == pairs
    assert len(response.fields.all("date")) == 1


@pytest.mark.parametrize("status", [200, 201, 206, 301, 302, 400, 401, 404, 418, 429, 451, 500, 503, 599])
def test_any_status_of_the_upstream_passes(gateway, backend, status):
    backend.default = answer(status, b"its own words")
    response = gateway.get("/")
    assert (response.status, response.body) == (status, b"its own words")


# Host


@pytest.fixture(scope="module")
def hosts(make_once, backend):
    documents = {f"routes/{name}": {"path": f"/{name}", "service": name} for name in ("preserve", "instance", "literal")}
    documents |= {
        "upstreams/preserve": endpoints(backend),
        "upstreams/instance": endpoints(backend, host="instance"),
        "upstreams/literal": endpoints(backend, host="users.internal"),
    }
    return make_once.gateway(documents)


@pytest.mark.parametrize("policy", ["preserve", "instance", "literal"])
def test_host_policies(hosts, backend, policy):
    expected = {"preserve": "shop.example:8080", "instance": backend.address, "literal": "users.internal"}
    hosts.get(f"/{policy}", host="shop.example:8080")
    assert backend.last.fields["host"] == expected[policy]
    assert backend.last.fields["x-forwarded-host"] == "shop.example:8080"


# Paths


@pytest.mark.parametrize(
    "target, expected",
    [
        ("/a/b", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/.", "/"),
        ("/a/b/../../c", "/c"),
        ("//a///b//", "/a/b/"),
        ("/a//../b", "/b"),
        ("/%61%2D%7e", "/a-~"),
        ("/a/%2e/b", "/a/b"),
        ("/a/%2E%2e/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a/...", "/a/..."),
        ("/a/.hidden", "/a/.hidden"),
        ("/a%20b", "/a%20b"),
        ("/a%25b", "/a%25b"),
        ("/a;p=1/b", "/a;p=1/b"),
        ("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,="),
        ("/a?x=/../y&z=%2f//", "/a?x=/../y&z=%2f//"),
        ("/a?", "/a?"),
    ],
)
def test_paths_are_normalised(sent, target, expected):
    assert sent(target=target).target == expected


def test_encoded_bytes_stay_encoded(sent):
    assert sent(target="/caf%c3%a9").target.lower() == "/caf%c3%a9"


@pytest.mark.parametrize(
    "target",
    ["/..", "/../a", "/a/../../b", "/%2e%2e/a", "/a/..%2f..%2f", "/a%2Fb", "/a%2fb", "/a%5Cb", "/a\\b", "/a%00b", "/a%zz", "/a%2", "/a%", "no-slash", ""],
)
def test_paths_that_lie_get_400(gateway, backend, target):
    gateway.get(target).problem(400, "bad_request")
    assert backend.hits == 0


# Responses of the gateway's own


def test_a_local_reply_knows_its_request_id(make, backend):
    gateway = make.gateway({"routes/gone": {"path": "/gone", "service": "unheard-of"}}, trusted_proxies=["127.0.0.1"])
    response = gateway.get("/gone", fields={"X-Request-Id": "known-to-the-client"})
    assert response.problem(503, "no_instance")["request_id"] == "known-to-the-client"
