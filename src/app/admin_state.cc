// What the gateway tells of itself: health, status, traffic, documents.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "app/admin_answers.h"
#include "app/admin_calls.h"
#include "base/version.h"

namespace lictor {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> reasons_not_ready(const AdminSource& source) {
  std::vector<std::string> reasons = source.not_ready_reasons();
  if (source.state() == GatewayState::kDraining) reasons.emplace_back("draining");
  if (source.state() == GatewayState::kStarting && reasons.empty()) {
    reasons.emplace_back("starting");
  }
  return reasons;
}

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
          {"last_error", text_or_null(consul.last_error)}};
}

Json listeners_json(AdminSource& source) {
  Json list = Json::array();
  for (const ListenerStatus& listener : source.listeners()) {
    list.push_back({{"name", listener.name},
                    {"address", listener.address},
                    {"connections", source.metrics().connections(list.size())}});
  }
  return list;
}

// --- traffic -------------------------------------------------------------------------------------

double rate(uint64_t count, const TrafficSample& sample) {
  if (sample.span_ms == 0) return 0;
  return to_millis_precision(static_cast<double>(count) * 1000 /
                             static_cast<double>(sample.span_ms));
}

Json quantile(const TrafficSample& sample, double share) {
  const auto ms = sample.quantile_ms(share);
  return ms ? Json(to_millis_precision(*ms)) : Json();
}

Json error_share(const TrafficSample& sample) {
  const uint64_t requests = sample.requests();
  if (requests == 0) return nullptr;
  return static_cast<double>(sample.errors()) / static_cast<double>(requests);
}

double seconds(int64_t ms) { return static_cast<double>(ms) / 1000; }

Json summary_json(const TrafficSample& sum) {
  return {{"span_s", seconds(sum.span_ms)},
          {"requests", sum.requests()},
          {"errors", sum.errors()},
          {"requests_per_s", rate(sum.requests(), sum)},
          {"error_share", error_share(sum)},
          {"p50_ms", quantile(sum, 0.5)},
          {"p95_ms", quantile(sum, 0.95)},
          {"p99_ms", quantile(sum, 0.99)},
          {"bytes_in_per_s", rate(sum.bytes_in, sum)},
          {"bytes_out_per_s", rate(sum.bytes_out, sum)},
          {"connections", sum.connections}};
}

// A list a quantity, which is how charts want them, and half the size.
Json samples_json(const std::deque<TrafficSample>& samples, int64_t after_ms) {
  Json json;
  for (const char* name :
       {"time", "requests_per_s", "errors_per_s", "p50_ms", "p95_ms", "p99_ms"}) {
    json[name] = Json::array();
  }
  for (const TrafficSample& sample : samples) {
    if (sample.time_ms <= after_ms) continue;
    json["time"].push_back(seconds(sample.time_ms));
    json["requests_per_s"].push_back(rate(sample.requests(), sample));
    json["errors_per_s"].push_back(rate(sample.errors(), sample));
    json["p50_ms"].push_back(quantile(sample, 0.5));
    json["p95_ms"].push_back(quantile(sample, 0.95));
    json["p99_ms"].push_back(quantile(sample, 0.99));
  }
  return json;
}

Json document_json(const DocumentStatus& document) {
  Json json = {{"key", document.key},
               {"state", document_state_name(document.state)},
               {"error", text_or_null(document.error)},
               {"modify_index", document.modify_index}};
  if (!document.warning.empty()) json["warning"] = document.warning;
  return json;
}

}  // namespace

AdminResponse get_healthz(AdminContext&) { return json_response({{"alive", true}}); }

AdminResponse get_readyz(AdminContext& context) {
  const auto reasons = reasons_not_ready(context.source);
  const bool ready = reasons.empty();
  Json json = {{"ready", ready}, {"reasons", reasons}};
  if (context.source.restored()) json["note"] = "restored from the snapshot";
  return json_response(json, ready ? 200 : 503);
}

AdminResponse get_status(AdminContext& context) {
  AdminSource& source = context.source;
  const SnapshotPtr snapshot = source.snapshot();
  return json_response({{"version", version()},
                        {"uptime_s", to_millis_precision(source.uptime_s())},
                        {"state", state_name(source.state())},
                        {"workers", source.workers()},
                        {"config_revision", snapshot ? snapshot->revision : 0},
                        {"source", source.source()},
                        {"listeners", listeners_json(source)},
                        {"consul", source.has_consul() ? consul_json(source.consul()) : Json()}});
}

AdminResponse get_stats(AdminContext& context) {
  constexpr size_t kNow = 10;
  double since = 0;
  const std::string text = query_value(context.request.query, "since");
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), since);
  const bool number = error == std::errc() && end == text.data() + text.size();
  if (!text.empty() && !(number && std::abs(since) < 1e12)) {
    return bad_request("since= takes a time as in samples.time: seconds since 1970");
  }
  const TrafficHistory& traffic = context.source.traffic();
  const Json json = {{"interval_s", seconds(TrafficHistory::kIntervalMs)},
                     {"now", summary_json(traffic.last(kNow))},
                     {"window", summary_json(traffic.last(TrafficHistory::kSamples))},
                     {"samples", samples_json(traffic.samples(), std::llround(since * 1000))}};
  // Thousands of numbers: one a line helps nobody.
  return {200, "application/json", json.dump() + "\n", {}};
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

}  // namespace lictor
