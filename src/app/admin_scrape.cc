#include "app/admin_scrape.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/version.h"

namespace lictor {
namespace {

// Each instance is in one state: what its checks say, unless they are good and traffic or an
// operator ejected it.
std::string_view instance_state(const Instance& instance) {
  const bool healthy = instance.health == Health::kPassing || instance.health == Health::kWarning;
  if (healthy && instance.state && instance.state->ejected()) return "ejected";
  return health_name(instance.health);
}

void add_instances(ScrapeInput& input, const std::string& service, const InstanceList* list) {
  std::array<uint64_t, kInstanceStates.size()> counts{};
  if (list != nullptr) {
    for (const Instance& instance : list->instances) {
      const auto* const found =
          std::find(kInstanceStates.begin(), kInstanceStates.end(), instance_state(instance));
      if (found != kInstanceStates.end()) {
        ++counts[static_cast<size_t>(found - kInstanceStates.begin())];
      }
      const uint64_t ejections =
          instance.state ? instance.state->ejections_total.load(std::memory_order_relaxed) : 0;
      if (ejections != 0) input.ejections.push_back({service, instance.id, ejections});
    }
  }
  for (size_t i = 0; i < counts.size(); ++i) {
    input.instances.push_back({service, std::string(kInstanceStates[i]), counts[i]});
  }
}

}  // namespace

ScrapeInput scrape_input(const AdminSource& source) {
  ScrapeInput input;
  input.version = version();
  input.access_log_dropped = source.access_log_dropped();
  input.traces_dropped = source.traces_dropped();
  input.limited_alone = source.limited_alone();
  input.certificates = source.certificates();
  if (const SnapshotPtr snapshot = source.snapshot()) {
    input.config_revision = snapshot->revision;
    for (const auto& upstream : snapshot->upstreams) {
      add_instances(input, upstream->service, source.instances(upstream->service).get());
    }
  }
  for (const DocumentStatus& document : source.documents()) {
    if (document.state != DocumentState::kActive) ++input.config_rejected;
  }
  for (JwksStatus& one : source.jwks()) {
    input.jwks.push_back({std::move(one.uri), one.ok, one.failed, one.age_s});
  }
  if (source.has_consul()) {
    ConsulStatus consul = source.consul();
    input.consul = {true, consul.connected, consul.staleness_s, std::move(consul.by_outcome)};
  }
  return input;
}

}  // namespace lictor
