"""rate_limit with a "cluster": one limit for a fleet of gateways, counted in Redis."""

import shutil
import threading
import time

import pytest

from harness.client import Client
from harness.documents import one_upstream
from harness.redis import Redis
from harness.wait import eventually, steadily

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server")


@pytest.fixture
def redis(make, tmp_path):
    return make.keep(Redis(tmp_path)).start()


@pytest.fixture
def backend(make):
    return make.backend()


def limited(backend, redis, rate, per="1h", cluster=None, **more):
    # A machine that is busy with other tests is not one whose Redis is slow.
    limit = {"rate": rate, "per": per, "cluster": {"redis": redis.url, "timeout": "5s", **(cluster or {})}, **more}
    return one_upstream(backend, route={"filters": [{"rate_limit": limit}]})


def alone(gateway):
    return gateway.admin.metrics().one("lictor_rate_limit_redis_errors_total")


def told(gateway, text):
    return sum(text in line for line in list(gateway.stderr))


def test_two_gateways_share_one_limit_to_the_request(make, backend, redis):
    gateways = [make.gateway(limited(backend, redis, 10), workers=2) for _ in range(2)]
    responses = [gateways[n % 2].get("/") for n in range(14)]
    assert [response.status for response in responses] == [200] * 10 + [429] * 4
    assert [int(response.fields["ratelimit-remaining"]) for response in responses] == [*range(9, -1, -1), 0, 0, 0, 0]
    refused = responses[-1]
    refused.problem(429, "rate_limited")
    assert int(refused.fields["retry-after"]) in range(350, 361)
    assert backend.hits == 10
    assert [alone(gateway) for gateway in gateways] == [0, 0]
    assert redis.keys() == 1


def test_a_flood_over_two_gateways_gets_what_one_was_promised(make, backend, redis):
    rate, seconds = 150, 4
    gateways = [make.gateway(limited(backend, redis, rate, "1s", burst=rate // 2, key="route"), workers=2) for _ in range(2)]
    results = []

    def flood(gateway):
        statuses, due = [], time.monotonic()
        end = due + seconds
        with Client(gateway.address) as client:
            while due < end:
                statuses.append((client.get("/").status, time.monotonic()))
                due += 6 / (4 * rate)
                time.sleep(max(0, due - time.monotonic()))
        results.append(statuses)

    threads = [threading.Thread(target=flood, args=(gateways[n % 2],)) for n in range(6)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = max(when for part in results for status, when in part if status == 200) - began
    statuses = [status for part in results for status, _ in part]
    assert set(statuses) == {200, 429} and len(statuses) > 2 * rate * seconds
    promised = rate // 2 + rate * took  # as long as nobody sleeps for half a second
    assert abs(statuses.count(200) - promised) <= 0.02 * promised
    # What one gateway knows to be too much never reaches Redis.
    assert redis.calls("evalsha") < 0.7 * len(statuses)


def test_keys_and_routes_have_buckets_of_their_own_and_secrets_stay_here(make, backend, redis):
    gateway = make.gateway(limited(backend, redis, 1, key={"header": "X-Key"}))
    assert [gateway.get("/", fields={"X-Key": key}).status for key in ("secret", "other", "secret")] == [200, 200, 429]
    assert redis.keys() == 2
    assert redis.ask("RANDOMKEY").startswith(b"$44")  # and no more than a hash


def test_buckets_that_are_full_again_leave_redis(make, backend, redis):
    gateway = make.gateway(limited(backend, redis, 10, "1s"))
    assert gateway.get("/").status == 200
    eventually(redis.keys, 0, within=3)


def test_redis_killed_the_gateway_counts_alone_and_says_so_once_and_again_when_it_is_back(make, backend, redis):
    gateway = make.gateway(limited(backend, redis, 5), workers=2)
    assert gateway.get("/").status == 200
    redis.kill()
    statuses = [gateway.get("/").status for _ in range(20)]
    # It goes on from what it knew.
    assert statuses == [200] * 4 + [429] * 16
    assert alone(gateway) == 4
    assert told(gateway, "counts alone until it is back") == 1
    redis.start()
    eventually(lambda: told(gateway, "limits are the fleet's again"), 1, within=10)
    eventually(lambda: gateway.get("/", source="127.0.0.2").fields["ratelimit-remaining"] and redis.keys(), 1, within=10)


def test_redis_that_loses_its_scripts_and_data_is_told_anew(make, backend, redis):
    gateway = make.gateway(limited(backend, redis, 100))
    assert gateway.get("/").fields["ratelimit-remaining"] == "99"
    redis.ask("SCRIPT", "FLUSH")
    assert gateway.get("/").fields["ratelimit-remaining"] == "98"
    redis.ask("FLUSHALL")
    assert gateway.get("/").fields["ratelimit-remaining"] == "99"
    assert alone(gateway) == 0


def test_redis_that_hangs_delays_one_request_and_no_more(make, backend, redis):
    gateway = make.gateway(limited(backend, redis, 1000, cluster={"timeout": "100ms"}), workers=1)
    with gateway.client() as client:
        assert client.get("/").status == 200
        redis.pause()
        try:
            began = time.monotonic()
            assert client.get("/").status == 200
            assert 0.1 <= time.monotonic() - began < 1
            began = time.monotonic()
            assert [client.get("/").status for _ in range(20)] == [200] * 20
            assert time.monotonic() - began < 0.1 * 20 / 2
            assert alone(gateway) == 21
            assert told(gateway, "(it is slow)") == 1
        finally:
            redis.go_on()
        eventually(lambda: told(gateway, "limits are the fleet's again"), 1, within=10)
        before = alone(gateway)
        steadily(lambda: client.get("/").status, 200, during=0.2)
        assert alone(gateway) == before


def test_clients_that_go_while_redis_is_asked_leave_nothing(make, backend, redis):
    gateway = make.gateway(limited(backend, redis, 1000, cluster={"timeout": "2s"}), workers=1)
    assert gateway.get("/").status == 200
    redis.pause()
    try:
        for _ in range(20):
            client = gateway.client()
            client.send_request("GET", "/")
            client.reset()
        eventually(lambda: gateway.admin.metrics().one("lictor_connections", listener="http"), 0, within=10)
    finally:
        redis.go_on()
    assert gateway.get("/").status == 200


def test_a_gateway_without_its_redis_starts_and_serves(make, backend, tmp_path):
    away = Redis(tmp_path)  # never started
    gateway = make.gateway(limited(backend, away, 2), workers=1)
    assert [gateway.get("/").status for _ in range(3)] == [200, 200, 429]
    assert alone(gateway) == 2
    assert told(gateway, "counts alone until it is back") == 1


def test_a_password_from_the_url_or_a_file_and_never_in_the_log(make, backend, tmp_path):
    redis = make.keep(Redis(tmp_path, password="hush-hush")).start()
    secret = tmp_path / "password"
    secret.write_text("hush-hush\n")
    bare = {"redis": f"redis://127.0.0.1:{redis.port}"}
    assert make.gateway(limited(backend, redis, 9)).get("/").fields["ratelimit-remaining"] == "8"
    assert make.gateway(limited(backend, redis, 9, cluster={**bare, "password_file": str(secret)})).get("/").fields["ratelimit-remaining"] == "7"
    gateway = make.gateway(limited(backend, redis, 9, cluster=bare))
    assert gateway.get("/").fields["ratelimit-remaining"] == "8"
    assert alone(gateway) == 1 and told(gateway, "NOAUTH") == 1
    wrong = make.gateway(limited(backend, redis, 9, cluster={"redis": f"redis://:hush-wrong@127.0.0.1:{redis.port}"}))
    assert wrong.get("/").status == 200
    assert told(wrong, "WRONGPASS") == 1 and not told(wrong, "hush")


def test_a_name_is_looked_up(make, backend, redis):
    cluster = {"redis": f"redis://localhost:{redis.port}/3"}
    gateways = [make.gateway(limited(backend, redis, 9, cluster=cluster)) for _ in range(2)]
    assert [gateway.get("/").fields["ratelimit-remaining"] for gateway in gateways] == ["8", "7"]


def test_what_is_wrong_with_a_cluster_is_told_without_the_password(make, backend):
    def document(**cluster):
        return {"path": "/*", "service": "web", "filters": [{"rate_limit": {"rate": 1, "cluster": cluster}}]}

    gateway = make.gateway(
        {
            "routes/tls": document(redis="rediss://:hush@127.0.0.1"),
            "routes/bad": document(redis="redis://:hush@127.0.0.1:x"),
            "routes/none": document(timeout="1s"),
            "routes/file": document(redis="redis://127.0.0.1", password_file="/nowhere/at/all"),
        },
    )
    where = "$.filters[0].rate_limit.cluster"

    def error(name):
        return gateway.admin.document(f"routes/{name}")["error"]

    assert error("tls") == f"{where}.redis: TLS to Redis (rediss://) is not supported in this version"
    assert error("bad").startswith(f"{where}.redis: is not a URL such as")
    assert error("none") == f"{where}: redis is missing: where does the fleet count?"
    assert error("file") == f'{where}.password_file: "/nowhere/at/all" can\'t be read'
    assert not told(gateway, "hush")
