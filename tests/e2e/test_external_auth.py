"""external_auth: another service decides who gets in."""

import threading

import pytest

from harness.backend import Refusing, answer, hangs_up, never
from harness.client import Client
from harness.consul import Documents
from harness.documents import all_to, endpoints
from harness.wait import eventually

MARKED = {"X-User": "ada", "X-Role": "admin", "X-Secret": "no"}


@pytest.fixture(scope="module")
def web(make_once):
    return make_once.backend("web")


@pytest.fixture(scope="module")
def authz(make_once):
    return make_once.backend("authz")


def documents(web, authz, **how):
    auth = {"service": "authz", "path": "/check", "timeout": "2s", "response_headers": ["X-User", "X-Role"], **how}
    return {
        "routes/all": all_to("web", filters=[{"external_auth": auth}]),
        "upstreams/web": endpoints(web),
        "upstreams/authz": endpoints(authz),
    }


@pytest.fixture(scope="module")
def gateway(make_once, web, authz):
    return make_once.gateway(documents(web, authz))


@pytest.fixture(scope="module")
def lenient(make_once, web, authz):
    return make_once.gateway(documents(web, authz, on_error="allow", timeout="300ms"))


@pytest.fixture(autouse=True)
def fresh(web, authz):
    yield
    web.clear()
    authz.clear()


def failures(gateway, reason):
    return gateway.admin.metrics().sum("lictor_auth_failures_total", route="all", reason=reason)


def test_2xx_lets_the_request_through_with_fields_of_the_answer(gateway, web, authz):
    authz.on("/check", answer(204, fields=MARKED))
    response = gateway.request("POST", "/pay?x=1", body=b"secret", fields={"Authorization": "Bearer t", "Cookie": "a=1", "X-Other": "1"})
    assert response.status == 200 and response.body == b"web"
    assert web.last.body == b"secret"
    assert web.last.fields["x-user"] == "ada" and web.last.fields["x-role"] == "admin"
    assert "x-secret" not in web.last.fields
    asked = authz.last
    assert (asked.method, asked.target, asked.body) == ("GET", "/check", b"")
    assert asked.fields["authorization"] == "Bearer t" and asked.fields["cookie"] == "a=1"
    assert asked.fields["x-forwarded-method"] == "POST"
    assert asked.fields["x-forwarded-uri"] == "/pay?x=1"
    assert asked.fields["x-forwarded-host"] == "test.example"
    assert asked.fields["x-forwarded-proto"] == "http"
    assert asked.fields["x-forwarded-for"] == "127.0.0.1"
    assert asked.fields["x-request-id"] == web.last.fields["x-request-id"]
    assert "x-other" not in asked.fields and "content-length" not in asked.fields


def test_the_clients_own_words_never_pass_for_the_services(gateway, web, authz):
    authz.on("/check", answer(200, fields={"X-Role": "user"}))
    assert gateway.get("/", fields=[("X-User", "root"), ("x_user", "root"), ("X_Role", "root"), ("X-Role", "root")]).status == 200
    fields = web.last.fields
    assert "x-user" not in fields and "x_user" not in fields and "x_role" not in fields
    assert fields["x-role"] == "user"


@pytest.mark.parametrize("status", [401, 403, 302, 307])
def test_a_refusal_goes_to_the_client_as_it_is(gateway, web, authz, status):
    before = failures(gateway, "external_denied")
    authz.on("/check", answer(status, b"go away", {"Location": "/login", "WWW-Authenticate": "Basic", "Set-Cookie": "s=1", "Connection": "x-hop", "X-Hop": "1"}))
    response = gateway.get("/")
    assert (response.status, response.body) == (status, b"go away")
    assert response.fields["location"] == "/login" and response.fields["www-authenticate"] == "Basic"
    assert response.fields["set-cookie"] == "s=1" and "x-hop" not in response.fields
    assert web.started == 0
    assert failures(gateway, "external_denied") == before + 1


@pytest.mark.parametrize(
    "handler, status, code",
    [(answer(404), 403, "forbidden"), (answer(500), 503, "no_instance"), (hangs_up, 503, "no_instance")],
    ids=["an odd answer", "a failure", "no answer"],
)
def test_anything_else_denies_or_passes_as_on_error_says(gateway, lenient, web, authz, handler, status, code):
    authz.on("/check", handler)
    gateway.get("/").problem(status, code)
    assert web.started == 0
    assert lenient.get("/", fields={"X-User": "root"}).status == 200
    assert "x-user" not in web.last.fields


def test_a_service_that_hangs_is_given_up_in_time(lenient, web, authz):
    authz.on("/check", never)
    assert lenient.get("/").status == 200
    assert web.hits == 1


def test_a_service_that_is_away_denies(make, web):
    gateway = make.gateway(documents(web, make.keep(Refusing())))
    gateway.get("/").problem(503, "no_instance")
    assert gateway.admin.metrics().sum("lictor_upstream_requests_total", service="authz", outcome="connect_error") == 2  # one more try


def test_a_refusals_body_over_64_kib_is_left_out(gateway, authz):
    authz.on("/check", answer(403, b"x" * 70_000))
    response = gateway.get("/")
    assert (response.status, response.body) == (403, b"")


def test_questions_use_connections_again(gateway, authz):
    with Client(gateway.address) as client:
        for _ in range(20):
            assert client.get("/").status == 200
    assert len({request.connection for request in authz.requests}) == 1


def test_a_question_over_a_connection_just_closed_is_asked_again(gateway, web, authz):
    # The answer promises to keep the connection, and then it goes.
    with Client(gateway.address) as client:
        assert client.get("/").status == 200
        authz.on("/check", lambda exchange: (exchange.reply(), exchange.close()))
        for _ in range(20):
            assert client.get("/").status == 200


def test_a_client_that_goes_takes_its_question_with_it(gateway, web, authz):
    asked, gone = threading.Event(), threading.Event()

    def hold(exchange):
        asked.set()
        try:
            exchange.connection.reader.some()
        except ConnectionError:
            gone.set()
            raise

    authz.on("/check", hold)
    client = Client(gateway.address)
    client.send_request("GET", "/")
    assert asked.wait(5)
    client.close()
    assert gone.wait(1.5)  # its timeout is 2 s
    assert web.started == 0


def test_many_at_once_each_get_their_own_answer(gateway, web, authz):
    def by_name(exchange):
        allowed = exchange.request.fields["authorization"] != "7"
        exchange.reply(200 if allowed else 403, b"", {"X-User": exchange.request.fields["authorization"]})

    authz.on("/check", by_name)
    clients = [Client(gateway.address) for _ in range(30)]
    for number, client in enumerate(clients):
        client.send_request("GET", f"/{number}", fields={"Authorization": str(number % 10)})
    for number, client in enumerate(clients):
        assert client.read_response().status == (403 if number % 10 == 7 else 200)
        client.close()
    assert all(request.fields["x-user"] == str(int(request.path[1:]) % 10) for request in web.requests)


def test_the_service_is_found_in_consul_and_follows_it(make, agent, documents: Documents, service):
    web, first, second = make.backends("web", "first", "second")
    for backend, user in ((first, "first"), (second, "second")):
        backend.default = answer(200, fields={"X-User": user})
    agent.register_backend(service, web)
    agent.register_backend(f"{service}-authz", first)
    auth = {"external_auth": {"service": f"{service}-authz", "response_headers": ["X-User"]}}
    documents.put("routes/all", all_to(service, filters=[auth]))
    gateway = make.gateway_on(agent, documents.prefix)
    assert gateway.get("/").status == 200
    assert web.last.fields["x-user"] == "first"
    agent.register_backend(f"{service}-authz", second)
    agent.deregister(f"{service}-authz-first")

    def user():
        assert gateway.get("/").status == 200
        return web.last.fields["x-user"]

    eventually(user, "second")
    agent.deregister(f"{service}-authz-second")
    eventually(lambda: gateway.get("/").status, 503)
