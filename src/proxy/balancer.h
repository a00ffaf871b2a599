// Smooth weighted round robin in O(log n): every candidate is due at regular distances of 1/weight
// on a common virtual time, and the one that is due first is taken. Between two turns of a
// candidate of weight 1, one of weight 3 has exactly three. Arithmetic is exact. One worker's own;
// not thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lictor {

class RoundRobin {
 public:
  struct Candidate {
    void* target = nullptr;
    uint32_t weight = 1;  // not 0
  };

  // `seed` spreads where candidates start, so that workers don't walk in step.
  explicit RoundRobin(uint64_t seed) : random_(seed | 1) {}

  // Candidates that stay keep their place in the order of turns.
  void set(std::span<const Candidate> candidates);
  // Null when there are none.
  void* pick();
  // Like pick, but none of `excluded`; O(n), for retries.
  void* pick_except(std::span<void* const> excluded);
  size_t size() const { return turns_.size(); }

 private:
  static constexpr uint64_t kTurn = 65536;

  struct Turn {
    void* target;
    uint64_t due;  // in units of 1 / (weight * kTurn)
    uint32_t weight;
    uint32_t order;  // breaks ties
  };
  static bool later(const Turn& a, const Turn& b);
  void sift_down(size_t at);
  void take(size_t at);
  uint64_t place(uint64_t due, uint32_t weight) const;

  std::vector<Turn> turns_;  // a heap, first due on top
  // The virtual time: that of the last turn taken.
  uint64_t now_due_ = 0;
  uint32_t now_weight_ = 1;
  uint64_t random_;
};

}  // namespace lictor
