// Smooth weighted round robin in O(log n): every candidate is due at regular distances of 1/weight
// on a common virtual time, and the one that is due first is taken. Between two turns of a
// candidate of weight 1, one of weight 3 has exactly three. Arithmetic is exact.
#include <algorithm>
#include <vector>

#include "proxy/balancer.h"

namespace lictor {
namespace {

class RoundRobin final : public Balancer {
 public:
  explicit RoundRobin(uint64_t seed) : chance_(seed) {}

  // Candidates that stay keep their place in the order of turns; new ones start anywhere in it, so
  // that workers don't walk in step.
  void set(std::span<const Entry> entries) override;
  Candidate* pick(const Hint& hint) override;

 private:
  static constexpr uint64_t kTurn = 65536;

  struct Turn {
    Candidate* candidate;
    uint64_t due;  // in units of 1 / (weight * kTurn)
    uint32_t weight;
    uint32_t order;  // breaks ties
  };
  static bool later(const Turn& a, const Turn& b);
  size_t first_not_excluded(const Hint& hint) const;
  void sift_down(size_t at);
  uint64_t distance(const Turn& turn) const;

  std::vector<Turn> turns_;  // a heap, first due on top
  // The virtual time: that of the last turn taken.
  uint64_t now_due_ = 0;
  uint32_t now_weight_ = 1;
  Chance chance_;
};

bool RoundRobin::later(const Turn& a, const Turn& b) {
  __extension__ using Wide = unsigned __int128;
  const Wide left = static_cast<Wide>(a.due) * b.weight;
  const Wide right = static_cast<Wide>(b.due) * a.weight;
  return left != right ? left > right : a.order > b.order;
}

// How far ahead of now a turn is, in its own units: at most one whole.
uint64_t RoundRobin::distance(const Turn& turn) const {
  __extension__ using Wide = unsigned __int128;
  const auto now = static_cast<uint64_t>(static_cast<Wide>(now_due_) * turn.weight / now_weight_);
  return turn.due > now ? std::min(turn.due - now, kTurn) : 0;
}

void RoundRobin::set(std::span<const Entry> entries) {
  const auto by_candidate = [](const Turn& a, const Turn& b) { return a.candidate < b.candidate; };
  std::sort(turns_.begin(), turns_.end(), by_candidate);
  std::vector<Turn> turns;
  turns.reserve(entries.size());
  for (const Entry& entry : entries) {
    Turn turn{entry.candidate, 0, entry.weight, static_cast<uint32_t>(turns.size())};
    const auto known = std::lower_bound(turns_.begin(), turns_.end(), turn, by_candidate);
    const bool stays = known != turns_.end() && known->candidate == entry.candidate;
    turn.due = stays ? distance(*known) : chance_.below(kTurn);
    turns.push_back(turn);
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

size_t RoundRobin::first_not_excluded(const Hint& hint) const {
  size_t best = turns_.size();
  for (size_t i = 0; i < turns_.size(); ++i) {
    if (is_excluded(hint, turns_[i].candidate)) continue;
    if (best == turns_.size() || later(turns_[best], turns_[i])) best = i;
  }
  return best == turns_.size() ? 0 : best;
}

Candidate* RoundRobin::pick(const Hint& hint) {
  if (turns_.empty()) return nullptr;
  const size_t at = hint.excluded.empty() ? 0 : first_not_excluded(hint);
  Candidate* const candidate = turns_[at].candidate;
  if (at == 0) {
    now_due_ = turns_[0].due;
    now_weight_ = turns_[0].weight;
  }
  turns_[at].due += kTurn;
  sift_down(at);
  return candidate;
}

}  // namespace

std::unique_ptr<Balancer> make_round_robin(uint64_t seed) {
  return std::make_unique<RoundRobin>(seed);
}

}  // namespace lictor
