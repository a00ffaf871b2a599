// Time that stands still until a test lets it pass. While one lives, its thread (and libuv on it)
// sees this clock instead of the system's monotonic one, so that timeouts are tested without
// waiting and slow machines change nothing. Make it before the Loop; run that with run_turns, never
// with a blocking call, which would wait for a time that does not come.
#pragma once

#include <cstdint>

#include "io/loop.h"

namespace lictor::testing {

class ManualClock {
 public:
  ManualClock();
  ~ManualClock();
  ManualClock(const ManualClock&) = delete;
  ManualClock& operator=(const ManualClock&) = delete;

  static void pass(uint64_t ms);
};

// A loop on such a clock.
class ManualLoop {
 public:
  Loop& operator*() { return loop_; }
  Loop* operator->() { return &loop_; }
  void turn() { uv_run(loop_.uv(), UV_RUN_NOWAIT); }
  // In one step; what fires and arms again may fire again only with the next call.
  void pass(uint64_t ms) {
    ManualClock::pass(ms);
    turn();
  }

 private:
  ManualClock clock_;
  Loop loop_;
};

}  // namespace lictor::testing
