// Deadlines in a hierarchical wheel: arming, re-arming and cancelling are O(1) and allocate
// nothing. A timer never fires early and at most one tick (8 ms) late. Knows no clock: time is
// handed in.
#pragma once

#include <array>
#include <cstdint>

#include "base/list.h"

namespace lictor {

class TimerWheel;

// Owned by whoever waits; leaves its wheel when destroyed. Bind it once, then arm it as often as
// needed.
class Timer : public ListNode<Timer> {
 public:
  template <auto Method, class Owner>
  void bind(Owner* owner) {
    owner_ = owner;
    fire_ = [](void* self) { (static_cast<Owner*>(self)->*Method)(); };
  }
  bool armed() const { return linked(); }

 private:
  friend class TimerWheel;
  uint64_t tick_ = 0;
  void* owner_ = nullptr;
  void (*fire_)(void*) = nullptr;
};

class TimerWheel {
 public:
  static constexpr uint64_t kTickMs = 8;
  static constexpr uint64_t kNever = UINT64_MAX;

  explicit TimerWheel(uint64_t now_ms) : tick_(now_ms / kTickMs) {}

  // `now_ms` may be later than the last advance, never earlier. Re-arms an armed timer.
  void arm(Timer& timer, uint64_t now_ms, uint64_t delay_ms);
  static void cancel(Timer& timer) { timer.unlink(); }
  // Fires what is due. Timers may be armed, cancelled and destroyed from inside.
  void advance(uint64_t now_ms);
  // When `advance` should next be called: at or before the first deadline; kNever when empty.
  uint64_t next_ms();

 private:
  static constexpr unsigned kBits = 6;
  static constexpr unsigned kSlots = 1U << kBits;
  static constexpr unsigned kLevels = 8;  // 8 ms * 64^8: no uptime reaches the end

  void place(Timer& timer);
  void run_tick();

  uint64_t tick_;  // everything up to here has fired
  std::array<std::array<List<Timer>, kSlots>, kLevels> slots_;
  std::array<uint64_t, kLevels> used_{};  // a bit a slot that may hold timers
};

}  // namespace lictor
