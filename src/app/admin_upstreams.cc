// The services with their instances, and an operator's hand on one of them.
#include <nlohmann/json.hpp>

#include "app/admin_answers.h"
#include "app/admin_calls.h"

namespace lictor {
namespace {

using Json = nlohmann::ordered_json;

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

}  // namespace

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

AdminResponse post_eject(AdminContext& context) { return change_instance(context, true); }
AdminResponse post_restore(AdminContext& context) { return change_instance(context, false); }

}  // namespace lictor
