"""explain, status, routes and upstreams: what a running gateway says of itself, on the admin port and on the command line."""

import json
from urllib.parse import quote

import pytest

from harness.documents import endpoints
from harness.lictor import environment, run_lictor


@pytest.fixture(scope="module")
def backend(make_once):
    return make_once.backend()


@pytest.fixture(scope="module")
def gateway(make_once, backend):
    return make_once.gateway(
        {
            "routes/users": {
                "hosts": ["api.example.org"], "path": "/user/{id}/*", "methods": ["GET"], "service": "web",
                "filters": [{"rewrite": {"strip_prefix": "/user", "prefix": "/v2"}}],
            },
            "routes/beta": {"hosts": ["api.example.org"], "path": "/user/*", "priority": 1, "headers": {"x-env": "beta"}, "service": "web"},
            "routes/other-host": {"hosts": ["www.example.org"], "path": "/user/*", "service": "web"},
            "routes/old": {"path": "/old", "filters": [{"redirect": {"path": "/new"}}]},
            "upstreams/web": endpoints(backend),
        }
    )  # fmt: skip


@pytest.fixture
def explain(gateway):
    def ask(url, method="GET", *headers):
        query = f"/v1/explain?method={method}&url={quote(url, safe='')}" + "".join(f"&header={quote(one, safe='')}" for one in headers)
        return gateway.admin.json(query)

    return ask


@pytest.fixture
def command(gateway):
    """Runs a command against the gateway."""

    def run(name, *arguments, env=None):
        admin = f"http://{gateway.admin.address[0]}:{gateway.admin.address[1]}"
        return run_lictor(name, "--admin", admin, *arguments, env=env)

    return run


def test_explain_says_what_the_gateway_does(gateway, backend, explain):
    found = explain("http://api.example.org/user/7/photo?size=2")
    assert found["matched"] is True
    assert found["route"] == "users"
    assert found["captures"] == {"id": "7"}
    assert found["filters"] == ["rewrite"]
    assert [(one["service"], one["weight"], len(one["instances"])) for one in found["backends"]] == [("web", 1, 1)]
    assert found["backends"][0]["instances"][0]["address"] == backend.address
    gateway.get("/user/7/photo?size=2", host="api.example.org")
    assert backend.last.target == found["upstream_path"] == "/v2/7/photo?size=2"


def test_explain_says_why_others_were_passed_over(explain):
    found = explain("http://api.example.org/user/7/photo")
    assert found["passed_over"] == [
        {"route": "beta", "why": "header x-env is absent"},
        {"route": "other-host", "why": "host api.example.org is not www.example.org"},
    ]
    found = explain("http://api.example.org/user/7/photo", "GET", "x-env: beta")
    assert found["route"] == "beta"
    assert found["passed_over"][0] == {"route": "users", "why": "priority 0 is below 1 of beta"}


def test_explain_of_what_no_route_takes(explain):
    found = explain("http://api.example.org/user/7/photo", "POST")
    assert (found["matched"], found["route"], found["status"], found["allow"]) == (False, None, 405, ["GET"])
    assert explain("/nowhere")["status"] == 404


def test_explain_of_a_filter_that_answers(explain):
    found = explain("http://www.example.org/old")
    assert (found["answered_by"], found["status"], found["upstream_path"]) == ("redirect", 308, None)


@pytest.mark.parametrize("query", ["", "?method=GET", "?url=example.org/x", "?url=/x&method=get", "?url=/%zz", "?url=/x&header=nocolon", "?url=/x&more=1"])
def test_explain_refuses_what_is_no_request(gateway, query):
    response = gateway.admin.get("/v1/explain" + query)
    assert response.status == 400
    assert response.json()["code"] == "bad_request"


def test_the_command_explains_for_people(command):
    result = command("explain", "GET", "http://api.example.org/user/7/photo", "-H", "x-env: prod")
    assert result.returncode == 0, result
    assert "route      users" in result.stdout
    assert "upstream   /v2/7/photo" in result.stdout
    assert 'header x-env is "prod", not "beta"' in result.stdout


def test_the_command_takes_several_headers_in_any_place(command):
    result = command("explain", "-H", "Host: api.example.org", "-H", "x-env: beta", "GET", "/user/7")
    assert "route      beta" in result.stdout, result


def test_the_command_prints_json_and_tells_by_its_exit_code(command):
    result = command("explain", "--json", "GET", "/nowhere")
    assert result.returncode == 1
    assert json.loads(result.stdout)["matched"] is False
    assert command("explain", "GET", "nowhere").returncode == 2
    assert command("explain", "GET").returncode == 2


def test_the_environment_names_the_admin_port(gateway):
    env = environment(LICTOR_ADMIN=f"{gateway.admin.address[0]}:{gateway.admin.address[1]}")
    assert "state      ready" in run_lictor("status", env=env).stdout
    result = run_lictor("status", env=environment(LICTOR_ADMIN="http://127.0.0.1:1"))
    assert result.returncode == 1
    assert "no answer from the admin port" in result.stderr


def test_tables(command, backend):
    routes = command("routes").stdout.splitlines()
    assert routes[0].split() == ["ROUTE", "HOSTS", "PATHS", "METHODS", "BACKENDS", "FILTERS", "REQUESTS"]
    assert any(line.split()[:3] == ["users", "api.example.org", "/user/{id}/*"] for line in routes)
    upstreams = command("upstreams").stdout
    assert "web  weighted_round_robin, 1 instance, 1 usable" in upstreams
    assert backend.address in upstreams
    assert json.loads(command("routes", "--json").stdout)


def test_a_token_opens_the_admin_port_to_the_commands(make, tmp_path):
    token = tmp_path / "token"
    token.write_text("secret\n")
    gateway = make.gateway({}, wait_ready=False, admin={"address": "127.0.0.1:0", "token_file": str(token)})
    admin = f"http://{gateway.admin.address[0]}:{gateway.admin.address[1]}"
    assert run_lictor("status", "--admin", admin).returncode == 1
    assert run_lictor("status", "--admin", admin, "--token-file", token).returncode == 0


def test_backends_are_shown_as_their_document_has_them(make, fake):
    failover = [{"service": "spare", "tags": ["v1"]}, {"service": "web", "datacenter": "dc2"}]
    documented = {"service": "web", "datacenter": "dc1", "tags": ["v2"], "meta": {"zone": "a"}, "weight": 3, "failover": failover}
    fake.put("routes/all", {"path": "/*", "backends": [documented]})
    gateway = make.gateway_on(fake)
    (route,) = gateway.admin.json("/v1/routes/all")
    assert route["backends"] == [documented]
    (explained,) = gateway.admin.json("/v1/explain?method=GET&url=http://test.example/")["backends"]
    assert {**explained, "instances": []} == {**documented, "instances": []}
