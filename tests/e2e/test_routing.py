"""Which route takes a request. Every route here has a service of its own name, all of them one backend; an upstream
that sends its own name as Host makes the backend's record tell which route it was."""

import pytest

from harness.documents import endpoints
from harness.wait import eventually

ROUTES = {
    # Whole segments
    "prefix": {"path": "/user/*"},
    "exact": {"path": "/exact"},
    "capture": {"path": "/orders/{id}/items"},
    "two-paths": {"paths": ["/first", "/second/*"]},
    # literal, then capture, then prefix, segment by segment
    "me": {"path": "/p/me"},
    "someone": {"path": "/p/{id}"},
    "anything": {"path": "/p/*"},
    "deep-literal": {"path": "/p/me/settings"},
    "early-literal": {"path": "/q/a/{x}"},
    "late-literal": {"path": "/q/{x}/b"},
    "longer-prefix": {"path": "/r/a/*"},
    "shorter-prefix": {"path": "/r/*"},
    "exact-at-prefix": {"path": "/r/a"},
    # Hosts
    "any-host": {"path": "/h"},
    "exact-host": {"path": "/h", "hosts": ["api.example.org"]},
    "wildcard-host": {"path": "/h", "hosts": ["*.example.org"]},
    "longer-wildcard": {"path": "/h", "hosts": ["*.b.example.org"]},
    "host-before-path": {"path": "/hp/*", "hosts": ["api.example.org"]},
    "path-without-host": {"path": "/hp/x"},
    "several-hosts": {"path": "/sh", "hosts": ["one.example", "two.example"]},
    # Priority
    "wide-but-first": {"path": "/prio/*", "priority": 10},
    "narrow": {"path": "/prio/x"},
    "narrow-with-host": {"path": "/prio/x", "hosts": ["api.example.org"]},
    "last-resort": {"path": "/low/x", "priority": -1},
    "before-last": {"path": "/low/*"},
    # Methods
    "reads": {"path": "/m", "methods": ["GET", "HEAD"]},
    "writes": {"path": "/m", "methods": ["POST"]},
    "only-get": {"path": "/fallback/x", "methods": ["GET"]},
    "fallback": {"path": "/fallback/*"},
    "purge": {"path": "/purge", "methods": ["PURGE"]},
    # Conditions
    "plain": {"path": "/c"},
    "beta": {"path": "/c", "headers": {"x-env": "beta"}},
    "beta-v2": {"path": "/c", "headers": {"x-env": "beta"}, "query": {"v": {"prefix": "2"}}},
    "with-cookie": {"path": "/cookie", "cookies": {"lb": {"regex": "^[0-9]+$"}}},
    "decoded": {"path": "/q", "query": {"q": "a b"}},
    "flag": {"path": "/q", "query": {"debug": {"present": True}}},
    "not-bot": {"path": "/bot", "headers": {"user-agent": {"suffix": "bot", "not": True}}},
    "post-beta": {"path": "/pb", "methods": ["POST"], "headers": {"x-env": "beta"}},
    "by-proto": {"path": "/proto", "headers": {"x-forwarded-proto": "https"}},
    # Regular expressions
    "version": {"path": "~^/v[0-9]+/"},
    "literal-version": {"path": "/v1/known"},
    "named": {"path": "~^/named/(?P<id>[a-z]+)$"},
    # The same to the name
    "tie-a": {"path": "/tie"},
    "tie-b": {"path": "/tie"},
}


@pytest.fixture(scope="module")
def backend(make_once):
    return make_once.backend()


@pytest.fixture(scope="module")
def gateway(make_once, backend):
    documents = {f"routes/{name}": {**route, "service": name} for name, route in ROUTES.items()}
    documents |= {f"upstreams/{name}": endpoints(backend, host=name) for name in ROUTES}
    return make_once.gateway(documents)


@pytest.fixture
def taken_by(gateway, backend):
    """The name of the route that takes a request, None when none does."""

    def ask(target, host="other.example", method="GET", **fields):
        pairs = {name.replace("_", "-"): value for name, value in fields.items()}
        response = gateway.request(method, target, host=host, body=b"" if method == "POST" else None, fields=pairs)
        return backend.last.fields["host"] if response.status == 200 else None

    return ask


@pytest.mark.parametrize(
    "path, route",
    [
        ("/user", "prefix"),
        ("/user/", "prefix"),
        ("/user/1", "prefix"),
        ("/user/1/2", "prefix"),
        ("/users", None),
        ("/User/1", None),
        ("/exact", "exact"),
        ("/exact?with=query", "exact"),
        ("/exact/", None),
        ("/exact/more", None),
        ("/orders/7/items", "capture"),
        ("/orders/a%20b/items", "capture"),
        ("/orders/7", None),
        ("/orders/7/items/1", None),
        ("/orders/7/8/items", None),
        ("/orders//items", None),
        ("/first", "two-paths"),
        ("/second/x", "two-paths"),
        ("/nowhere", None),
    ],
)
def test_paths_match_whole_segments(taken_by, path, route):
    assert taken_by(path) == route


@pytest.mark.parametrize(
    "path, route",
    [
        ("/p/me", "me"),
        ("/p/you", "someone"),
        ("/p/you/more", "anything"),
        ("/p", "anything"),
        ("/p/me/settings", "deep-literal"),
        ("/p/me/other", "anything"),
        ("/q/a/b", "early-literal"),
        ("/q/c/b", "late-literal"),
        ("/r/a/b", "longer-prefix"),
        ("/r/b", "shorter-prefix"),
        ("/r/a", "exact-at-prefix"),
    ],
)
def test_literal_beats_capture_beats_prefix(taken_by, path, route):
    assert taken_by(path) == route


@pytest.mark.parametrize(
    "host, route",
    [
        ("api.example.org", "exact-host"),
        ("api.example.org:8080", "exact-host"),
        ("API.Example.ORG", "exact-host"),
        ("www.example.org", "wildcard-host"),
        ("a.b.example.org", "longer-wildcard"),
        ("example.org", "any-host"),
        ("badexample.org", "any-host"),
        ("example.com", "any-host"),
        ("127.0.0.1", "any-host"),
        ("[::1]:80", "any-host"),
    ],
)
def test_exact_host_beats_longest_wildcard_beats_none(taken_by, host, route):
    assert taken_by("/h", host) == route


def test_host_counts_before_path(taken_by):
    assert taken_by("/hp/x", "api.example.org") == "host-before-path"
    assert taken_by("/hp/x") == "path-without-host"


@pytest.mark.parametrize("host, route", [("one.example", "several-hosts"), ("two.example", "several-hosts"), ("three.example", None)])
def test_a_route_of_several_hosts(taken_by, host, route):
    assert taken_by("/sh", host) == route


def test_priority_counts_before_host_and_path(taken_by):
    assert taken_by("/prio/x") == "wide-but-first"
    assert taken_by("/prio/x", "api.example.org") == "wide-but-first"
    assert taken_by("/low/x") == "before-last"


def test_routes_of_one_path_split_by_method(taken_by):
    assert taken_by("/m") == "reads"
    assert taken_by("/m", method="HEAD") == "reads"
    assert taken_by("/m", method="POST") == "writes"
    assert taken_by("/fallback/x") == "only-get"
    assert taken_by("/fallback/x", method="POST") == "fallback"


def test_a_wrong_method_gets_405_with_allow(gateway):
    response = gateway.request("DELETE", "/m")
    response.problem(405, "method_not_allowed")
    assert set(response.fields.tokens("allow")) == {"GET", "HEAD", "POST"}


def test_the_more_conditions_the_earlier(taken_by):
    assert taken_by("/c") == "plain"
    assert taken_by("/c", x_env="beta") == "beta"
    assert taken_by("/c", X_ENV="beta") == "beta"
    assert taken_by("/c", x_env="BETA") == "plain"
    assert taken_by("/c?v=2.1", x_env="beta") == "beta-v2"
    assert taken_by("/c?v=2.1") == "plain"


def test_any_of_repeated_fields_counts(gateway, backend):
    gateway.get("/c", fields=[("x-env", "prod"), ("x-env", "beta")])
    assert backend.last.fields["host"] == "beta"


def test_cookies_and_queries(taken_by):
    assert taken_by("/cookie", cookie="a=b; lb=42") == "with-cookie"
    assert taken_by("/cookie", cookie="a=b; lb=x42") is None
    assert taken_by("/q?q=a%20b") == "decoded"
    assert taken_by("/q?q=a+b") == "decoded"
    assert taken_by("/q?q=a") is None
    assert taken_by("/q?debug") == "flag"
    assert taken_by("/bot") == "not-bot"
    assert taken_by("/bot", user_agent="curl") == "not-bot"
    assert taken_by("/bot", user_agent="evil bot") is None


def test_a_route_whose_conditions_fail_is_no_405(gateway, taken_by):
    assert gateway.request("GET", "/pb").status == 404
    assert gateway.request("GET", "/pb", fields={"x-env": "beta"}).status == 405
    assert taken_by("/pb", method="POST", x_env="beta") == "post-beta"


def test_conditions_see_no_field_that_a_client_may_not_send(taken_by):
    assert taken_by("/proto", x_forwarded_proto="https") is None


def test_regular_expressions_come_last(taken_by):
    assert taken_by("/v12/x") == "version"
    assert taken_by("/v1/known") == "literal-version"
    assert taken_by("/v1/known/") == "version"
    assert taken_by("/x/v1/") is None
    assert taken_by("/named/abc") == "named"
    assert taken_by("/named/abc/") is None


def test_an_extension_method_can_be_routed(taken_by):
    assert taken_by("/purge", method="PURGE") == "purge"


def test_no_route_is_a_404_problem(gateway, backend):
    before = backend.hits
    response = gateway.get("/nowhere")
    problem = response.problem(404, "no_route")
    assert len(problem["request_id"]) >= 8
    assert backend.hits == before


def test_a_head_without_a_route_gets_404_without_a_body(gateway):
    with gateway.client() as client:
        assert client.request("HEAD", "/nowhere").status == 404
        assert client.get("/exact").status == 200


def test_of_two_equal_routes_the_first_name_wins_and_the_other_is_warned_of(gateway, taken_by):
    assert taken_by("/tie") == "tie-a"
    assert gateway.admin.document("routes/tie-a").get("warning") in (None, "")
    loser = gateway.admin.document("routes/tie-b")
    assert loser["state"] == "active"
    assert "tie-a" in loser["warning"]


def test_the_absolute_form_routes_by_its_own_host(gateway, backend):
    response = gateway.get("http://api.example.org/h", host="api.example.org")
    assert response.status == 200
    assert backend.last.fields["host"] == "exact-host"
    assert backend.last.target == "/h"


def test_a_query_is_no_part_of_the_path(gateway, backend):
    gateway.get("/user/1?next=/../x&e=%2F")
    assert backend.last.target == "/user/1?next=/../x&e=%2F"


# Weighted backends


def test_backends_share_a_route_by_weight(make):
    old, new, off = make.backends("old", "new", "off")
    gateway = make.gateway(
        {
            "routes/split": {
                "path": "/*",
                "backends": [{"service": "old", "weight": 90}, {"service": "new", "weight": 30}, {"service": "off", "weight": 0}],
            },
            "upstreams/old": endpoints(old),
            "upstreams/new": endpoints(new),
            "upstreams/off": endpoints(off),
        }
    )
    with gateway.client() as client:
        answers = [client.get("/").backend for _ in range(1200)]
    assert 900 * 0.92 <= answers.count("old") <= 900 * 1.08  # by chance; beyond four deviations
    assert answers.count("off") == 0
    assert {backend["service"] for backend in gateway.admin.json("/v1/routes")[0]["backends"]} == {"old", "new", "off"}


def test_static_endpoints_share_by_weight_and_zero_is_out(make):
    heavy, light, off = make.backends("heavy", "light", "off")
    gateway = make.gateway({"routes/r": {"path": "/*", "service": "s"}, "upstreams/s": endpoints((heavy, 3), (light, 1), (off, 0))})
    with gateway.client() as client:
        answers = [client.get("/").backend for _ in range(400)]
    assert 285 <= answers.count("heavy") <= 315
    assert answers.count("off") == 0
    assert "heavy heavy heavy heavy" not in " ".join(answers), "3:1 is not smooth"


def test_round_robin_ignores_weights(make):
    heavy, light = make.backends("heavy", "light")
    gateway = make.gateway({"routes/r": {"path": "/*", "service": "s"}, "upstreams/s": endpoints((heavy, 3), (light, 1), balance="round_robin")})
    with gateway.client() as client:
        answers = [client.get("/").backend for _ in range(40)]
    assert answers.count("heavy") == 20


def test_upstream_defaults_of_the_gateway_document_are_inherited(make):
    backend = make.backend()
    gateway = make.gateway(
        {
            "gateway": {"upstream_defaults": {"host": "from-defaults"}},
            "routes/a": {"path": "/a", "service": "a"},
            "routes/b": {"path": "/b", "service": "b"},
            "upstreams/a": endpoints(backend),
            "upstreams/b": endpoints(backend, host="own"),
        }
    )
    gateway.get("/a")
    assert backend.last.fields["host"] == "from-defaults"
    gateway.get("/b")
    assert backend.last.fields["host"] == "own"


def test_a_directory_needs_no_consul(make):
    backend = make.backend()
    gateway = make.gateway({"routes/r": {"path": "/*", "service": "s"}, "upstreams/s": endpoints(backend)})
    status = gateway.admin.status()
    assert status["source"] == "directory"
    assert gateway.admin.state("routes/r") == "active"
    assert gateway.get("/").status == 200


def test_a_bad_document_in_a_directory_harms_no_other(make):
    backend = make.backend()
    gateway = make.gateway({"routes/good": {"path": "/*", "service": "s"}, "upstreams/s": endpoints(backend), "routes/bad": "{"})
    assert gateway.get("/").status == 200
    bad = gateway.admin.document("routes/bad")
    assert bad["state"] == "rejected" and bad["error"]


def test_many_routes_are_all_found(make):
    backend = make.backend()
    documents = {f"routes/r{n}": {"path": f"/many/{n}/*", "service": "s"} for n in range(500)}
    gateway = make.gateway({**documents, "upstreams/s": endpoints(backend)})
    with gateway.client() as client:
        assert all(client.get(f"/many/{n}/x").status == 200 for n in range(0, 500, 7))
        assert client.get("/many/500/x").status == 404
    eventually(lambda: len(gateway.admin.json("/v1/routes")), 500)
