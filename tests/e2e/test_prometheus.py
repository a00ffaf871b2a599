"""What a Prometheus makes of /metrics, and of the rules and the dashboard that come with lictor."""

import json
import re
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from harness.consul import free_ports
from harness.documents import all_to
from harness.wait import eventually

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "config/prometheus/lictor-alerts.yml"
DASHBOARD = ROOT / "config/grafana/lictor.json"


def promtool(*arguments, **how):
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, **how)


class Prometheus:
    """A real one, that scrapes one gateway every second."""

    def __init__(self, folder, gateway):
        (self.port,) = free_ports(1)
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "lictor", "static_configs": [{"targets": [":".join(map(str, gateway.admin.address))]}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        self._log = open(folder / "log", "w")
        self._process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}"],
            stdout=self._log,
            stderr=self._log,
        )

    def api(self, path, **query):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def value(self, query):
        found = self.api("query", query=query)
        return float(found["result"][0]["value"][1]) if found and found["result"] else None

    def stop(self):
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


@pytest.fixture(scope="module")
def fleet(make_once, tmp_path_factory):
    backend = make_once.backend()
    agent = make_once.agent()
    agent.register_backend("web", backend)
    agent.kv_put("lictor/routes/web", all_to("web"))
    gateway = make_once.gateway_on(agent, "lictor", workers=2)
    prometheus = make_once.keep(Prometheus(tmp_path_factory.mktemp("prometheus"), gateway))
    return gateway, prometheus


def test_promtool_has_nothing_to_say_of_the_metrics(fleet):
    gateway, _ = fleet
    for _ in range(3):
        gateway.get("/")
    text = gateway.admin.get("/metrics").body.decode()
    assert "lictor_consul_queries_total{" in text
    checked = promtool("check", "metrics", input=text)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_prometheus_scrapes_the_gateway(fleet):
    gateway, prometheus = fleet
    eventually(lambda: prometheus.value('up{job="lictor"}'), 1.0, within=30)
    before = prometheus.value("sum(lictor_requests_total)") or 0
    for _ in range(20):
        assert gateway.get("/").status == 200
    eventually(lambda: prometheus.value("sum(lictor_requests_total)"), before + 20, within=20)
    targets = prometheus.api("targets")["activeTargets"]
    assert [one["lastError"] for one in targets] == [""]


def test_a_prometheus_takes_the_alert_rules(fleet):
    _, prometheus = fleet
    groups = eventually(lambda: prometheus.api("rules")["groups"], within=30)
    rules = eventually(lambda: [one for one in prometheus.api("rules")["groups"][0]["rules"] if one["health"] != "unknown"] or None, within=90)
    assert len(groups[0]["rules"]) == 12
    assert {one["lastError"] if "lastError" in one else "" for one in rules} == {""}


def test_the_alert_rules_are_valid_and_fire_when_they_should():
    assert promtool("check", "rules", str(RULES)).returncode == 0
    tested = promtool("test", "rules", str(RULES.with_name("lictor-alerts-test.yml")))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def expressions(thing):
    if isinstance(thing, dict):
        for key, value in thing.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            yield from expressions(value)
    elif isinstance(thing, list):
        for one in thing:
            yield from expressions(one)


def test_the_dashboard_asks_for_metrics_that_exist(fleet):
    gateway, prometheus = fleet
    known = set(re.findall(r"^# TYPE (\S+)", gateway.admin.get("/metrics").body.decode(), re.M))
    # Some are shown only when they have something to tell.
    known |= set(re.findall(r"`(lictor_[a-z_]+)", (ROOT / "docs/metrics.md").read_text()))
    dashboard = json.loads(DASHBOARD.read_text())
    asked = [one for panel in dashboard["panels"] for one in expressions(panel)]
    assert len(asked) > 20
    for expression in [*expressions(dashboard), RULES.read_text()]:
        for name in re.findall(r"\b(?:lictor|process)_[a-z_]+", expression):
            assert name in known or re.sub(r"_(bucket|sum|count)$", "", name) in known, name
    eventually(lambda: prometheus.value('up{job="lictor"}'), 1.0, within=30)
    for expression in asked:
        for variable in ("instance", "route", "service"):
            expression = expression.replace(f"${variable}", ".*")
        found = prometheus.api("query", query=expression.replace("$__rate_interval", "1m"))
        assert found is not None, f"Prometheus refuses {expression}"


def test_every_metric_is_in_the_reference(fleet):
    gateway, _ = fleet
    reference = (ROOT / "docs/metrics.md").read_text()
    for name in re.findall(r"^# TYPE (\S+)", gateway.admin.get("/metrics").body.decode(), re.M):
        assert f"`{name}" in reference, name
