#include "io/timer.h"

#include <algorithm>
#include <bit>

namespace lictor {

void TimerWheel::arm(Timer& timer, uint64_t now_ms, uint64_t delay_ms) {
  // One tick more than the delay holds: `now` is somewhere inside its tick, and never is early.
  const uint64_t due = (now_ms + delay_ms + kTickMs - 1) / kTickMs;
  constexpr uint64_t kFarthest = (uint64_t{1} << (kBits * kLevels)) - 1;
  timer.unlink();
  timer.tick_ = std::clamp(due, tick_ + 1, tick_ + kFarthest);
  place(timer);
}

// A timer sits on the lowest level whose span holds its distance; when its slot's turn comes, it is
// placed again, nearer to the ground.
void TimerWheel::place(Timer& timer) {
  const uint64_t distance = timer.tick_ ^ tick_;
  unsigned level = distance == 0 ? 0 : (std::bit_width(distance) - 1) / kBits;
  level = std::min(level, kLevels - 1);
  const unsigned slot = (timer.tick_ >> (level * kBits)) & (kSlots - 1);
  slots_[level][slot].push_back(timer);
  used_[level] |= uint64_t{1} << slot;
}

void TimerWheel::advance(uint64_t now_ms) {
  const uint64_t target = now_ms / kTickMs;
  while (tick_ < target) {
    const uint64_t next = next_ms();
    if (next == kNever || next / kTickMs > target) {
      tick_ = target;
      return;
    }
    tick_ = next / kTickMs;
    run_tick();
  }
}

void TimerWheel::run_tick() {
  for (unsigned level = kLevels - 1; level > 0; --level) {
    const uint64_t span_mask = (uint64_t{1} << (level * kBits)) - 1;
    if ((tick_ & span_mask) != 0) continue;
    const unsigned slot = (tick_ >> (level * kBits)) & (kSlots - 1);
    used_[level] &= ~(uint64_t{1} << slot);
    while (Timer* timer = slots_[level][slot].pop_front()) place(*timer);
  }
  const unsigned slot = tick_ & (kSlots - 1);
  used_[0] &= ~(uint64_t{1} << slot);
  // A timer armed from inside is due at tick_ + 1 at the earliest and never lands in this slot's
  // list before it is empty: the nearest tick of the same slot is 64 ticks away, on level 1.
  while (Timer* timer = slots_[0][slot].pop_front()) timer->fire_(timer->owner_);
}

uint64_t TimerWheel::next_ms() {
  for (unsigned level = 0; level < kLevels; ++level) {
    const unsigned shift = level * kBits;
    const uint64_t at = tick_ >> shift;
    const unsigned here = at & (kSlots - 1);
    // Slots behind `here` on this level's current turn, nearest first.
    uint64_t ahead = here == kSlots - 1 ? 0 : used_[level] & (~uint64_t{0} << (here + 1));
    while (ahead != 0) {
      const auto slot = static_cast<unsigned>(std::countr_zero(ahead));
      if (!slots_[level][slot].empty()) {
        return (((at & ~uint64_t{kSlots - 1}) | slot) << shift) * kTickMs;
      }
      used_[level] &= ~(uint64_t{1} << slot);
      ahead &= ahead - 1;
    }
  }
  return kNever;
}

}  // namespace lictor
