// By chance, in proportion to the weights.
#include "proxy/balancer.h"

namespace lictor {
namespace {

class RandomChoice final : public Balancer {
 public:
  explicit RandomChoice(uint64_t seed) : chance_(seed) {}

  void set(std::span<const Entry> entries) override { entries_.set(entries); }

  Candidate* pick(const Hint& hint) override {
    if (entries_.empty()) return nullptr;
    if (!hint.excluded.empty()) {
      if (Candidate* other = entries_.pick_other(chance_, hint.excluded)) return other;
    }
    return entries_.pick(chance_);
  }

 private:
  WeightedChoice entries_;
  Chance chance_;
};

}  // namespace

std::unique_ptr<Balancer> make_random(uint64_t seed) {
  return std::make_unique<RandomChoice>(seed);
}

}  // namespace lictor
