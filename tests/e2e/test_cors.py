"""cors: what a browser's page of another origin may see, by the Fetch standard."""

import pytest

from harness.backend import answer
from harness.documents import endpoints

ORIGIN = "https://shop.example"
POLICY = {"origins": [ORIGIN, "https://*.example.com"], "methods": ["GET", "PUT"], "headers": ["X-A"], "expose": ["X-B"], "credentials": True}


@pytest.fixture(scope="module")
def backend(make_once):
    return make_once.backend()


@pytest.fixture(scope="module")
def gateway(make_once, backend):
    return make_once.gateway(
        {
            "upstreams/web": endpoints(backend),
            "routes/read": {"path": "/x", "methods": ["GET"], "service": "web"},
            "routes/write": {"path": "/x", "methods": ["PUT"], "service": "web", "filters": [{"cors": POLICY}]},
            "routes/all": {"path": "/all", "service": "web", "filters": [{"cors": POLICY}]},
            "routes/open": {"path": "/open", "service": "web", "filters": [{"cors": {"origins": ["*"]}}]},
            "routes/nobody": {"path": "/nobody", "service": "nobody", "filters": [{"cors": POLICY}]},
            "routes/options": {"path": "/options", "methods": ["OPTIONS"], "service": "web"},
        }
    )


@pytest.fixture(autouse=True)
def fresh(backend):
    yield
    backend.clear()


def preflight(gateway, path, method="PUT", origin=ORIGIN, **more):
    return gateway.request("OPTIONS", path, fields={"Origin": origin, "Access-Control-Request-Method": method, **more})


def allowed(response):
    return response.fields.get("access-control-allow-origin")


def test_a_preflight_is_answered_by_the_route_of_the_asked_method_and_goes_no_further(gateway, backend):
    response = preflight(gateway, "/x", **{"Access-Control-Request-Headers": "x-a"})
    assert response.status == 204 and response.body == b""
    assert allowed(response) == ORIGIN
    assert response.fields["access-control-allow-methods"] == "GET, PUT"
    assert response.fields["access-control-allow-headers"] == "X-A"
    assert response.fields["access-control-allow-credentials"] == "true"
    assert response.fields["access-control-max-age"] == "600"
    assert "Origin" in response.fields["vary"]
    assert backend.hits == 0


def test_a_preflight_for_a_route_without_cors_is_the_services(gateway, backend):
    assert preflight(gateway, "/x", "GET").status == 200
    assert backend.last.method == "OPTIONS"


def test_an_options_that_is_no_preflight_is_an_ordinary_request(gateway, backend):
    response = gateway.request("OPTIONS", "/all", fields={"Origin": ORIGIN})
    assert response.status == 200 and allowed(response) == ORIGIN
    assert backend.last.method == "OPTIONS"
    gateway.request("OPTIONS", "/x", fields={"Origin": ORIGIN}).problem(405, "method_not_allowed")


def test_a_preflight_that_no_route_wants_is_405_or_goes_to_a_route_for_options(gateway, backend):
    preflight(gateway, "/x", "PATCH").problem(405, "method_not_allowed")
    assert preflight(gateway, "/options", "PATCH").status == 200
    assert backend.last.method == "OPTIONS"


def test_a_page_may_read_the_answer_and_the_services_own_words_on_it_are_dropped(gateway, backend):
    own = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true", "Access-Control-Expose-Headers": "X-Z", "Vary": "Accept"}
    backend.on("/all", answer(fields=own))
    response = gateway.get("/all", fields={"Origin": "https://a.b.example.com"})
    assert allowed(response) == "https://a.b.example.com"
    assert response.fields["access-control-expose-headers"] == "X-B"
    assert response.fields.all("vary") == ["Accept", "Origin"]
    stranger = gateway.get("/all", fields={"Origin": "https://evil.example"})
    assert stranger.status == 200
    assert not [name for name in stranger.fields.names if name.startswith("access-control")]
    assert stranger.fields.all("vary") == ["Accept", "Origin"]


def test_errors_of_the_gateway_can_be_read_too(gateway):
    response = gateway.get("/nobody", fields={"Origin": ORIGIN})
    response.problem(503, "no_instance")
    assert allowed(response) == ORIGIN


def test_everybody_means_a_star_without_credentials(gateway):
    response = gateway.get("/open", fields={"Origin": "https://any.example"})
    assert allowed(response) == "*"
    assert "access-control-allow-credentials" not in response.fields and "vary" not in response.fields


@pytest.mark.parametrize(
    "origin",
    ["https://evil.net/.example.com", "https://a.example.com.evil.net", "https://evilexample.com", "http://shop.example", "null", "*", "https://.example.com", "x" * 8000],
)
def test_origins_that_only_look_right_get_nothing(gateway, origin):
    assert allowed(gateway.get("/all", fields={"Origin": origin})) is None
    response = preflight(gateway, "/all", origin=origin)
    assert response.status == 204 and allowed(response) is None


def test_two_origins_are_none(gateway):
    assert allowed(gateway.get("/all", fields=[("Origin", ORIGIN), ("Origin", ORIGIN)])) is None


def test_explain_tells_the_same(gateway):
    fields = f"&header=Origin:{ORIGIN}&header=Access-Control-Request-Method:PUT"
    explained = gateway.admin.json(f"/v1/explain?method=OPTIONS&url=/x{fields}")
    assert explained["route"] == "write"
