// The routes in force.
#include <nlohmann/json.hpp>

#include "app/admin_answers.h"
#include "app/admin_calls.h"
#include "app/admin_explain.h"
#include "base/duration.h"

namespace lictor {
namespace {

using Json = nlohmann::ordered_json;

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

}  // namespace

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

}  // namespace lictor
