"""The harness against itself, without a gateway: what it measures with must be right first."""

import time

import pytest

from harness import websocket
from harness.backend import Deaf, Refusing, answer, dribbles, hangs_up, raw, resets, then_default
from harness.client import Client, fetch
from harness.fake_consul import entry, fails, hangs, says, truncates
from harness.load import Load, tally
from harness.metrics import Metrics
from harness.wait import eventually
from harness.wire import Closed, Truncated, Violation


@pytest.fixture
def backend(make):
    return make.backend("b")


def test_a_backend_answers_and_remembers(backend):
    with Client(backend.endpoint) as client:
        assert client.get("/x?y").backend == "b"
        assert client.request("POST", "/p", body=b"data").status == 200
        assert client.request("POST", "/p", body=[b"da", b"ta"], trailers={"Sum": "1"}).status == 200
    assert backend.paths() == ["/x?y", "/p", "/p"]
    assert backend.last.body == b"data" and backend.last.trailers["sum"] == "1"


@pytest.mark.parametrize("method, status, body", [("HEAD", 200, b""), ("GET", 204, b""), ("GET", 304, b""), ("GET", 200, b"b")])
def test_the_client_knows_which_answers_have_no_body(backend, method, status, body):
    backend.default = answer(status)
    with Client(backend.endpoint) as client:
        for _ in range(2):
            assert client.request(method, "/").body == body


def test_the_client_reads_chunks_trailers_and_interim_answers(backend):
    early = raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")

    def handler(exchange):
        early(exchange)
        exchange.reply(body=[b"one", b"two"], trailers={"Sum": "6"})

    backend.default = handler
    response = fetch(backend.endpoint)
    assert (response.body, response.trailers["sum"], [r.status for r in response.interim]) == (b"onetwo", "6", [103])


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_the_client_refuses_what_is_malformed(backend, data):
    backend.default = raw(data, then="close")
    with pytest.raises(Violation):
        fetch(backend.endpoint)


def test_the_client_tells_a_short_body_from_no_answer(backend):
    backend.default = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive5", then="close")
    with pytest.raises(Truncated):
        fetch(backend.endpoint)
    backend.default = raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive5\r\n", then="close")
    with pytest.raises((Truncated, Closed)):
        fetch(backend.endpoint)
    for silent in (hangs_up, resets):
        backend.default = silent
        with pytest.raises(Closed):
            fetch(backend.endpoint)


def test_a_backend_refuses_what_a_gateway_must_not_send(make):
    backend = make.backend()
    with Client(backend.endpoint) as client:
        client.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
        client.expect_close()
    with pytest.raises(AssertionError, match="Host : x"):
        backend.clear()


def test_a_backend_can_stop_listening_and_come_back(backend):
    with Client(backend.endpoint) as client:
        client.get("/")
        backend.stop_listening()
        assert client.get("/").status == 200
        with pytest.raises(ConnectionRefusedError):
            fetch(backend.endpoint)
        backend.listen()
        assert fetch(backend.endpoint).status == 200


def test_a_backend_can_reset_the_connections_it_has(backend):
    with Client(backend.endpoint) as client:
        client.get("/")
        backend.drop_connections(reset=True)
        with pytest.raises(ConnectionResetError):
            client.sock.recv(1)


def test_handlers_in_turn_and_bit_by_bit(backend):
    backend.default = then_default(answer(503), dribbles(b"a", b"b", interval=0.01))
    assert [fetch(backend.endpoint).status for _ in range(3)] == [503, 200, 200]


def test_addresses_that_do_not_answer():
    refusing, deaf = Refusing(), Deaf()
    with pytest.raises(ConnectionRefusedError):
        Client(("127.0.0.1", refusing.port))
    with pytest.raises(TimeoutError):
        Client(("127.0.0.1", deaf.port), timeout=0.3)
    refusing.stop()
    deaf.stop()


def test_load_notices_failures_and_backends(backend):
    with Load(backend.endpoint) as load:
        load.run_for(50)
        load.wait_for("b")
        backend.default = answer(500)
        eventually(lambda: load.failures, within=1)
    with pytest.raises(AssertionError):
        load.assert_no_failures()
    backend.default = answer()
    assert tally(backend.endpoint, 10, connections=2) == {"b": 10}


def test_load_is_quick_enough(backend):
    with Load(backend.endpoint, pace=0) as load:
        began = time.monotonic()
        load.run_for(1000)
        assert time.monotonic() - began < 2
    load.assert_no_failures()


def test_websocket_against_itself(backend):
    backend.default = websocket.echo_server
    with Client(backend.endpoint) as client:
        websocket.connect(client, "/chat")
        for size in (0, 125, 126, 70000):
            websocket.send(client, websocket.BINARY, b"x" * size)
            assert websocket.read_frame(client.reader) == (websocket.BINARY, b"x" * size)


def test_metrics_are_read_strictly():
    metrics = Metrics('# TYPE a counter\na{x="1",y="\\"q\\""} 2\na{x="2",y=""} 3\n')
    assert metrics.sum("a") == 5 and metrics.one("a", x=1) == 2 and metrics.labels("a") == {"x", "y"}
    for wrong in ('a{x="1",x="2"} 1\n', "a 1\na 1\n", "a{x=1} 1\n", "a 1"):
        with pytest.raises(AssertionError):
            Metrics(wrong)


# The fake, as a client of Consul's sees it


def ask(fake, target, **how):
    return fetch(fake.endpoint, target, **how)


def test_the_fake_holds_a_blocking_query_until_the_change(fake):
    fake.set_instances("web", entry("a", 80))
    first = ask(fake, "/v1/health/service/web")
    index = first.fields["x-consul-index"]
    eventually(lambda: not fake.waiting("health/web"))
    with Client(fake.endpoint) as client:
        client.send_request("GET", f"/v1/health/service/web?index={index}&wait=10s")
        client.expect_silence(0.2)
        fake.set_instances("web", entry("a", 80), entry("b", 80))
        answer = client.read_response()
    assert len(answer.json()) == 2 and int(answer.fields["x-consul-index"]) > int(index)
    assert fake.asked("health/web")[-1].index == int(index)
    assert fake.most_at_once("health/web") == 1


def test_the_fake_ends_a_wait_with_the_unchanged_answer(fake):
    fake.put("routes/a", {})
    index = ask(fake, "/v1/kv/lictor/?recurse").fields["x-consul-index"]
    began = time.monotonic()
    assert ask(fake, f"/v1/kv/lictor/?recurse&index={index}&wait=200ms").fields["x-consul-index"] == index
    assert 0.15 < time.monotonic() - began < 1


def test_the_fake_plays_its_script_to_waiting_queries(fake):
    fake.set_instances("web", entry("a", 80))
    with Client(fake.endpoint) as client:
        client.send_request("GET", "/v1/health/service/web?index=11&wait=10s")
        client.expect_silence(0.1)
        fake.script("health/", fails(500), times=1)
        assert client.read_response().status == 500
    fake.script("health/web", says(known_leader=False), times=1)
    assert ask(fake, "/v1/health/service/web").fields["x-consul-knownleader"] == "false"
    fake.script("health/web", truncates, times=1)
    with pytest.raises(Truncated):
        ask(fake, "/v1/health/service/web")
    fake.script("health/web", hangs)
    with pytest.raises(TimeoutError):
        ask(fake, "/v1/health/service/web", timeout=0.2)
    fake.heal()
    assert ask(fake, "/v1/health/service/web").status == 200


def test_the_fake_knows_when_a_client_gave_up(fake):
    fake.set_instances("web", entry("a", 80))
    client = Client(fake.endpoint)
    client.send_request("GET", "/v1/health/service/web?index=11&wait=10s")
    eventually(lambda: len(fake.waiting("health/web")), 1)
    client.close()
    eventually(lambda: len(fake.waiting("health/web")), 0)


# The agent


def test_the_agent_stores_documents_and_instances(agent, documents, service, backend):
    documents.put("routes/a", {"path": "/a"})
    assert agent.kv_get(f"{documents.prefix}/routes/a") == b'{"path": "/a"}'
    agent.register_backend(service, backend, weights={"Passing": 3, "Warning": 1})
    (found,) = eventually(lambda: agent.api("GET", f"/v1/health/service/{service}?passing"))
    assert found["Service"]["Weights"]["Passing"] == 3 and found["Service"]["Port"] == backend.port
    agent.set_check(f"{service}-b", "critical")
    eventually(lambda: agent.api("GET", f"/v1/health/service/{service}?passing"), [])
    agent.deregister(f"{service}-b")
    eventually(lambda: agent.api("GET", f"/v1/health/service/{service}"), [])


@pytest.mark.parametrize("keeps_data", [False, True])
def test_an_agent_comes_back_on_its_ports_with_or_without_its_data(make, keeps_data):
    agent = make.agent(keeps_data=keeps_data)
    agent.kv_put("x", "1")
    address = agent.address
    agent.restart()
    assert agent.address == address
    assert agent.kv_get("x") == (b"1" if keeps_data else None)
