#include "app/admin_api.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/admin_calls.h"
#include "app/assets.h"
#include "base/log.h"
#include "base/version.h"

namespace lictor {
namespace {

using Json = nlohmann::ordered_json;
using FieldList = std::vector<std::pair<std::string_view, std::string_view>>;

constexpr AdminApi::Now kNow{.system_ms = 1'738'367'999'123, .steady_ms = 5'000'000};

Instance make_instance(const std::string& id, const std::string& address) {
  Instance instance;
  instance.id = id;
  instance.address = address;
  instance.node = "node-1";
  instance.datacenter = "dc1";
  instance.tags = {"v1"};
  instance.meta = {{"zone", "a"}};
  instance.weight = 3;
  return instance;
}

// A gateway with a route and a service, and a note of what an operator did to it.
class FakeSource final : public AdminSource {
 public:
  FakeSource() : metrics_(1, {"http"}) {
    auto route = std::make_shared<Route>();
    route->name = "users";
    route->hosts = {"api.example.com"};
    route->paths = {"/user/*"};
    route->methods = {"GET", "HEAD"};
    route->backends.resize(2);
    route->backends[0].service = "web";
    route->backends[0].weight = 90;
    route->backends[1].service = "next";
    route->backends[1].weight = 10;
    auto upstream = std::make_shared<Upstream>();
    upstream->service = "web";
    auto empty = std::make_shared<Upstream>();
    empty->service = "next";
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->revision = 7;
    snapshot->routes = {route};
    snapshot->upstreams = {empty, upstream};
    snapshot_ = snapshot;
    set_instances({make_instance("web-1", "10.0.0.1:80"), make_instance("web/2", "10.0.0.2:80")});
  }

  void set_instances(std::vector<Instance> instances) {
    list_ = make_instance_list(std::move(instances), list_.get());
  }

  GatewayState state() const override { return state_; }
  double uptime_s() const override { return 12.3456; }
  size_t workers() const override { return 2; }
  Metrics& metrics() override { return metrics_; }
  std::vector<lictor::CertificateGauge> certificates() const override { return {}; }
  uint64_t traces_dropped() const override { return 0; }
  uint64_t access_log_dropped() const override { return 9; }
  uint64_t limited_alone() const override { return 8; }
  const TrafficHistory& traffic() const override { return traffic_; }
  const std::vector<ListenerStatus>& listeners() const override { return listeners_; }
  std::vector<std::string> not_ready_reasons() const override { return reasons_; }
  std::string source() const override { return "consul"; }
  bool restored() const override { return restored_; }
  bool has_consul() const override { return has_consul_; }
  ConsulStatus consul() const override { return consul_; }
  SnapshotPtr snapshot() const override { return snapshot_; }
  InstanceListPtr instances(const std::string& service) const override {
    return service == "web" ? list_ : nullptr;
  }
  std::vector<DocumentStatus> documents() const override { return documents_; }
  std::deque<ConfigChange> history() const override { return history_; }
  void eject(const std::string& service, const Instance& instance) override {
    done_.push_back("eject " + service + " " + instance.id + " on " + instance.node);
    instance.state->ejected_until_ms = InstanceState::kUntilRestored;
  }
  void restore(const std::string& service, const Instance& instance) override {
    done_.push_back("restore " + service + " " + instance.id + " on " + instance.node);
    instance.state->ejected_until_ms = 0;
  }
  void drain() override { done_.emplace_back("drain"); }

  Metrics metrics_;
  TrafficHistory traffic_;
  std::vector<ListenerStatus> listeners_ = {{"http", "127.0.0.1:8080"}};
  GatewayState state_ = GatewayState::kReady;
  std::vector<std::string> reasons_;
  bool restored_ = false;
  bool has_consul_ = true;
  ConsulStatus consul_;
  SnapshotPtr snapshot_;
  InstanceListPtr list_;
  std::vector<DocumentStatus> documents_;
  std::deque<ConfigChange> history_;
  std::vector<std::string> done_;
};

class Admin {
 public:
  explicit Admin(const std::optional<std::string>& token = {}, const std::string& host_name = {})
      : api_(source, {.token = token, .host_name = host_name, .now = [] { return kNow; }}) {
    log::set_level(log::Level::kOff);  // operators' acts are logged
  }
  ~Admin() { log::set_level(level_); }

  AdminResponse ask(std::string_view method, std::string_view target, const FieldList& list = {},
                    std::string_view body = {}, std::string_view host = "127.0.0.1:9900") {
    Arena arena;
    Fields fields;
    for (const auto& [name, value] : list) fields.add(arena, name, value);
    const size_t mark = std::min(target.find('?'), target.size());
    AdminRequest request;
    request.method = method;
    request.path = target.substr(0, mark);
    request.query = mark < target.size() ? target.substr(mark + 1) : std::string_view{};
    request.host = host;
    request.fields = &fields;
    request.body = body;
    return api_.handle(request);
  }

  Json json(std::string_view target) {
    const AdminResponse response = ask("GET", target);
    CHECK(response.status == 200);
    CHECK(response.content_type == "application/json");
    return Json::parse(response.body);
  }

  FakeSource source;

 private:
  const log::Level level_ = log::level();
  AdminApi api_;
};

std::string header(const AdminResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

void check_problem(const AdminResponse& response, int status, std::string_view code) {
  CHECK(int{response.status} == status);
  CHECK(response.content_type == "application/problem+json");
  const Json json = Json::parse(response.body);
  CHECK(json["status"] == status);
  CHECK(json["code"] == code);
  CHECK(json["title"].is_string());
  CHECK(header(response, "Cache-Control") == "no-store");
}

std::vector<std::string> keys(const Json& object) {
  std::vector<std::string> names;
  for (const auto& item : object.items()) names.push_back(item.key());
  return names;
}

// --- what calls answer ---------------------------------------------------------------------------

TEST_CASE("admin: alive and ready") {
  Admin admin;
  CHECK(admin.ask("GET", "/healthz").status == 200);
  CHECK(admin.json("/readyz") == Json::parse(R"({"ready": true, "reasons": []})"));

  admin.source.restored_ = true;
  CHECK(admin.ask("GET", "/readyz").status == 200);
  CHECK(admin.json("/readyz")["note"] == "restored from the snapshot");
  admin.source.restored_ = false;

  admin.source.state_ = GatewayState::kStarting;
  admin.source.reasons_ = {"service web was not read yet"};
  AdminResponse response = admin.ask("GET", "/readyz");
  CHECK(response.status == 503);
  CHECK(Json::parse(response.body)["reasons"][0] == "service web was not read yet");

  admin.source.reasons_.clear();
  for (const auto& [state, reason] : {std::pair{GatewayState::kStarting, "starting"},
                                      std::pair{GatewayState::kDraining, "draining"}}) {
    admin.source.state_ = state;
    response = admin.ask("GET", "/readyz");
    CHECK(response.status == 503);
    CHECK(Json::parse(response.body)["reasons"] == Json::array({reason}));
    CHECK(admin.ask("GET", "/healthz").status == 200);
  }
}

TEST_CASE("admin: status") {
  Admin admin;
  admin.source.consul_.address = "http://127.0.0.1:8500";
  admin.source.consul_.connected = true;
  admin.source.consul_.staleness_s = 1.23456;
  admin.source.consul_.queries = 4;
  admin.source.metrics_.worker(0).connections[0].add(3);
  const Json json = admin.json("/v1/status");
  CHECK(keys(json) == std::vector<std::string>{"version", "uptime_s", "state", "workers",
                                               "config_revision", "source", "listeners", "consul"});
  CHECK(json["listeners"] ==
        Json::parse(R"([{"name": "http", "address": "127.0.0.1:8080", "connections": 3}])"));
  CHECK(json["version"] == version());
  CHECK(json["uptime_s"] == 12.346);
  CHECK(json["state"] == "ready");
  CHECK(json["workers"] == 2);
  CHECK(json["config_revision"] == 7);
  CHECK(json["source"] == "consul");
  CHECK(json["consul"] == Json::parse(R"({"address": "http://127.0.0.1:8500", "connected": true,
      "known_leader": false, "staleness_s": 1.235, "queries": 4, "connections": 0,
      "errors_total": 0, "last_error": null})"));

  admin.source.consul_.last_error = "kv lictor: HTTP 500";
  CHECK(admin.json("/v1/status")["consul"]["last_error"] == "kv lictor: HTTP 500");
  admin.source.has_consul_ = false;
  admin.source.snapshot_ = nullptr;
  CHECK(admin.json("/v1/status")["consul"].is_null());
  CHECK(admin.json("/v1/status")["config_revision"] == 0);
}

TEST_CASE("admin: routes") {
  Admin admin;
  const auto cells = admin.source.metrics_.route(0, "users");
  cells->count(0, "web", Method::kGet, 200, 1);
  const Json wanted = Json::parse(R"([{"name": "users", "hosts": ["api.example.com"],
      "paths": ["/user/*"], "methods": ["GET", "HEAD"], "priority": 0,
      "backends": [{"service": "web", "weight": 90}, {"service": "next", "weight": 10}],
      "filters": [], "timeout": "15s", "requests_total": 1}])");
  CHECK(admin.json("/v1/routes") == wanted);
  CHECK(admin.json("/v1/routes/users") == wanted);
  CHECK(admin.json("/v1/routes/%75sers") == wanted);
  check_problem(admin.ask("GET", "/v1/routes/nobody"), 404, "not_found");

  admin.source.snapshot_ = nullptr;
  CHECK(admin.json("/v1/routes") == Json::array());
  check_problem(admin.ask("GET", "/v1/routes/users"), 404, "not_found");
}

TEST_CASE("admin: upstreams") {
  Admin admin;
  const auto cells = admin.source.metrics_.instance(0, "web", "web-1");
  cells->active.add(1);
  cells->outcomes[static_cast<size_t>(Outcome::kOk)].add(8);
  cells->outcomes[static_cast<size_t>(Outcome::kTimeout)].add(2);
  Json json = admin.json("/v1/upstreams");
  REQUIRE(json.size() == 2);
  CHECK(json[0] == Json::parse(R"({"service": "next", "balance": "weighted_round_robin",
                                   "instances": []})"));
  CHECK(json[1]["instances"][0] == Json::parse(R"({"id": "web-1", "address": "10.0.0.1:80",
      "weight": 3, "health": "passing", "usable": true, "ejected": false, "ejected_until": null,
      "consecutive_failures": 0, "active_requests": 1, "requests_total": 10, "failures_total": 2,
      "node": "node-1", "datacenter": "dc1", "tags": ["v1"], "meta": {"zone": "a"}})"));
  CHECK(admin.json("/v1/upstreams/web") == Json::array({json[1]}));
  check_problem(admin.ask("GET", "/v1/upstreams/nobody"), 404, "not_found");

  auto& state = *admin.source.list_->instances[0].state;
  state.consecutive_failures = 5;
  state.ejected_until_ms = kNow.steady_ms + 30'000;
  json = admin.json("/v1/upstreams/web")[0]["instances"][0];
  CHECK(json["ejected"] == true);
  CHECK(json["ejected_until"] == "2025-02-01T00:00:29.123Z");
  CHECK(json["consecutive_failures"] == 5);

  state.ejected_until_ms = InstanceState::kUntilRestored;
  json = admin.json("/v1/upstreams/web")[0]["instances"][0];
  CHECK(json["ejected"] == true);
  CHECK(json["ejected_until"].is_null());
}

TEST_CASE("admin: configuration") {
  Admin admin;
  admin.source.documents_ = {
      {"lictor/routes/a", DocumentState::kActive, "", "", 11},
      {"lictor/routes/b", DocumentState::kStale, "$.path: must begin with /", "", 12},
      {"lictor/routes/c", DocumentState::kRejected, "$: no JSON", "", 13},
      {"lictor/routes/d", DocumentState::kActive, "", "never chosen", 14}};
  admin.source.history_ = {{7, kNow.system_ms, {"lictor/routes/a", "lictor/routes/d"}}};
  CHECK(admin.json("/v1/config") == Json::parse(R"({"revision": 7, "documents": [
      {"key": "lictor/routes/a", "state": "active", "error": null, "modify_index": 11},
      {"key": "lictor/routes/b", "state": "stale", "error": "$.path: must begin with /",
       "modify_index": 12},
      {"key": "lictor/routes/c", "state": "rejected", "error": "$: no JSON", "modify_index": 13},
      {"key": "lictor/routes/d", "state": "active", "error": null, "modify_index": 14,
       "warning": "never chosen"}],
      "history": [{"revision": 7, "time": "2025-01-31T23:59:59.123Z",
                   "changed": ["lictor/routes/a", "lictor/routes/d"]}]})"));
}

TEST_CASE("admin: metrics") {
  Admin admin;
  auto instances =
      std::vector<Instance>{make_instance("a", "10.0.0.1:80"), make_instance("b", "10.0.0.2:80"),
                            make_instance("c", "10.0.0.3:80"), make_instance("d", "10.0.0.4:80")};
  instances[1].health = Health::kWarning;
  instances[2].health = Health::kCritical;
  admin.source.set_instances(std::move(instances));
  for (const Instance& instance : admin.source.list_->instances) {
    if (instance.id == "c" || instance.id == "d") admin.source.eject("web", instance);
    if (instance.id == "d") instance.state->ejections_total = 4;
  }
  admin.source.documents_ = {{"lictor/routes/b", DocumentState::kStale, "bad", "", 1},
                             {"lictor/routes/c", DocumentState::kActive, "", "", 2}};
  const AdminResponse response = admin.ask("GET", "/metrics");
  CHECK(response.status == 200);
  CHECK(response.content_type == "text/plain; version=0.0.4; charset=utf-8");
  const auto has = [&response](const std::string& line) {
    return ("\n" + response.body).find("\n" + line + "\n") != std::string::npos;
  };
  CHECK(has(R"(lictor_upstream_instances{service="web",state="passing"} 1)"));
  CHECK(has(R"(lictor_upstream_instances{service="web",state="warning"} 1)"));
  CHECK(has(R"(lictor_upstream_instances{service="web",state="critical"} 1)"));
  CHECK(has(R"(lictor_upstream_instances{service="web",state="ejected"} 1)"));
  CHECK(has(R"(lictor_upstream_instances{service="next",state="passing"} 0)"));
  CHECK(has(R"(lictor_upstream_ejections_total{service="web",instance="d"} 4)"));
  CHECK(has("lictor_config_revision 7"));
  CHECK(has("lictor_config_rejected_documents 1"));
  CHECK(has("lictor_access_log_dropped_total 9"));
  CHECK(has("lictor_rate_limit_redis_errors_total 8"));
  CHECK(has("lictor_consul_connected 0"));
  CHECK(has("lictor_build_info{version=\"" + std::string(version()) + "\"} 1"));
}

TEST_CASE("admin: an operator ejects and restores") {
  Admin admin;
  AdminResponse response = admin.ask("POST", "/v1/upstreams/web/instances/web-1/eject");
  CHECK(response.status == 200);
  Json json = Json::parse(response.body);
  CHECK(json["id"] == "web-1");
  CHECK(json["ejected"] == true);
  CHECK(json["ejected_until"].is_null());
  response = admin.ask("POST", "/v1/upstreams/web/instances/web-1/restore");
  CHECK(response.status == 200);
  CHECK(Json::parse(response.body)["ejected"] == false);
  CHECK(admin.ask("POST", "/v1/upstreams/web/instances/web%2F2/eject").status == 200);
  CHECK(admin.source.done_ == std::vector<std::string>{"eject web web-1 on node-1",
                                                       "restore web web-1 on node-1",
                                                       "eject web web/2 on node-1"});

  check_problem(admin.ask("POST", "/v1/upstreams/web/instances/web-9/eject"), 404, "not_found");
  check_problem(admin.ask("POST", "/v1/upstreams/nobody/instances/x/eject"), 404, "not_found");
  check_problem(admin.ask("POST", "/v1/upstreams/next/instances/x/eject"), 404, "not_found");
  CHECK(admin.source.done_.size() == 3);
}

TEST_CASE("admin: an ID on two nodes needs the node") {
  Admin admin;
  auto other = make_instance("web-1", "10.0.0.9:80");
  other.node = "node 2";
  admin.source.set_instances({make_instance("web-1", "10.0.0.1:80"), other});
  const std::string path = "/v1/upstreams/web/instances/web-1/eject";
  check_problem(admin.ask("POST", path), 409, "ambiguous");
  check_problem(admin.ask("POST", path + "?node=node-3"), 404, "not_found");
  CHECK(admin.source.done_.empty());
  CHECK(admin.ask("POST", path + "?x=1&node=node%202").status == 200);
  CHECK(admin.source.done_ == std::vector<std::string>{"eject web web-1 on node 2"});
}

TEST_CASE("admin: drain") {
  Admin admin;
  const AdminResponse response = admin.ask("POST", "/v1/drain");
  CHECK(response.status == 202);
  CHECK(Json::parse(response.body)["state"] == "draining");
  CHECK(admin.source.done_ == std::vector<std::string>{"drain"});
}

TEST_CASE("admin: the log level") {
  Admin admin;
  const auto put = [&admin](std::string_view body) {
    return admin.ask("PUT", "/v1/log-level", {}, body);
  };
  CHECK(put(R"({"level": "error"})").status == 200);
  CHECK(log::level() == log::Level::kError);
  CHECK(admin.json("/v1/log-level") == Json::parse(R"({"level": "error"})"));
  for (const std::string_view bad :
       {R"({"level": "loud"})", R"({"level": 1})", R"({"level": "info", "more": 1})", "[]", "{}",
        "", "{", "\"info\"", "null", "{\"level\": \"in\xff\"}"}) {
    check_problem(put(bad), 400, "bad_request");
  }
  check_problem(put(std::string(100'000, '[')), 400, "bad_request");
  CHECK(log::level() == log::Level::kError);
}

TEST_CASE("admin: traffic of now, of all that is kept, and by second") {
  Admin admin;
  TrafficTotals totals;
  admin.source.traffic_.look(1'000'000, totals);
  totals.by_class[2] = 30;
  totals.by_class[5] = 10;
  totals.buckets[1] = 40;  // up to 1 ms
  totals.bytes_out = 500;
  totals.connections = 4;
  admin.source.traffic_.look(1'001'000, totals);
  admin.source.traffic_.look(1'002'000, totals);

  const Json json = admin.json("/v1/stats");
  CHECK(json["interval_s"] == 1.0);
  CHECK(json["now"]["requests_per_s"] == 20.0);
  CHECK(json["now"]["error_share"] == 0.25);
  CHECK(json["now"]["p50_ms"] == 0.75);
  CHECK(json["now"]["bytes_out_per_s"] == 250.0);
  CHECK(json["now"]["connections"] == 4);
  CHECK(json["window"] == json["now"]);
  CHECK(json["samples"] == Json::parse(R"({"time": [1001.0, 1002.0], "requests_per_s": [40.0, 0.0],
      "errors_per_s": [10.0, 0.0], "p50_ms": [0.75, null], "p95_ms": [0.975, null],
      "p99_ms": [0.995, null]})"));

  const Json later = admin.json("/v1/stats?since=1001");
  CHECK(later["samples"]["time"] == Json::array({1002.0}));
  CHECK(later["window"] == json["window"]);
  CHECK(admin.json("/v1/stats?since=1002")["samples"]["time"].empty());
  for (const std::string_view bad : {"x", "1x", "nan", "inf", "1e300"}) {
    check_problem(admin.ask("GET", "/v1/stats?since=" + std::string(bad)), 400, "bad_request");
  }
}

TEST_CASE("admin: the page of a build, with or without the dashboard, is closed to all others") {
  Admin admin;
  const AdminResponse response = admin.ask("GET", "/");
  CHECK(response.status == 200);
  CHECK(response.content_type == "text/html; charset=utf-8");
  const std::string policy = header(response, "Content-Security-Policy");
  CHECK(policy.starts_with("default-src 'none'; "));
  CHECK(policy.find("unsafe") == std::string::npos);
  CHECK(policy.find("frame-ancestors 'none'") != std::string::npos);
  if (find_asset("index.html") == nullptr) {
    CHECK(response.body.find("scripts/setup") != std::string::npos);
    for (const AdminCall& call : admin_calls()) {
      CHECK(response.body.find(call.pattern) != std::string::npos);
    }
  } else {
    CHECK(response.body == find_asset("index.html")->bytes);
    CHECK(admin.ask("GET", "/assets/main.js").content_type == "text/javascript; charset=utf-8");
  }
  check_problem(admin.ask("GET", "/assets/nothing.js"), 404, "not_found");
  CHECK(admin.ask("GET", "/assets/../main.js").status == 404);
}

TEST_CASE("admin: the OpenAPI document has each call, and no other") {
  Admin admin;
  const Json paths = admin.json("/v1/openapi.json")["paths"];
  std::vector<std::string> written;
  for (const auto& [path, operations] : paths.items()) {
    for (const auto& operation : operations.items()) {
      std::string method = operation.key();
      for (char& c : method) c = static_cast<char>(c & ~0x20);
      written.push_back(method + " " + path);
    }
  }
  std::vector<std::string> there;
  for (const AdminCall& call : admin_calls()) {
    there.push_back(std::string(call.method) + " " + std::string(call.pattern));
    const Json& operation = paths[std::string(call.pattern)];
    // What is open says so.
    const char* method = call.method == "GET" ? "get" : call.method == "PUT" ? "put" : "post";
    CHECK(operation[method].contains("security") == call.open);
  }
  std::sort(written.begin(), written.end());
  std::sort(there.begin(), there.end());
  CHECK(written == there);
}

// --- who may ask, and how ------------------------------------------------------------------------

TEST_CASE("admin: HEAD is GET, other methods are told what is allowed") {
  Admin admin;
  for (const AdminCall& call : admin_calls()) {
    if (call.method != "GET" || call.pattern.find('{') != std::string_view::npos) continue;
    if (call.pattern == "/v1/explain") continue;  // needs a query
    const AdminResponse head = admin.ask("HEAD", call.pattern);
    CHECK(head.status == 200);
    CHECK(head.content_type == admin.ask("GET", call.pattern).content_type);
  }
  AdminResponse response = admin.ask("DELETE", "/v1/status");
  check_problem(response, 405, "method_not_allowed");
  CHECK(header(response, "Allow") == "GET, HEAD");
  CHECK(header(admin.ask("POST", "/v1/log-level"), "Allow") == "GET, HEAD, PUT");
  response = admin.ask("GET", "/v1/upstreams/web/instances/web-1/eject");
  check_problem(response, 405, "method_not_allowed");
  CHECK(header(response, "Allow") == "POST");
  CHECK(header(admin.ask("OPTIONS", "/v1/drain"), "Allow") == "POST");
  check_problem(admin.ask("get", "/v1/status"), 405, "method_not_allowed");
  CHECK(admin.source.done_.empty());
}

TEST_CASE("admin: paths that are none") {
  Admin admin;
  for (const std::string_view path : {"",
                                      "*",
                                      "v1/status",
                                      "/v1",
                                      "/v1/",
                                      "/v1/status/",
                                      "//v1/status",
                                      "/v1//status",
                                      "/V1/STATUS",
                                      "/v1/routes/",
                                      "/v1/routes/users/",
                                      "/v1/routes/a/b",
                                      "/v1/upstreams//instances/x/eject",
                                      "/v1/upstreams/web/instances//eject",
                                      "/v1/upstreams/web/instances/web-1/destroy",
                                      "/v1/./status",
                                      "/v1/x/../status",
                                      "/v1/%73tatus",
                                      "/../../etc/passwd",
                                      "/%2e%2e/etc/passwd"}) {
    CAPTURE(path);
    check_problem(admin.ask("GET", path), 404, "not_found");
    check_problem(admin.ask("POST", path), 404, "not_found");
  }
  for (const std::string_view path :
       {"/v1/routes/%", "/v1/routes/%2", "/v1/routes/%zz", "/v1/routes/a%2", "/v1/routes/%%41"}) {
    CAPTURE(path);
    check_problem(admin.ask("GET", path), 400, "bad_request");
  }
  // Bytes that are no text come back as JSON all the same.
  for (const std::string_view path : {"/v1/routes/%ff%00%0a%22", "/v1/routes/\xff\xfe\"\n"}) {
    check_problem(admin.ask("GET", path), 404, "not_found");
  }
}

TEST_CASE("admin: the Host is an address, localhost or the configured name") {
  Admin admin({}, "Edge.example.com");
  const auto status = [&admin](std::string_view host) {
    return int{admin.ask("GET", "/v1/status", {}, {}, host).status};
  };
  for (const std::string_view host :
       {"127.0.0.1", "127.0.0.1:9900", "10.1.2.3:80", "[::1]", "[::1]:9900", "localhost",
        "LocalHost:9900", "edge.example.com", "edge.example.com:9900", ""}) {
    CAPTURE(host);
    CHECK(status(host) == 200);
  }
  for (const std::string_view host :
       {"evil.example.com", "evil.example.com:9900", "127.0.0.1.evil.example.com",
        "localhost.evil.example.com", "edge.example.com.evil.example", "127.0.0.1@evil.example",
        "[::1].evil.example.com", "127.1", "0x7f000001", "[::1", ":9900", "xn--localhost"}) {
    CAPTURE(host);
    CHECK(status(host) == 421);
  }
  check_problem(admin.ask("POST", "/v1/drain", {}, {}, "evil.example.com"), 421,
                "misdirected_request");
  CHECK(admin.source.done_.empty());
}

TEST_CASE("admin: a page of another site changes nothing") {
  Admin admin;
  const auto drain = [&admin](const FieldList& fields) {
    return int{admin.ask("POST", "/v1/drain", fields, {}, "localhost:9900").status};
  };
  for (const FieldList& fields : std::initializer_list<FieldList>{
           {{"Origin", "http://evil.example.com"}},
           {{"Origin", "http://localhost:3000"}},  // another port is another origin
           {{"Origin", "null"}},
           {{"Origin", ""}},
           {{"Origin", "http://localhost:9900.evil.example.com"}},
           {{"Origin", "http://localhost:9900"}, {"Origin", "http://evil.example.com"}},
           {{"Sec-Fetch-Site", "cross-site"}},
           {{"Sec-Fetch-Site", "same-site"}},
           {{"sec-fetch-site", "cross-site"}, {"Origin", "http://localhost:9900"}}}) {
    CHECK(drain(fields) == 403);
  }
  check_problem(admin.ask("PUT", "/v1/log-level", {{"Origin", "http://evil.example.com"}},
                          R"({"level": "trace"})"),
                403, "forbidden");
  CHECK(log::level() == log::Level::kOff);
  CHECK(admin.source.done_.empty());

  CHECK(drain({}) == 202);  // no browser
  CHECK(drain({{"Origin", "http://localhost:9900"}, {"Sec-Fetch-Site", "same-origin"}}) == 202);
  CHECK(drain({{"Sec-Fetch-Site", "none"}}) == 202);
  // Reading is for everybody who may ask at all: the browser keeps the answer from the page.
  CHECK(admin.ask("GET", "/v1/status", {{"Origin", "http://evil.example.com"}}).status == 200);
}

TEST_CASE("admin: with a token only those who have it") {
  Admin admin("s3cret");
  const auto status = [&admin](const FieldList& fields) {
    return int{admin.ask("GET", "/v1/status", fields).status};
  };
  CHECK(status({{"Authorization", "Bearer s3cret"}}) == 200);
  CHECK(status({{"authorization", "bearer  s3cret "}}) == 200);
  for (const FieldList& fields : std::initializer_list<FieldList>{
           {},
           {{"Authorization", ""}},
           {{"Authorization", "Bearer"}},
           {{"Authorization", "Bearer "}},
           {{"Authorization", "Bearer s3cre"}},
           {{"Authorization", "Bearer s3cret2"}},
           {{"Authorization", "Bearer s3creT"}},
           {{"Authorization", "Bearer s3crets3cret"}},
           {{"Authorization", "Basic s3cret"}},
           {{"Authorization", "s3cret"}},
           {{"X-Token", "s3cret"}},
           {{"Authorization", "Bearer s3cret"}, {"Authorization", "Bearer s3cret"}}}) {
    CHECK(status(fields) == 401);
  }
  const AdminResponse response = admin.ask("POST", "/v1/drain");
  check_problem(response, 401, "unauthorized");
  CHECK(header(response, "WWW-Authenticate") == "Bearer realm=\"lictor\"");
  CHECK(admin.source.done_.empty());
  CHECK(admin.ask("GET", "/no/such/call").status == 401);

  CHECK(admin.ask("GET", "/healthz").status == 200);
  CHECK(admin.ask("GET", "/readyz").status == 200);
  CHECK(admin.ask("GET", "/metrics").status == 401);
  // The page that asks for it.
  CHECK(admin.ask("GET", "/").status == 200);
  CHECK(admin.ask("GET", "/assets/nothing").status == 404);
  CHECK(admin.ask("GET", "/assets/").status == 401);
}

TEST_CASE("admin: an empty token lets nobody in") {
  Admin admin("");
  CHECK(admin.ask("GET", "/v1/status").status == 401);
  CHECK(admin.ask("GET", "/v1/status", {{"Authorization", "Bearer "}}).status == 401);
  CHECK(admin.ask("GET", "/healthz").status == 200);
}

TEST_CASE("admin: no answer is to be stored or guessed at") {
  Admin admin;
  for (const std::string_view path : {"/", "/healthz", "/metrics", "/v1/status", "/nothing"}) {
    const AdminResponse response = admin.ask("GET", path);
    CHECK(header(response, "Cache-Control") == "no-store");
    CHECK(header(response, "X-Content-Type-Options") == "nosniff");
  }
}

}  // namespace
}  // namespace lictor
