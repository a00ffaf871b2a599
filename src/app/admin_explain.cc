// GET /v1/explain: model/explain.h as an answer of the admin port.
#include "app/admin_explain.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/admin_answers.h"
#include "app/admin_calls.h"
#include "http/pairs.h"
#include "model/explain.h"

namespace lictor {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxHeaders = 128;

// What is wrong; empty when nothing is.
std::string take_header(const std::string& text, ExplainRequest& out) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos || colon == 0) return "header= must be as in header=Name:value";
  if (out.headers.size() == kMaxHeaders) return "more than 128 headers";
  const size_t value = std::min(text.find_first_not_of(" \t", colon + 1), text.size());
  out.headers.emplace_back(text.substr(0, colon), text.substr(value));
  return {};
}

std::string read_query(std::string_view query, ExplainRequest& out) {
  PairReader reader(query, '&');
  for (Pair pair; reader.next(pair);) {
    std::string value;
    if (!percent_decode(pair.value, value)) return "malformed percent-encoding in the query";
    if (pair.name == "method") {
      out.method = value;
    } else if (pair.name == "url") {
      out.url = value;
    } else if (pair.name == "header") {
      std::string wrong = take_header(value, out);
      if (!wrong.empty()) return wrong;
    } else {
      return "unknown parameter: there are method, url and header";
    }
  }
  return out.url.empty() ? "url is missing: /v1/explain?method=GET&url=http://example.com/path"
                         : "";
}

Json target_json(const Destination& target) {
  Json json = {{"service", target.service}};
  if (!target.datacenter.empty()) json["datacenter"] = target.datacenter;
  if (!target.subset.tags.empty()) json["tags"] = target.subset.tags;
  if (!target.subset.meta.empty()) json["meta"] = target.subset.meta;
  return json;
}

Json instances_json(const AdminSource& source, const Destination& target) {
  Json list = Json::array();
  const InstanceListPtr known = source.instances(target.upstream_key());
  if (!known) return list;
  for (const Instance& instance : known->instances) {
    if (!target.subset.takes(instance)) continue;
    list.push_back({{"id", instance.id},
                    {"address", instance.address},
                    {"usable", instance.usable},
                    {"ejected", instance.state != nullptr && instance.state->ejected()}});
  }
  return list;
}

Json backends_json(const AdminSource& source, const Route* route) {
  Json list = Json::array();
  if (route == nullptr) return list;
  for (const Backend& backend : route->backends) {
    Json json = backend_json(backend);
    json["instances"] = instances_json(source, backend);
    list.push_back(std::move(json));
  }
  return list;
}

Json explanation_json(const AdminSource& source, const Explanation& found) {
  Json captures = Json::object();
  for (const auto& [name, value] : found.captures) captures[name] = value;
  Json passed_over = Json::array();
  for (const auto& [route, why] : found.passed_over) {
    passed_over.push_back({{"route", route}, {"why", why}});
  }
  Json json = {{"matched", found.route != nullptr},
               {"route", found.route == nullptr ? Json() : Json(found.route->name)},
               {"captures", std::move(captures)},
               {"upstream_path", text_or_null(found.upstream_path)},
               {"filters", found.filters},
               {"filters_not_run", found.not_run},
               {"answered_by", text_or_null(found.answered_by)},
               {"status", nullptr},
               {"backends", backends_json(source, found.route)},
               {"passed_over", std::move(passed_over)},
               {"passed_over_total", found.passed_over_total}};
  if (found.route == nullptr) {
    json["status"] = found.allow.empty() ? 404 : 405;
    json["allow"] = found.allow;
  } else if (found.status != 0) {
    json["status"] = found.status;
  }
  return json;
}

}  // namespace

Json backend_json(const Backend& backend) {
  Json json = target_json(backend);
  json["weight"] = backend.weight;
  if (backend.failover.empty()) return json;
  Json& failover = json["failover"] = Json::array();
  for (const Destination& target : backend.failover) failover.push_back(target_json(target));
  return json;
}

AdminResponse get_explain(AdminContext& context) {
  ExplainRequest request;
  request.method = "GET";
  const std::string wrong = read_query(context.request.query, request);
  if (!wrong.empty()) return bad_request(wrong);
  const SnapshotPtr snapshot = context.source.snapshot();
  if (!snapshot) {
    return admin_problem(503, "no_configuration", "Service Unavailable",
                         "the configuration has not been read yet");
  }
  const auto found = explain(*snapshot, request);
  if (!found) return bad_request(found.error());
  return json_response(explanation_json(context.source, *found));
}

}  // namespace lictor
