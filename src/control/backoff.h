// How long to wait after a fault, after two in a row, and so on: doubled each time up to a cap,
// half of it by chance, so that those who failed together don't come back together.
#pragma once

#include <algorithm>
#include <cstdint>

#include "control/scheduler.h"

namespace lictor {

class Backoff {
 public:
  static constexpr Millis kBase{100};

  Millis next(Scheduler& scheduler, Millis cap) {
    const uint32_t doublings = std::min<uint32_t>(faults_++, 10);
    const Millis full = std::min(cap, kBase * (1 << doublings));
    const double share = 0.5 + 0.5 * scheduler.random();
    return Millis(static_cast<int64_t>(static_cast<double>(full.count()) * share));
  }
  void reset() { faults_ = 0; }

 private:
  uint32_t faults_ = 0;  // in a row
};

}  // namespace lictor
