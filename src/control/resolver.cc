#include "control/resolver.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace lictor {

Resolver::Resolver(Scheduler& scheduler, Lookup lookup,
                   std::function<void(const std::string&)> changed)
    : scheduler_(scheduler), lookup_(std::move(lookup)), changed_(std::move(changed)) {}

std::optional<IpAddress> Resolver::find(const std::string& name) {
  const auto [at, fresh] = entries_.try_emplace(name);
  if (fresh) {
    at->second.timer = scheduler_.timer([this, name] { look_up(name); });
    look_up(name);
  }
  return at->second.address;
}

void Resolver::keep_only(const std::set<std::string>& names) {
  std::erase_if(entries_, [&names](const auto& entry) { return !names.contains(entry.first); });
}

void Resolver::look_up(const std::string& name) {
  Entry& entry = entries_.at(name);
  entry.timer->start(kRefresh);  // should the lookup never answer
  entry.lookup = lookup_(
      name, [this, name](const std::vector<IpAddress>& addresses) { on_answer(name, addresses); });
}

void Resolver::on_answer(const std::string& name, const std::vector<IpAddress>& addresses) {
  Entry& entry = entries_.at(name);
  if (addresses.empty()) {
    if (!std::exchange(entry.said_failed, true)) {
      log::warn("resolver: {} has no address{}", name,
                entry.address ? "; going on with the one known" : "");
    }
    entry.timer->start(entry.address ? kRefresh : kRetry);
    return;
  }
  if (std::exchange(entry.said_failed, false)) log::info("resolver: {} has an address again", name);
  entry.timer->start(kRefresh);
  const bool kept = entry.address && std::find(addresses.begin(), addresses.end(),
                                               *entry.address) != addresses.end();
  if (kept) return;
  entry.address = addresses.front();
  changed_(name);
}

}  // namespace lictor
