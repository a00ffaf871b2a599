#include "control/resolver.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace lictor {

Resolver::Resolver(Scheduler& scheduler, Lookup lookup,
                   std::function<void(const std::string&)> changed)
    : scheduler_(scheduler), lookup_(std::move(lookup)), changed_(std::move(changed)) {}

Resolver::Entry& Resolver::want(const std::string& name) {
  const auto [at, fresh] = entries_.try_emplace(name);
  if (fresh) {
    at->second.timer = scheduler_.timer([this, name] { look_up(name); });
    look_up(name);
  }
  return at->second;
}

std::optional<IpAddress> Resolver::find(const std::string& name) { return want(name).address; }

std::vector<IpAddress> Resolver::find_all(const std::string& name) { return want(name).addresses; }

bool Resolver::looked_up(const std::string& name) const {
  const auto at = entries_.find(name);
  return at != entries_.end() && at->second.looked_up;
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
  const bool first = !std::exchange(entry.looked_up, true);
  if (addresses.empty()) {
    if (!std::exchange(entry.said_failed, true)) {
      log::warn("resolver: {} has no address{}", name,
                entry.address ? "; going on with the one known" : "");
    }
    entry.timer->start(entry.address ? kRefresh : kRetry);
    if (first) changed_(name);
    return;
  }
  if (std::exchange(entry.said_failed, false)) log::info("resolver: {} has an address again", name);
  entry.timer->start(kRefresh);
  const bool kept = entry.address && std::find(addresses.begin(), addresses.end(),
                                               *entry.address) != addresses.end();
  if (!kept) entry.address = addresses.front();
  auto all = addresses;
  std::sort(all.begin(), all.end(),
            [](const IpAddress& a, const IpAddress& b) { return a.bytes() < b.bytes(); });
  if (kept && all == entry.addresses) return;
  entry.addresses = std::move(all);
  changed_(name);
}

}  // namespace lictor
