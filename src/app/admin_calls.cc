// What each call of the admin port answers. Every handler has the same shape; the table at the end
// is the whole of the port.
#include "app/admin_calls.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>

#include "app/admin_explain.h"
#include "app/admin_scrape.h"
#include "base/duration.h"
#include "base/log.h"
#include "base/version.h"

namespace lictor {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kProblem = "application/problem+json";

std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

AdminResponse json_response(const Json& json, uint16_t status = 200) {
  return {status, kJson, dump(json), {}};
}

AdminResponse not_found(std::string_view what, std::string_view name) {
  return admin_problem(404, "not_found", "Not Found",
                       "no such " + std::string(what) + ": " + std::string(name));
}

std::string rfc3339(int64_t time_ms) {
  const auto time = static_cast<time_t>(time_ms / 1000);
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 48> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.", &parts);
  const std::string millis = std::to_string(1000 + time_ms % 1000);
  return std::string(text.data(), size) + millis.substr(1) + "Z";
}

double to_millis_precision(double seconds) { return std::round(seconds * 1000) / 1000; }

// --- health --------------------------------------------------------------------------------------

std::vector<std::string> reasons_not_ready(const AdminSource& source) {
  std::vector<std::string> reasons = source.not_ready_reasons();
  if (source.state() == GatewayState::kDraining) reasons.emplace_back("draining");
  if (source.state() == GatewayState::kStarting && reasons.empty()) {
    reasons.emplace_back("starting");
  }
  return reasons;
}

AdminResponse get_healthz(AdminContext&) { return json_response({{"alive", true}}); }

AdminResponse get_readyz(AdminContext& context) {
  const auto reasons = reasons_not_ready(context.source);
  const bool ready = reasons.empty();
  Json json = {{"ready", ready}, {"reasons", reasons}};
  if (context.source.restored()) json["note"] = "restored from the snapshot";
  return json_response(json, ready ? 200 : 503);
}

// --- metrics -------------------------------------------------------------------------------------

AdminResponse get_metrics(AdminContext& context) {
  return {200,
          "text/plain; version=0.0.4; charset=utf-8",
          context.source.metrics().render(scrape_input(context.source)),
          {}};
}

// --- status --------------------------------------------------------------------------------------

std::string_view state_name(GatewayState state) {
  switch (state) {
    case GatewayState::kStarting:
      return "starting";
    case GatewayState::kReady:
      return "ready";
    case GatewayState::kDraining:
      break;
  }
  return "draining";
}

Json consul_json(const ConsulStatus& consul) {
  return {{"address", consul.address},
          {"connected", consul.connected},
          {"known_leader", consul.known_leader},
          {"staleness_s", to_millis_precision(consul.staleness_s)},
          {"queries", consul.queries},
          {"connections", consul.connections},
          {"errors_total", consul.errors_total},
          {"last_error", consul.last_error.empty() ? Json() : Json(consul.last_error)}};
}

AdminResponse get_status(AdminContext& context) {
  const AdminSource& source = context.source;
  const SnapshotPtr snapshot = source.snapshot();
  return json_response({{"version", version()},
                        {"uptime_s", to_millis_precision(source.uptime_s())},
                        {"state", state_name(source.state())},
                        {"workers", source.workers()},
                        {"config_revision", snapshot ? snapshot->revision : 0},
                        {"source", source.source()},
                        {"consul", source.has_consul() ? consul_json(source.consul()) : Json()}});
}

// --- routes --------------------------------------------------------------------------------------

Json route_json(const Route& route, const Metrics& metrics) {
  Json backends = Json::array();
  for (const Backend& backend : route.backends) {
    backends.push_back(backend_json(backend));
  }
  Json filters = Json::array();
  for (const auto& filter : route.filters) filters.push_back(filter->name());
  return {{"name", route.name},
          {"hosts", route.hosts},
          {"paths", route.paths},
          {"methods", route.methods},
          {"priority", route.priority},
          {"backends", std::move(backends)},
          {"filters", std::move(filters)},
          {"timeout", format_duration(route.timeout)},
          {"requests_total", metrics.route_total(route.name)}};
}

AdminResponse get_routes(AdminContext& context) {
  Json list = Json::array();
  if (const SnapshotPtr snapshot = context.source.snapshot()) {
    for (const auto& route : snapshot->routes) {
      list.push_back(route_json(*route, context.source.metrics()));
    }
  }
  return json_response(list);
}

AdminResponse get_route(AdminContext& context) {
  const SnapshotPtr snapshot = context.source.snapshot();
  const Route* route = snapshot ? snapshot->find_route(context.params[0]) : nullptr;
  if (route == nullptr) return not_found("route", context.params[0]);
  return json_response(Json::array({route_json(*route, context.source.metrics())}));
}

// --- upstreams -----------------------------------------------------------------------------------

std::string_view balance_name(Balance balance) {
  switch (balance) {
    case Balance::kWeightedRoundRobin:
      return "weighted_round_robin";
    case Balance::kRoundRobin:
      return "round_robin";
    case Balance::kRandom:
      return "random";
    case Balance::kLeastRequest:
      return "least_request";
    case Balance::kRingHash:
      break;
  }
  return "ring_hash";
}

// Null while it is in, and when an operator ejected it: that ends with a restore alone.
Json ejected_until(int64_t until_ms, const AdminApi::Now& now) {
  if (until_ms == 0 || until_ms == InstanceState::kUntilRestored) return nullptr;
  return rfc3339(now.system_ms + until_ms - now.steady_ms);
}

Json instance_json(const std::string& service, const Instance& instance, const Metrics& metrics,
                   const AdminApi::Now& now) {
  const int64_t until = instance.state ? instance.state->ejected_until_ms.load() : 0;
  const InstanceTotals totals = metrics.instance_totals(service, instance.id);
  return {
      {"id", instance.id},
      {"address", instance.address},
      {"weight", instance.weight},
      {"health", health_name(instance.health)},
      {"usable", instance.usable},
      {"ejected", until != 0},
      {"ejected_until", ejected_until(until, now)},
      {"consecutive_failures", instance.state ? instance.state->consecutive_failures.load() : 0U},
      {"active_requests", totals.active},
      {"requests_total", totals.total},
      {"failures_total", totals.failures},
      {"node", instance.node},
      {"datacenter", instance.datacenter},
      {"tags", instance.tags},
      {"meta", instance.meta}};
}

Json upstream_json(const Upstream& upstream, AdminContext& context) {
  Json instances = Json::array();
  if (const InstanceListPtr list = context.source.instances(upstream.service)) {
    for (const Instance& instance : list->instances) {
      instances.push_back(
          instance_json(upstream.service, instance, context.source.metrics(), context.now));
    }
  }
  return {{"service", upstream.service},
          {"balance", balance_name(upstream.policy.balance)},
          {"instances", std::move(instances)}};
}

AdminResponse get_upstreams(AdminContext& context) {
  Json list = Json::array();
  if (const SnapshotPtr snapshot = context.source.snapshot()) {
    for (const auto& upstream : snapshot->upstreams) {
      list.push_back(upstream_json(*upstream, context));
    }
  }
  return json_response(list);
}

AdminResponse get_upstream(AdminContext& context) {
  const SnapshotPtr snapshot = context.source.snapshot();
  const Upstream* upstream = snapshot ? snapshot->find_upstream(context.params[0]) : nullptr;
  if (upstream == nullptr) return not_found("upstream", context.params[0]);
  return json_response(Json::array({upstream_json(*upstream, context)}));
}

// The value of ?name=, decoded; empty when there is none.
std::string query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(part.size() + 1, query.size()));
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos || part.substr(0, equals) != name) continue;
    std::string value;
    return percent_decode(part.substr(equals + 1), value) ? value : std::string();
  }
  return {};
}

// A service's IDs are unique on one node only, so the node may be needed to tell two apart.
std::vector<const Instance*> instances_named(const InstanceList& list, std::string_view id,
                                             std::string_view node) {
  std::vector<const Instance*> found;
  for (const Instance& instance : list.instances) {
    if (instance.id == id && (node.empty() || instance.node == node)) found.push_back(&instance);
  }
  return found;
}

AdminResponse change_instance(AdminContext& context, bool eject) {
  const auto& [service, id] = context.params;
  const SnapshotPtr snapshot = context.source.snapshot();
  const InstanceListPtr list = context.source.instances(service);
  if (!snapshot || snapshot->find_upstream(service) == nullptr || !list) {
    return not_found("upstream", service);
  }
  const auto found = instances_named(*list, id, query_value(context.request.query, "node"));
  if (found.empty()) return not_found("instance", id);
  if (found.size() > 1) {
    return admin_problem(409, "ambiguous", "Conflict",
                         "instances of that ID are on several nodes: add ?node=NAME");
  }
  const Instance& instance = *found.front();
  if (eject) {
    context.source.eject(service, instance);
  } else {
    context.source.restore(service, instance);
  }
  return json_response(instance_json(service, instance, context.source.metrics(), context.now));
}

AdminResponse post_eject(AdminContext& context) { return change_instance(context, true); }
AdminResponse post_restore(AdminContext& context) { return change_instance(context, false); }

// --- configuration -------------------------------------------------------------------------------

Json document_json(const DocumentStatus& document) {
  Json json = {{"key", document.key},
               {"state", document_state_name(document.state)},
               {"error", document.error.empty() ? Json() : Json(document.error)},
               {"modify_index", document.modify_index}};
  if (!document.warning.empty()) json["warning"] = document.warning;
  return json;
}

AdminResponse get_config(AdminContext& context) {
  Json documents = Json::array();
  for (const auto& document : context.source.documents()) {
    documents.push_back(document_json(document));
  }
  Json history = Json::array();
  for (const ConfigChange& change : context.source.history()) {
    history.push_back({{"revision", change.revision},
                       {"time", rfc3339(change.time_ms)},
                       {"changed", change.changed}});
  }
  const SnapshotPtr snapshot = context.source.snapshot();
  return json_response({{"revision", snapshot ? snapshot->revision : 0},
                        {"documents", std::move(documents)},
                        {"history", std::move(history)}});
}

// --- the process ---------------------------------------------------------------------------------

AdminResponse post_drain(AdminContext& context) {
  log::info("admin: drain asked for by an operator");
  context.source.drain();
  return json_response({{"state", state_name(GatewayState::kDraining)}}, 202);
}

AdminResponse log_level_response() {
  return json_response({{"level", log::level_name(log::level())}});
}

AdminResponse get_log_level(AdminContext&) { return log_level_response(); }

AdminResponse put_log_level(AdminContext& context) {
  const Json json = Json::parse(context.request.body, nullptr, false);
  const bool right_form =
      json.is_object() && json.size() == 1 && json.contains("level") && json["level"].is_string();
  const auto level = right_form ? log::parse_level(json["level"].get<std::string>()) : std::nullopt;
  if (!level) {
    return admin_problem(400, "bad_request", "Bad Request",
                         "send {\"level\": \"trace|debug|info|warn|error|off\"}");
  }
  log::set_level(*level);
  log::info("admin: the log level is now {}", log::level_name(*level));
  return log_level_response();
}

// The server sends what comes after the head.
AdminResponse get_events(AdminContext&) {
  return {200, "text/event-stream", "retry: 2000\n\n", {}, true};
}

AdminResponse get_index(AdminContext&) {
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>lictor</title>\n"
      "<h1>lictor " +
      std::string(version()) + "</h1>\n<p>The admin port. What it answers:</p>\n<ul>\n";
  for (const AdminCall& call : admin_calls()) {
    const bool link = call.method == "GET" && call.pattern.find('{') == std::string_view::npos;
    page.append("<li><code>").append(call.method).append(" ");
    if (link) page.append("<a href=\"").append(call.pattern).append("\">");
    page.append(call.pattern).append(link ? "</a>" : "");
    page.append("</code> ").append(call.summary).append("</li>\n");
  }
  page += "</ul>\n</html>\n";
  return {200,
          "text/html; charset=utf-8",
          std::move(page),
          {{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"}}};
}

// --- the table -----------------------------------------------------------------------------------

constexpr auto kCalls = std::to_array<AdminCall>({
    {"GET", "/", "this page", get_index},
    {"GET", "/healthz", "200 while the process is alive", get_healthz, true},
    {"GET", "/readyz", "200 when it may get traffic, else 503 with the reasons", get_readyz, true},
    {"GET", "/metrics", "metrics for Prometheus", get_metrics},
    {"GET", "/v1/status", "the gateway and its Consul", get_status},
    {"GET", "/v1/routes", "all routes in force", get_routes},
    {"GET", "/v1/routes/{name}", "one of them", get_route},
    {"GET", "/v1/upstreams", "all services with their instances", get_upstreams},
    {"GET", "/v1/upstreams/{service}", "one of them", get_upstream},
    {"POST", "/v1/upstreams/{service}/instances/{id}/eject", "no traffic until restored",
     post_eject},
    {"POST", "/v1/upstreams/{service}/instances/{id}/restore", "traffic again", post_restore},
    {"GET", "/v1/config", "state of each document, and what changed when", get_config},
    {"GET", "/v1/explain", "which route takes ?method=GET&url=http://host/path, and why",
     get_explain},
    {"GET", "/v1/events", "changes as they happen, as server-sent events", get_events},
    {"POST", "/v1/drain", "finish what runs, take nothing new, then end", post_drain},
    {"GET", "/v1/log-level", "level of the gateway's own log", get_log_level},
    {"PUT", "/v1/log-level", "change it: {\"level\": \"debug\"}", put_log_level},
});

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

std::span<const AdminCall> admin_calls() { return kCalls; }

AdminResponse admin_problem(uint16_t status, std::string_view code, std::string_view title,
                            std::string_view detail) {
  return {status,
          kProblem,
          dump({{"title", title}, {"status", status}, {"code", code}, {"detail", detail}}),
          {}};
}

bool percent_decode(std::string_view text, std::string& out) {
  out.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) return false;
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return true;
}

}  // namespace lictor
