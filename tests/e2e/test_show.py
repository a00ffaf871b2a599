"""The commands that show a running gateway: status, routes, upstreams, explain; and completions."""

import json
import os
import pty
import signal
import subprocess

import pytest

from harness.documents import all_to, one_upstream
from harness.fake_consul import entry
from harness.lictor import BINARY, environment, run_lictor
from harness.wait import eventually, scaled


@pytest.fixture(scope="module")
def gateway(make_once):
    fake = make_once.fake()
    fake.put("routes/all", all_to("web"))
    fake.set_instances("web", entry("one", make_once.backend().port), entry("two\x1b[2J", 9, status="critical"))
    return make_once.gateway_on(fake)


def url(gateway):
    return "http://{}:{}".format(*gateway.admin.address)


def show(gateway, *words, **how):
    return run_lictor(words[0], "--admin", url(gateway), *words[1:], **how)


def on_a_terminal(*command, until, then=None, **variables):
    """What the command writes to a terminal until it ends, or until a text came `until` times and `then` was done."""
    master, slave = pty.openpty()
    process = subprocess.Popen([BINARY, *command], stdout=slave, stderr=slave, stdin=slave, env=environment(TERM="xterm", **variables))
    os.close(slave)
    seen = b""
    try:
        while True:
            try:
                seen += os.read(master, 65536)
            except OSError:  # the end of a terminal
                break
            if then and seen.count(until) >= 2:
                then(process)
                then = None
        return seen.decode(), process.wait(timeout=scaled(5))
    finally:
        os.close(master)
        if process.poll() is None:
            process.kill()
            process.wait()


def test_tables_without_colour_where_nobody_looks(gateway):
    result = show(gateway, "upstreams")
    assert result.returncode == 0
    assert "one" in result.stdout and "passing" in result.stdout
    assert "\x1b" not in result.stdout
    assert "two?[2J" in result.stdout, "a name must not steer a terminal"


def test_colour_on_a_terminal(gateway):
    text, code = on_a_terminal("upstreams", "--admin", url(gateway), until=b"")
    assert code == 0 and "\x1b[32mpassing\x1b[0m" in text and "\x1b[31mcritical\x1b[0m" in text


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_no_colour_for_who_wants_none(gateway, variables):
    master, slave = pty.openpty()
    process = subprocess.run([BINARY, "status", "--admin", url(gateway)], stdout=slave, env=environment(**{"TERM": "xterm", **variables}), timeout=scaled(10))
    os.close(slave)
    assert process.returncode == 0 and b"\x1b" not in os.read(master, 65536)
    os.close(master)


def test_status_names_the_listeners(gateway):
    result = show(gateway, "status")
    assert "listener   http on {}:{}, 0 connections".format(*gateway.address) in result.stdout


@pytest.mark.parametrize("command", ["status", "routes", "upstreams"])
def test_json_as_it_came(gateway, command):
    result = show(gateway, command, "--json")
    assert result.returncode == 0
    known = json.loads(result.stdout)
    assert known["state"] == "ready" if command == "status" else isinstance(known, list)


def test_exit_codes(gateway):
    assert show(gateway, "explain", "GET", "http://a/").returncode == 0
    assert show(gateway, "explain", "GET", "nonsense").returncode == 2
    assert run_lictor("status", "--admin", "http://127.0.0.1:1").returncode == 1
    assert run_lictor("explain", "--admin", "http://127.0.0.1:1", "GET", "/").returncode == 2
    assert run_lictor("status", "--nonsense").returncode == 2


def test_watching_draws_again_and_ends_on_an_interrupt(gateway):
    text, code = on_a_terminal("status", "--watch", "--admin", url(gateway), until=b"ready", then=lambda process: process.send_signal(signal.SIGINT))
    assert code == 0
    assert text.count("\x1b[H\x1b[2J") >= 2


def test_watching_survives_a_gateway_that_is_away():
    process = subprocess.Popen([BINARY, "routes", "--watch", "--admin", "http://127.0.0.1:1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "no answer from the admin port" in process.stderr.readline()
    assert "no answer from the admin port" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=scaled(5)) == 0
    process.communicate()


def test_the_token_from_a_file_or_the_environment(make, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    gateway = make.gateway(one_upstream(make.backend()), admin={"address": "127.0.0.1:0", "token_file": str(token)})
    refused = show(gateway, "routes")
    assert refused.returncode == 1 and "bearer token" in refused.stderr
    assert show(gateway, "routes", "--token-file", token).returncode == 0
    assert show(gateway, "routes", env=environment(LICTOR_ADMIN_TOKEN_FILE=str(token))).returncode == 0


def test_a_blank_token_file_is_refused_at_start(tmp_path):
    token = tmp_path / "token"
    token.write_text(" \n")
    config = tmp_path / "lictor.json"
    config.write_text(json.dumps({"source": {"directory": str(tmp_path)}, "admin": {"address": "127.0.0.1:0", "token_file": str(token)}}))
    result = run_lictor("run", "--config", config)
    assert result.returncode == 2
    assert result.stderr == f"lictor: admin.token_file: {token}: is blank; write a token into it, or leave the key out\n"
    token.unlink()
    result = run_lictor("run", "--config", config)
    assert result.returncode == 2 and result.stderr == f"lictor: admin.token_file: {token}: can't be read\n"


def test_a_name_of_the_admin_port(make):
    gateway = make.gateway({}, admin={"address": "127.0.0.1:0", "name": "lictor.example"})
    assert gateway.admin.get("/v1/status", host="Lictor.Example:9900").status == 200
    assert gateway.admin.get("/v1/status", host="other.example").status == 421


# Completions


def complete(*words):
    """What bash offers for the last of these words."""
    script = run_lictor("completions", "bash").stdout
    line = " ".join(f"'{word}'" for word in words)
    ask = f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _lictor; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    return subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes_commands_options_words_and_files(tmp_path):
    assert complete("lictor", "") == ["run", "check", "explain", "status", "routes", "upstreams", "completions", "version", "--help"]
    assert complete("lictor", "up") == ["upstreams"]
    assert set(complete("lictor", "status", "--")) == {"--help", "--admin", "--token-file", "--json", "--watch"}
    assert complete("lictor", "completions", "z") == ["zsh"]
    (tmp_path / "some.json").touch()
    assert complete("lictor", "run", "--config", f"{tmp_path}/so") == [f"{tmp_path}/some.json"]
    assert complete("lictor", "status", "--admin", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell_that_names_all_commands(shell):
    script = run_lictor("completions", shell)
    assert script.returncode == 0
    for command in ("run", "check", "explain", "status", "routes", "upstreams", "completions", "version", "token-file"):
        assert command in script.stdout


def test_no_script_for_other_shells():
    assert run_lictor("completions", "tcsh").returncode == 2
