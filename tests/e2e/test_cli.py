"""The command line: version, check, and the ways in which run refuses to start."""

import json
import re

import pytest

from harness.lictor import Lictor, environment, run_lictor, write_documents
from harness.wait import eventually

VALID_ROUTE = {"path": "/user/*", "service": "user-service"}


def one_line(result):
    """The only line that a failing command says on stderr."""
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    return lines[0]


def check_route(tmp_path, document):
    write_documents(tmp_path, {"routes/r": document})
    return run_lictor("check", tmp_path / "routes" / "r.json")


def check_upstream(tmp_path, document):
    write_documents(tmp_path, {"upstreams/u": document})
    return run_lictor("check", tmp_path / "upstreams" / "u.json")


def check_bootstrap(tmp_path, bootstrap):
    config = tmp_path / "lictor.json"
    config.write_text(bootstrap if isinstance(bootstrap, str) else json.dumps(bootstrap))
    return run_lictor("check", "--config", config)


def assert_problem(result, path, *words):
    """Exit 1 and a line `FILE: $.path: message` with these words in the message."""
    assert result.returncode == 1, result
    pattern = rf"^\S+: {re.escape(path)}: (.+)$"
    messages = [match[1] for line in result.stdout.splitlines() if (match := re.match(pattern, line))]
    assert messages, f"nothing at {path}: {result.stdout!r} {result.stderr!r}"
    assert any(all(word in message for word in words) for message in messages), messages


def test_version_is_one_line():
    result = run_lictor("version")
    assert result.returncode == 0
    assert re.fullmatch(r"lictor \d+\.\d+\.\d+\S*.*\n", result.stdout)


def test_help_names_the_commands():
    result = run_lictor("--help")
    assert result.returncode == 0
    assert all(command in result.stdout for command in ("run", "check", "version"))


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--no-such-option"], ["check", "--no-such-option"]])
def test_bad_usage_exits_2_with_one_line(arguments):
    result = run_lictor(*arguments)
    assert result.returncode == 2
    assert one_line(result)


# check


def test_check_accepts_a_valid_document(tmp_path):
    assert check_route(tmp_path, VALID_ROUTE).returncode == 0


def test_check_accepts_every_key_of_a_route(tmp_path):
    route = {
        "hosts": ["api.example.com", "*.example.org"],
        "paths": ["/user/*", "/orders/{id}/items", "/exact"],
        "methods": ["GET", "HEAD"],
        "priority": 3,
        "backends": [{"service": "a", "weight": 90}, {"service": "b", "weight": 10}],
        "timeout": "1m30s",
    }
    result = check_route(tmp_path, route)
    assert result.returncode == 0, result


def test_check_accepts_every_key_of_an_upstream(tmp_path):
    upstream = {
        "balance": "round_robin",
        "endpoints": [{"address": "10.0.0.7:80", "weight": 1}],
        "ejection": {"consecutive_failures": 5, "base_time": "30s", "max_time": "5m", "max_percent": 50, "failure_status": [500, 503]},
        "connect_timeout": "1s",
        "idle_timeout": "60s",
        "host": "instance",
    }
    result = check_upstream(tmp_path, upstream)
    assert result.returncode == 0, result


def test_check_goes_through_a_folder(tmp_path):
    write_documents(tmp_path, {"gateway": {"filters": []}, "routes/good": VALID_ROUTE, "upstreams/user-service": {"balance": "round_robin"}})
    assert run_lictor("check", tmp_path).returncode == 0
    write_documents(tmp_path, {"routes/bad": {"path": "user"}})
    result = run_lictor("check", tmp_path)
    assert_problem(result, "$.path")
    assert "bad.json" in result.stdout and "good.json" not in result.stdout


def test_check_reads_stdin():
    assert run_lictor("check", "-", stdin=json.dumps(VALID_ROUTE)).returncode == 0
    result = run_lictor("check", "-", stdin='{"path": ')
    assert result.returncode == 1
    assert re.search(r"^(-|stdin|<stdin>): \$.*: .+", result.stdout, re.M), result


def test_check_reports_every_bad_file(tmp_path):
    write_documents(tmp_path, {"routes/a": {"path": 1}, "routes/b": "{", "upstreams/c": {"balance": "luck"}})
    result = run_lictor("check", tmp_path)
    assert all(name in result.stdout for name in ("a.json: $", "b.json: $", "c.json: $")), result


def test_check_of_a_missing_file_fails(tmp_path):
    result = run_lictor("check", tmp_path / "nowhere.json")
    assert result.returncode in (1, 2)
    assert "nowhere.json" in result.stdout + result.stderr


@pytest.mark.parametrize(
    "document, path, words",
    [
        ({"path": "/x", "servise": "s"}, "$.servise", ["did you mean", "service"]),
        ({"path": "/x", "service": "s", "quite_other": 1}, "$.quite_other", []),
        ({"path": 5, "service": "s"}, "$.path", []),
        ({"path": "no-slash", "service": "s"}, "$.path", []),
        ({"service": "s"}, "$", ["path"]),
        ({"path": "/x"}, "$", ["service"]),
        ({"path": "/x", "service": "s", "backends": [{"service": "a"}]}, "$", []),
        ({"path": "/x", "service": "s", "timeout": "5 parsecs"}, "$.timeout", []),
        ({"path": "/x", "service": "s", "priority": "high"}, "$.priority", []),
        ({"path": "/x", "service": "s", "methods": ["GET", 7]}, "$.methods[1]", []),
        ({"path": "/x", "backends": [{"service": "a"}, {"service": "b", "weight": "ten"}]}, "$.backends[1].weight", []),
        ({"path": "/x", "backends": [{"service": "a", "wieght": 1}]}, "$.backends[0].wieght", ["did you mean", "weight"]),
        ({"path": "/x", "service": "s", "hosts": ["a*b.example"]}, "$.hosts[0]", []),
        ({"path": "/a/{id}/{id}", "service": "s"}, "$.path", ["id"]),
        ([], "$", []),
    ],
)
def test_check_names_the_place_in_a_route(tmp_path, document, path, words):
    result = check_route(tmp_path, json.dumps(document))
    if path == "$":  # about the whole document, or about the key that is missing or too much
        assert result.returncode == 1
        assert re.search(r": \$.*" + ".*".join(words), result.stdout), result
    else:
        assert_problem(result, path, *words)


@pytest.mark.parametrize(
    "document, path",
    [
        ({"balance": "luck"}, "$.balance"),
        ({"endpoints": [{"address": "10.0.0.7"}]}, "$.endpoints[0].address"),
        ({"endpoints": [{"address": "10.0.0.7:80", "weight": -1}]}, "$.endpoints[0].weight"),
        ({"ejection": {"max_percent": 101}}, "$.ejection.max_percent"),
        ({"ejection": {"failure_status": [1000]}}, "$.ejection.failure_status[0]"),
        ({"connect_timeout": 5}, "$.connect_timeout"),
        ({"host": 5}, "$.host"),
    ],
)
def test_check_names_the_place_in_an_upstream(tmp_path, document, path):
    assert_problem(check_upstream(tmp_path, document), path)


def test_check_finds_a_key_written_twice(tmp_path):
    result = check_route(tmp_path, '{"path": "/x", "service": "a", "service": "b"}')
    assert result.returncode == 1, result
    assert "service" in result.stdout


def test_check_accepts_a_bootstrap_file_with_comments(tmp_path):
    result = check_bootstrap(
        tmp_path,
        """{
          // where Consul is
          "consul": {"address": "http://127.0.0.1:8500", "wait": "1m"}, // the agent
          "source": {"kv_prefix": "edge"},
          "listeners": [{"name": "http", "address": "0.0.0.0:8080"}],
          "trusted_proxies": ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"],
          "limits": {"header_bytes": "32KiB", "body_bytes": 1000000, "header_timeout": "0s"},
          "log": {"level": "debug", "format": "json", "access": {"path": "off", "sample": 0.5}},
          "drain": {"lead": "1s", "timeout": "10s"}
        }""",
    )
    assert result.returncode == 0, result


@pytest.mark.parametrize(
    "bootstrap, path, words",
    [
        ({"lisseners": []}, "$.lisseners", ["did you mean", "listeners"]),
        ({"consul": {"adress": "http://x:1"}}, "$.consul.adress", ["did you mean", "address"]),
        ({"workers": -1}, "$.workers", []),
        ({"trusted_proxies": ["10.0.0.0/33"]}, "$.trusted_proxies[0]", []),
        ({"limits": {"header_bytes": "64 bananas"}}, "$.limits.header_bytes", []),
        ({"limits": {"idle_timeout": 75}}, "$.limits.idle_timeout", []),
        ({"listeners": [{"name": "a", "address": "nowhere"}]}, "$.listeners[0].address", []),
        ({"log": {"level": "loud"}}, "$.log.level", []),
        ({"log": {"access": {"sample": 2}}}, "$.log.access.sample", []),
        ({"consul": {"consistency": "perfect"}}, "$.consul.consistency", []),
    ],
)
def test_check_names_the_place_in_a_bootstrap_file(tmp_path, bootstrap, path, words):
    assert_problem(check_bootstrap(tmp_path, bootstrap), path, *words)


@pytest.mark.parametrize(
    "bootstrap, path",
    [
        ({"listeners": [{"name": "a", "address": "127.0.0.1:0", "proxy_protocol": True}]}, "$.listeners[0].proxy_protocol"),
    ],
)
def test_keys_of_later_versions_are_refused_not_ignored(tmp_path, bootstrap, path):
    result = check_bootstrap(tmp_path, bootstrap)
    assert result.returncode == 1, result
    lines = [line for line in result.stdout.splitlines() if f": {path}" in line]
    assert any("not supported in this version" in line for line in lines), result


# run


@pytest.mark.parametrize(
    "bootstrap, word",
    [
        ("{", "$"),
        ({"workerz": 2}, "workers"),
        ({"listeners": [{"name": "http", "address": "127.0.0.1:0", "tls": {}}]}, "certificates is missing"),
        ({"admin": {"address": "0.0.0.0:0"}}, "token"),
    ],
)
def test_run_refuses_a_bad_bootstrap_file_with_one_line(tmp_path, bootstrap, word):
    config = tmp_path / "lictor.json"
    config.write_text(bootstrap if isinstance(bootstrap, str) else json.dumps(bootstrap))
    result = run_lictor("run", "--config", config)
    assert result.returncode == 2, result
    line = one_line(result)
    assert "lictor.json" in line and word in line


def test_run_without_its_bootstrap_file_exits_2(tmp_path):
    result = run_lictor("run", "--config", tmp_path / "missing.json")
    assert result.returncode == 2
    assert "missing.json" in one_line(result)


def test_run_says_so_when_its_address_is_taken(tmp_path, make):
    taken = make.backend()
    config = {"source": {"directory": str(tmp_path)}, "listeners": [{"name": "http", "address": taken.address}], "admin": {"address": "127.0.0.1:0"}}
    (tmp_path / "lictor.json").write_text(json.dumps(config))
    result = run_lictor("run", "--config", tmp_path / "lictor.json")
    assert result.returncode in (1, 2)
    assert taken.address in result.stderr and "in use" in result.stderr


def test_an_admin_port_open_to_the_network_needs_its_token(make, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    gateway = make.gateway({}, wait_ready=False, admin={"address": "0.0.0.0:0", "token_file": str(token)})
    port = gateway.admin.address[1]
    gateway.admin.address = ("127.0.0.1", port)
    assert gateway.admin.get("/v1/status").status == 401
    assert gateway.admin.get("/v1/status", fields={"Authorization": "Bearer wrong"}).status == 401
    assert gateway.admin.get("/v1/status", fields={"Authorization": "Bearer s3cret"}).status == 200


def test_several_listeners_each_on_their_port(make):
    gateway = make.gateway({}, listeners=[{"name": "one", "address": "127.0.0.1:0"}, {"name": "two", "address": "127.0.0.1:0"}])
    assert set(gateway.listeners) == {"one", "two"}
    assert len(set(gateway.listeners.values())) == 2


# Consul's environment variables


def asked_of(fake):
    """The first query for documents."""
    return eventually(lambda: fake.asked("kv"))[0]


def start_with_environment(make, tmp_path, settings=None, **variables):
    gateway = Lictor(tmp_path, {"consul": settings or {}, "source": {"kv_prefix": "lictor"}}, env=environment(**variables))
    make.keep(gateway)
    return gateway.start()


def test_consul_address_and_token_from_the_environment(make, fake, tmp_path):
    start_with_environment(make, tmp_path, CONSUL_HTTP_ADDR=fake.address, CONSUL_HTTP_TOKEN="from-env").wait_ready()
    assert asked_of(fake).fields["x-consul-token"] == "from-env"


def test_the_bootstrap_file_wins_over_the_environment(make, fake, tmp_path):
    other, token = make.fake(), tmp_path / "token"
    token.write_text("from-file\n")
    start_with_environment(
        make, tmp_path, {"address": fake.url, "token_file": str(token)}, CONSUL_HTTP_ADDR=other.address, CONSUL_HTTP_TOKEN="from-env"
    ).wait_ready()
    assert asked_of(fake).fields["x-consul-token"] == "from-file"
    assert other.queries == []


def test_consul_token_file_from_the_environment(make, fake, tmp_path):
    token = tmp_path / "token"
    token.write_text("from-env-file\n")
    start_with_environment(make, tmp_path, CONSUL_HTTP_ADDR=fake.address, CONSUL_HTTP_TOKEN_FILE=str(token)).wait_ready()
    assert asked_of(fake).fields["x-consul-token"] == "from-env-file"


def test_consul_on_a_unix_socket(make, tmp_path):
    fake = make.fake(unix_path=str(tmp_path / "consul.sock"))
    start_with_environment(make, tmp_path, CONSUL_HTTP_ADDR=fake.url).wait_ready()
    assert asked_of(fake)


def test_namespace_and_partition_from_the_environment(make, fake, tmp_path):
    start_with_environment(make, tmp_path, CONSUL_HTTP_ADDR=fake.address, CONSUL_NAMESPACE="edge", CONSUL_PARTITION="blue").wait_ready()
    params = asked_of(fake).params
    assert (params.get("ns"), params.get("partition")) == ("edge", "blue")


@pytest.mark.parametrize("consistency", ["stale", "consistent"])
def test_datacenter_and_consistency_go_with_each_query(make, fake, consistency):
    make.gateway_on(fake, consul={"datacenter": "dc2", "consistency": consistency})
    params = asked_of(fake).params
    assert params["dc"] == "dc2" and consistency in params
