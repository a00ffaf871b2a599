// The better of two: two candidates by chance, in proportion to their weights, and of these the one
// that has fewer requests in flight (Mitzenmacher, "The Power of Two Choices", 2001).
#include "proxy/balancer.h"

namespace lictor {
namespace {

class LeastRequest final : public Balancer {
 public:
  explicit LeastRequest(uint64_t seed) : chance_(seed) {}

  void set(std::span<const Entry> entries) override {
    entries_.set(entries);
    several_ = entries.size() > 1;
  }

  Candidate* pick(const Hint& hint) override {
    if (entries_.empty()) return nullptr;
    if (!hint.excluded.empty()) {
      if (Candidate* other = entries_.pick_other(chance_, hint.excluded)) return other;
    }
    Candidate* const first = entries_.pick(chance_);
    if (!several_) return first;
    Candidate* second = entries_.pick(chance_);
    // One that is heavy may come up again and again: some tries for a real second, no more.
    for (int i = 0; i < kTries && second == first; ++i) second = entries_.pick(chance_);
    return second->active < first->active ? second : first;
  }

 private:
  static constexpr int kTries = 3;

  WeightedChoice entries_;
  bool several_ = false;
  Chance chance_;
};

}  // namespace

std::unique_ptr<Balancer> make_least_request(uint64_t seed) {
  return std::make_unique<LeastRequest>(seed);
}

}  // namespace lictor
