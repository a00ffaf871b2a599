// Passive health: an instance that fails several requests in a row is left out for a while. Any
// thread; the state is shared by all workers. Times are steady milliseconds (Loop::now_ms).
//
// Rules: `consecutive_failures` failures in a row eject, for base_time times the number of
// ejections in a row, at most max_time. A row of ejections ends when an instance stayed in for as
// long as it would have been out. At most max_percent of the usable instances are out at once,
// though one always may be, and never the last.
#pragma once

#include <cstdint>
#include <string_view>

#include "model/upstream.h"

namespace lictor {

inline void report_success(InstanceState& state) {
  if (state.consecutive_failures.load(std::memory_order_relaxed) != 0) {
    state.consecutive_failures.store(0, std::memory_order_relaxed);
  }
}

// True when this failure ejected the instance.
bool report_failure(std::string_view service, const EjectionPolicy& policy,
                    const InstanceList& list, InstanceState& state, std::string_view instance,
                    int64_t now_ms);

// Lets back in whose time is over. Cheap when there is none: one load.
void return_expired(std::string_view service, const InstanceList& list, int64_t now_ms);

// An operator's hand: out until restored, whatever traffic says. Null-safe about nothing.
void eject_by_operator(const InstanceList& list, InstanceState& state);
void restore_by_operator(const InstanceList& list, InstanceState& state, int64_t now_ms);

}  // namespace lictor
