#include "telemetry/metrics.h"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace lictor {
namespace {

// The exposition as a map from "name{labels}" to the value, after a check of its form.
std::map<std::string, std::string> parse(const std::string& text) {
  std::map<std::string, std::string> series;
  std::set<std::string> families;
  std::string family;
  REQUIRE(text.ends_with('\n'));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# HELP ")) continue;
    if (line.starts_with("# TYPE ")) {
      family = line.substr(7, line.find(' ', 7) - 7);
      CHECK_MESSAGE(families.insert(family).second, "family twice: ", family);
      continue;
    }
    CHECK_MESSAGE(line.starts_with(family), "outside its family: ", line);
    const size_t blank = line.rfind(' ');
    const auto [at, added] = series.emplace(line.substr(0, blank), line.substr(blank + 1));
    CHECK_MESSAGE(added, "series twice: ", line);
  }
  return series;
}

std::string at(const std::map<std::string, std::string>& series, const std::string& name) {
  const auto found = series.find(name);
  return found == series.end() ? "absent" : found->second;
}

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("metrics: requests are counted by their labels and summed over workers") {
  Metrics metrics(2, {"http", "https"});
  const auto one = metrics.route(0, "users");
  const auto two = metrics.route(1, "users");
  one->count(0, "web", Method::kGet, 200, 1000);
  one->count(0, "web", Method::kGet, 200, 1001);
  one->count(1, "web", Method::kPost, 503, 40'000'000);
  two->count(0, "web", Method::kGet, 200, 499);
  two->count(0, "", Method::kOther, 404, 0);
  two->count(0, "", Method::kGet, 99, 0);
  two->count(0, "", Method::kGet, 999, 0);

  const auto series = parse(metrics.render({}));
  const auto requests = [&](const std::string& labels) {
    return at(series, "lictor_requests_total{" + labels + "}");
  };
  CHECK(requests(R"(listener="http",route="users",service="web",method="GET",code="200")") == "3");
  CHECK(requests(R"(listener="https",route="users",service="web",method="POST",code="503")") ==
        "1");
  CHECK(requests(R"(listener="http",route="users",service="",method="OTHER",code="404")") == "1");
  CHECK(requests(R"(listener="http",route="users",service="",method="GET",code="other")") == "2");
  CHECK(metrics.route_total("users") == 7);
  CHECK(metrics.route_total("other") == 0);

  const auto duration = [&](const std::string& suffix, const std::string& le = {}) {
    return at(series, "lictor_request_duration_seconds" + suffix +
                          R"({route="users",service="web")" +
                          (le.empty() ? "" : ",le=\"" + le + "\"") + "}");
  };
  CHECK(duration("_bucket", "0.0005") == "1");
  CHECK(duration("_bucket", "0.001") == "2");  // a bound belongs to its bucket
  CHECK(duration("_bucket", "0.0025") == "3");
  CHECK(duration("_bucket", "30") == "3");
  CHECK(duration("_bucket", "+Inf") == "4");
  CHECK(duration("_count") == "4");
  CHECK(duration("_sum") == "40.0025");
}

TEST_CASE("metrics: counting the kinds of many requests mixes none up") {
  Metrics metrics(1, {"http"});
  const auto cells = metrics.route(0, "r");
  const std::vector<std::string> services = {"a", "b", "", "c"};
  for (int round = 0; round < 3; ++round) {
    for (const auto& service : services) {
      for (uint16_t code = 200; code < 240; ++code) {
        cells->count(0, service, Method::kGet, code, 1);
        cells->count(0, service, Method::kPut, code, 1);
      }
    }
  }
  const auto series = parse(metrics.render({}));
  size_t found = 0;
  for (const auto& [name, value] : series) {
    if (!name.starts_with("lictor_requests_total")) continue;
    CHECK(value == "3");
    ++found;
  }
  CHECK(found == services.size() * 40 * 2);
}

TEST_CASE("metrics: counts are exact while other threads count and scrape") {
  constexpr size_t kWorkers = 4;
  constexpr uint64_t kRequests = 20'000;
  Metrics metrics(kWorkers, {"http"});
  std::atomic<size_t> running{kWorkers};
  std::vector<std::thread> workers;
  for (size_t worker = 0; worker < kWorkers; ++worker) {
    workers.emplace_back([&metrics, &running, worker] {
      const auto route = metrics.route(worker, "r");
      const auto instance = metrics.instance(worker, "web", "web-1");
      for (uint64_t i = 0; i < kRequests; ++i) {
        route->count(0, i % 2 == 0 ? "web" : "api", Method::kGet, i % 3 == 0 ? 200 : 404, i);
        instance->active.add();
        instance->outcomes[i % kOutcomes].add();
        metrics.worker(worker).bytes_in.add(2);
        instance->active.sub();
      }
      // Held until all are done: letting go of the last would end the series.
      running.fetch_sub(1);
      while (running.load() != 0) std::this_thread::yield();
    });
  }
  while (running.load() != 0) parse(metrics.render({}));
  for (auto& worker : workers) worker.join();

  uint64_t total = 0;
  const auto series = parse(metrics.render({}));
  for (const auto& [name, value] : series) {
    if (name.starts_with("lictor_requests_total")) total += std::stoull(value);
  }
  CHECK(total == kWorkers * kRequests);
  CHECK(at(series, R"(lictor_request_duration_seconds_count{route="r",service="web"})") ==
        std::to_string(kWorkers * kRequests / 2));
  CHECK(at(series, R"(lictor_bytes_total{direction="in"})") ==
        std::to_string(2 * kWorkers * kRequests));
}

TEST_CASE("metrics: an instance's outcomes, totals and connections") {
  Metrics metrics(2, {"http"});
  const auto a = metrics.instance(0, "web", "web-1");
  const auto b = metrics.instance(1, "web", "web-1");
  const auto c = metrics.instance(1, "web", "web-2");
  a->outcomes[static_cast<size_t>(Outcome::kOk)].add(5);
  b->outcomes[static_cast<size_t>(Outcome::kOk)].add(2);
  b->outcomes[static_cast<size_t>(Outcome::kConnectError)].add(3);
  a->active.add(2);
  a->active.sub();
  b->idle_connections.add(4);
  c->idle_connections.add(1);
  c->busy_connections.add(2);

  const InstanceTotals totals = metrics.instance_totals("web", "web-1");
  CHECK(totals.active == 1);
  CHECK(totals.total == 10);
  CHECK(totals.failures == 3);
  CHECK(metrics.instance_totals("web", "web-9").total == 0);

  const auto series = parse(metrics.render({}));
  const auto outcome = [&](const std::string& instance, std::string_view name) {
    return at(series, "lictor_upstream_requests_total{service=\"web\",instance=\"" + instance +
                          "\",outcome=\"" + std::string(name) + "\"}");
  };
  CHECK(outcome("web-1", "ok") == "7");
  CHECK(outcome("web-1", "connect_error") == "3");
  CHECK(outcome("web-1", "timeout") == "absent");
  CHECK(outcome("web-2", "ok") == "0");
  CHECK(at(series, R"(lictor_upstream_connections{service="web",state="idle"})") == "5");
  CHECK(at(series, R"(lictor_upstream_connections{service="web",state="busy"})") == "2");
}

TEST_CASE("metrics: the names of outcomes") {
  CHECK(outcome_name(Outcome::kOk) == "ok");
  CHECK(outcome_name(Outcome::k5xx) == "5xx");
  CHECK(outcome_name(Outcome::kConnectError) == "connect_error");
  CHECK(outcome_name(Outcome::kTimeout) == "timeout");
  CHECK(outcome_name(Outcome::kReset) == "reset");
  CHECK(outcome_name(Outcome::kProtocolError) == "protocol_error");
}

TEST_CASE("metrics: retries and durations of an upstream") {
  Metrics metrics(2, {"http"});
  const auto a = metrics.upstream(0, "web");
  const auto b = metrics.upstream(1, "web");
  a->retries_connect.add();
  b->retries_connect.add();
  b->retries_stale.add();
  b->duration.observe(2'500'000);
  const auto series = parse(metrics.render({}));
  CHECK(at(series, R"(lictor_retries_total{service="web",reason="connect"})") == "2");
  CHECK(at(series, R"(lictor_retries_total{service="web",reason="stale"})") == "1");
  CHECK(at(series, R"(lictor_retries_total{service="web",reason="status"})") == "0");
  CHECK(at(series, R"(lictor_upstream_duration_seconds_sum{service="web"})") == "2.5");
  CHECK(at(series, R"(lictor_upstream_duration_seconds_bucket{service="web",le="2.5"})") == "1");
  CHECK(at(series, R"(lictor_upstream_duration_seconds_bucket{service="web",le="1"})") == "0");
}

TEST_CASE("metrics: a series goes once all workers let go of it, after one scrape more") {
  Metrics metrics(2, {"http"});
  auto a = metrics.route(0, "old");
  auto b = metrics.route(1, "old");
  const auto stays = metrics.route(0, "stays");
  a->count(0, "web", Method::kGet, 200, 1);
  b->count(0, "web", Method::kGet, 200, 1);
  auto instance = metrics.instance(0, "web", "gone");
  CHECK(metrics.route(0, "old") == a);

  a.reset();
  std::string text = metrics.render({});
  CHECK(mentions(text, R"(route="old",service="web",method="GET",code="200"} 2)"));
  text = metrics.render({});
  CHECK(mentions(text, R"(route="old")"));  // worker 1 still has it

  b.reset();
  instance.reset();
  text = metrics.render({});
  CHECK(mentions(text, R"(route="old",service="web",method="GET",code="200"} 2)"));
  CHECK(mentions(text, R"(instance="gone")"));
  text = metrics.render({});
  CHECK_FALSE(mentions(text, R"(route="old")"));
  CHECK_FALSE(mentions(text, R"(instance="gone")"));

  CHECK(metrics.route_total("old") == 0);
  const auto again = metrics.route(0, "old");
  CHECK(again->total.get() == 0);
}

TEST_CASE("metrics: cells that nobody holds don't pile up without scrapes") {
  Metrics metrics(1, {"http"});
  auto first = metrics.instance(0, "web", "first");
  first->outcomes[0].add();
  for (int i = 0; i < 10'000; ++i) metrics.instance(0, "web", std::to_string(i));
  const std::string text = metrics.render({});
  size_t instances = 0;
  for (size_t at = text.find("outcome=\"ok\""); at != std::string::npos;
       at = text.find("outcome=\"ok\"", at + 1)) {
    ++instances;
  }
  CHECK(instances < 2'100);
  CHECK(mentions(text, R"(instance="first",outcome="ok"} 1)"));
}

TEST_CASE("metrics: cells outlive the registry for a late holder") {
  std::shared_ptr<RouteCells> cells;
  {
    Metrics metrics(1, {"http"});
    cells = metrics.route(0, "r");
  }
  cells->count(0, "web", Method::kGet, 200, 1);
  CHECK(cells->total.get() == 1);
}

TEST_CASE("metrics: connections by listener") {
  Metrics metrics(2, {"http", "https"});
  metrics.worker(0).connections[0].add(3);
  metrics.worker(1).connections[0].add();
  metrics.worker(1).connections[0].sub(2);
  metrics.worker(0).connections_refused.add();
  metrics.worker(1).connections_refused.add(2);
  const auto series = parse(metrics.render({}));
  CHECK(at(series, R"(lictor_connections{listener="http"})") == "2");
  CHECK(at(series, R"(lictor_connections{listener="https"})") == "0");
  CHECK(at(series, "lictor_connections_refused_total") == "3");
}

TEST_CASE("metrics: what the control thread knows") {
  Metrics metrics(1, {"http"});
  ScrapeInput input;
  input.version = "1.2.3";
  input.config_revision = 17;
  input.config_rejected = 2;
  input.access_log_dropped = 3;
  input.limited_alone = 4;
  input.instances = {{"web", "passing", 2}, {"web", "ejected", 1}, {"web", "passing", 1}};
  input.ejections = {{"web", "web-1", 1}, {"web", "web-1", 2}};
  input.consul.present = true;
  input.consul.connected = true;
  input.consul.staleness_s = 1.25;
  input.consul.queries[{"kv", "ok"}] = 5;
  const auto series = parse(metrics.render(input));
  CHECK(at(series, R"(lictor_build_info{version="1.2.3"})") == "1");
  CHECK(at(series, "lictor_config_revision") == "17");
  CHECK(at(series, "lictor_config_rejected_documents") == "2");
  CHECK(at(series, "lictor_access_log_dropped_total") == "3");
  CHECK(at(series, "lictor_rate_limit_redis_errors_total") == "4");
  CHECK(at(series, R"(lictor_upstream_instances{service="web",state="passing"})") == "3");
  CHECK(at(series, R"(lictor_upstream_instances{service="web",state="ejected"})") == "1");
  CHECK(at(series, R"(lictor_upstream_instances{service="web",state="critical"})") == "0");
  CHECK(at(series, R"(lictor_upstream_ejections_total{service="web",instance="web-1"})") == "3");
  CHECK(at(series, "lictor_consul_connected") == "1");
  CHECK(at(series, "lictor_consul_staleness_seconds") == "1.25");
  CHECK(at(series, R"(lictor_consul_queries_total{endpoint="kv",outcome="ok"})") == "5");

  CHECK_FALSE(mentions(metrics.render({}), "lictor_consul"));
}

TEST_CASE("metrics: the process") {
  Metrics metrics(1, {"http"});
  const auto series = parse(metrics.render({}));
  const auto value = [&](const std::string& name) { return std::stod(at(series, name)); };
  CHECK(value("process_cpu_seconds_total") >= 0);
  CHECK(value("process_resident_memory_bytes") > 1e6);
  CHECK(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
  CHECK(value("process_open_fds") >= 3);
  CHECK(value("process_max_fds") >= value("process_open_fds"));
  const auto now = static_cast<double>(time(nullptr));
  CHECK(value("process_start_time_seconds") > now - 86'400);
  CHECK(value("process_start_time_seconds") < now + 5);
}

}  // namespace
}  // namespace lictor
