// Time, timers and chance: all that the control plane takes from outside beside its input. The real
// one is uv_scheduler.h; tests have a manual one, so that no test sleeps.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/duration.h"

namespace lictor {

// Fires once a start. Starting again replaces the earlier start. Destroying it stops it, also from
// inside its own function.
class ScheduledCall {
 public:
  virtual ~ScheduledCall() = default;
  virtual void start(Millis delay) = 0;
  virtual void stop() = 0;
};

class Scheduler {
 public:
  virtual ~Scheduler() = default;
  virtual Millis now() const = 0;       // never goes back
  virtual int64_t wall_ms() const = 0;  // since the epoch
  virtual double random() = 0;          // uniform in [0, 1)
  // `fire` runs from the loop, never inside start(). Timers die before their scheduler.
  virtual std::unique_ptr<ScheduledCall> timer(std::function<void()> fire) = 0;
};

}  // namespace lictor
