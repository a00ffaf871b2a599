#include "model/upstream.h"

#include <algorithm>
#include <utility>

namespace lictor {

std::string_view health_name(Health health) {
  switch (health) {
    case Health::kPassing:
      return "passing";
    case Health::kWarning:
      return "warning";
    case Health::kCritical:
      return "critical";
    case Health::kMaintenance:
      break;
  }
  return "maintenance";
}

bool Subset::takes(const Instance& instance) const {
  const bool tagged = std::all_of(tags.begin(), tags.end(), [&](const std::string& tag) {
    return std::find(instance.tags.begin(), instance.tags.end(), tag) != instance.tags.end();
  });
  return tagged && std::all_of(meta.begin(), meta.end(), [&](const auto& pair) {
           const auto found = instance.meta.find(pair.first);
           return found != instance.meta.end() && found->second == pair.second;
         });
}

std::string_view tls_host(const UpstreamPolicy& policy, std::string_view instance_address) {
  const bool literal = policy.host == HostMode::kLiteral;
  const std::string_view authority =
      literal ? std::string_view(policy.host_literal) : instance_address;
  const auto parts = split_host_port(authority);
  return parts ? parts->host : authority;
}

InstanceListPtr make_instance_list(std::vector<Instance> instances, const InstanceList* previous) {
  std::map<std::string, std::shared_ptr<InstanceState>> known;
  if (previous != nullptr) {
    for (const auto& instance : previous->instances) {
      known.emplace(instance.identity(), instance.state);
    }
  }
  std::vector<std::pair<std::string, size_t>> order;
  order.reserve(instances.size());
  for (size_t i = 0; i < instances.size(); ++i) order.emplace_back(instances[i].identity(), i);
  std::sort(order.begin(), order.end());
  auto list = std::make_shared<InstanceList>();
  list->state = previous != nullptr ? previous->state : std::make_shared<UpstreamState>();
  list->instances.reserve(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    const auto& [identity, index] = order[i];
    if (i > 0 && identity == order[i - 1].first) continue;
    const auto found = known.find(identity);
    Instance& kept = list->instances.emplace_back(std::move(instances[index]));
    kept.state = found != known.end() ? found->second : std::make_shared<InstanceState>();
  }
  return list;
}

}  // namespace lictor
