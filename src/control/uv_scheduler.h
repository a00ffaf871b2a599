// The scheduler of the running gateway: libuv's timers and clock.
#pragma once

#include <random>

#include "control/scheduler.h"

using uv_loop_t = struct uv_loop_s;

namespace lictor {

class UvScheduler final : public Scheduler {
 public:
  // The loop must run once more after the last timer's death, so that its handle can close.
  explicit UvScheduler(uv_loop_t* loop);
  Millis now() const override;
  int64_t wall_ms() const override;
  double random() override;
  std::unique_ptr<ScheduledCall> timer(std::function<void()> fire) override;

 private:
  uv_loop_t* loop_;
  std::minstd_rand random_;
};

}  // namespace lictor
