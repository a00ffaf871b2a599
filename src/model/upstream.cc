#include "model/upstream.h"

#include <algorithm>

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

InstanceListPtr make_instance_list(std::vector<Instance> instances, const InstanceList* previous) {
  std::map<std::string, std::shared_ptr<InstanceState>> known;
  if (previous != nullptr) {
    for (const auto& instance : previous->instances) {
      known.emplace(instance.identity(), instance.state);
    }
  }
  std::map<std::string, Instance> sorted;
  for (auto& instance : instances) {
    std::string identity = instance.identity();
    sorted.try_emplace(std::move(identity), std::move(instance));
  }
  auto list = std::make_shared<InstanceList>();
  list->state = previous != nullptr ? previous->state : std::make_shared<UpstreamState>();
  list->instances.reserve(sorted.size());
  for (auto& [identity, instance] : sorted) {
    const auto found = known.find(identity);
    instance.state = found != known.end() ? found->second : std::make_shared<InstanceState>();
    list->instances.push_back(std::move(instance));
  }
  return list;
}

}  // namespace lictor
