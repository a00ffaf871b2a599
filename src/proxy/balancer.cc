#include "proxy/balancer.h"

#include <algorithm>

namespace lictor {

bool RoundRobin::later(const Turn& a, const Turn& b) {
  __extension__ using Wide = unsigned __int128;
  const Wide left = static_cast<Wide>(a.due) * b.weight;
  const Wide right = static_cast<Wide>(b.due) * a.weight;
  return left != right ? left > right : a.order > b.order;
}

// How far ahead of now, in the units of `weight`: at most one turn.
uint64_t RoundRobin::place(uint64_t due, uint32_t weight) const {
  __extension__ using Wide = unsigned __int128;
  const auto now = static_cast<uint64_t>(static_cast<Wide>(now_due_) * weight / now_weight_);
  return due > now ? std::min(due - now, kTurn) : 0;
}

void RoundRobin::set(std::span<const Candidate> candidates) {
  std::vector<Turn> turns;
  turns.reserve(candidates.size());
  std::sort(turns_.begin(), turns_.end(),
            [](const Turn& a, const Turn& b) { return a.target < b.target; });
  for (const Candidate& candidate : candidates) {
    const auto known =
        std::lower_bound(turns_.begin(), turns_.end(), candidate.target,
                         [](const Turn& turn, void* target) { return turn.target < target; });
    uint64_t due = 0;
    if (known != turns_.end() && known->target == candidate.target) {
      due = place(known->due, known->weight);
    } else {
      random_ ^= random_ << 13;
      random_ ^= random_ >> 7;
      random_ ^= random_ << 17;
      due = random_ % kTurn;
    }
    turns.push_back({candidate.target, due, candidate.weight, static_cast<uint32_t>(turns.size())});
  }
  turns_ = std::move(turns);
  std::make_heap(turns_.begin(), turns_.end(), later);
  now_due_ = 0;
  now_weight_ = 1;
}

void RoundRobin::sift_down(size_t at) {
  for (;;) {
    size_t first = at;
    for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < turns_.size(); ++child) {
      if (later(turns_[first], turns_[child])) first = child;
    }
    if (first == at) return;
    std::swap(turns_[at], turns_[first]);
    at = first;
  }
}

void RoundRobin::take(size_t at) {
  turns_[at].due += kTurn;
  sift_down(at);
}

void* RoundRobin::pick() {
  if (turns_.empty()) return nullptr;
  void* target = turns_.front().target;
  now_due_ = turns_.front().due;
  now_weight_ = turns_.front().weight;
  take(0);
  return target;
}

void* RoundRobin::pick_except(std::span<void* const> excluded) {
  size_t best = turns_.size();
  for (size_t i = 0; i < turns_.size(); ++i) {
    if (std::find(excluded.begin(), excluded.end(), turns_[i].target) != excluded.end()) continue;
    if (best == turns_.size() || later(turns_[best], turns_[i])) best = i;
  }
  if (best == turns_.size()) return nullptr;
  void* target = turns_[best].target;
  take(best);
  return target;
}

}  // namespace lictor
