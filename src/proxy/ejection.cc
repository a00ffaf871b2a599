#include "proxy/ejection.h"

#include <algorithm>

#include "base/log.h"

namespace lictor {
namespace {

// Under the mutex.
void let_in(UpstreamState& upstream, InstanceState& state, int64_t now_ms) {
  state.ejected_until_ms.store(0, std::memory_order_release);
  state.consecutive_failures.store(0, std::memory_order_relaxed);
  state.returned_ms.store(now_ms, std::memory_order_relaxed);
  upstream.version.fetch_add(1, std::memory_order_release);
}

// Under the mutex.
void set_next_return(const InstanceList& list) {
  int64_t next = INT64_MAX;
  for (const Instance& instance : list.instances) {
    const int64_t until = instance.state->ejected_until_ms.load(std::memory_order_relaxed);
    if (until != 0) next = std::min(next, until);
  }
  list.state->next_return_ms.store(next, std::memory_order_release);
}

bool may_eject_one_more(const EjectionPolicy& policy, const InstanceList& list) {
  uint64_t usable = 0;
  uint64_t out = 0;
  for (const Instance& instance : list.instances) {
    if (!instance.usable) continue;
    ++usable;
    if (instance.state->ejected()) ++out;
  }
  const uint64_t most = std::max<uint64_t>(1, usable * policy.max_percent / 100);
  return out + 1 <= most && out + 1 < usable;
}

}  // namespace

bool report_failure(std::string_view service, const EjectionPolicy& policy,
                    const InstanceList& list, InstanceState& state, std::string_view instance,
                    int64_t now_ms) {
  const uint32_t failures = state.consecutive_failures.fetch_add(1, std::memory_order_relaxed) + 1;
  if (policy.consecutive_failures == 0 || failures < policy.consecutive_failures) return false;
  const std::lock_guard lock(list.state->mutex);
  if (state.ejected() || !may_eject_one_more(policy, list)) return false;

  const int64_t base = policy.base_time.count();
  const int64_t longest = policy.max_time.count();
  const int64_t last = std::min<int64_t>(base * state.ejections, longest);
  if (state.ejections > 0 && now_ms - state.returned_ms > last) state.ejections = 0;
  ++state.ejections;
  const int64_t time = std::min<int64_t>(base * state.ejections, longest);
  state.ejected_until_ms.store(now_ms + std::max<int64_t>(time, 1), std::memory_order_release);
  state.ejections_total.fetch_add(1, std::memory_order_relaxed);
  set_next_return(list);
  list.state->version.fetch_add(1, std::memory_order_release);
  log::warn("upstream {}: instance {} ejected for {} after {} failures in a row", service, instance,
            format_duration(Millis(time)), failures);
  return true;
}

void return_expired(std::string_view service, const InstanceList& list, int64_t now_ms) {
  if (now_ms < list.state->next_return_ms.load(std::memory_order_acquire)) return;
  const std::lock_guard lock(list.state->mutex);
  for (const Instance& instance : list.instances) {
    const int64_t until = instance.state->ejected_until_ms.load(std::memory_order_relaxed);
    if (until == 0 || until == InstanceState::kUntilRestored || until > now_ms) continue;
    let_in(*list.state, *instance.state, now_ms);
    log::info("upstream {}: instance {} is back from its ejection", service, instance.id);
  }
  set_next_return(list);
}

void eject_by_operator(const InstanceList& list, InstanceState& state) {
  const std::lock_guard lock(list.state->mutex);
  if (!state.ejected()) state.ejections_total.fetch_add(1, std::memory_order_relaxed);
  state.ejected_until_ms.store(InstanceState::kUntilRestored, std::memory_order_release);
  set_next_return(list);
  list.state->version.fetch_add(1, std::memory_order_release);
}

void restore_by_operator(const InstanceList& list, InstanceState& state, int64_t now_ms) {
  const std::lock_guard lock(list.state->mutex);
  state.ejections = 0;
  let_in(*list.state, state, now_ms);
  set_next_return(list);
}

}  // namespace lictor
