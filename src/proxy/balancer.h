// Balancers: which instance takes the next request. One object is one worker's view of one set of
// instances; not thread-safe. Each kind is a file of its own and a line in make_balancer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "model/upstream.h"

namespace lictor {

// What balancers know of an instance. `active` are the requests that this worker has with it.
struct Candidate {
  std::string key;  // the same on every gateway: where a hash ring puts it
  uint32_t active = 0;
};

class Balancer {
 public:
  struct Entry {
    Candidate* candidate;
    uint32_t weight;  // not 0
  };
  struct Hint {
    // What ring_hash goes by; without one the choice is by chance.
    std::optional<uint64_t> hash;
    // Not these (they failed this request), unless there are no others.
    std::span<Candidate* const> excluded;
    // ring_hash: the hash decides alone, however busy its candidate is. For sessions.
    bool sticky = false;
  };

  virtual ~Balancer() = default;
  // Replaces the set. Candidates live until the next set().
  virtual void set(std::span<const Entry> entries) = 0;
  // Null when there are none.
  virtual Candidate* pick(const Hint& hint) = 0;

 protected:
  static bool is_excluded(const Hint& hint, const Candidate* candidate);
};

// `seed` decides what is left to chance, and spreads workers out.
std::unique_ptr<Balancer> make_balancer(Balance kind, uint64_t seed);

// The makers.
std::unique_ptr<Balancer> make_round_robin(uint64_t seed);  // weighted, unless all weights are 1
std::unique_ptr<Balancer> make_random(uint64_t seed);
std::unique_ptr<Balancer> make_least_request(uint64_t seed);
std::unique_ptr<Balancer> make_ring_hash(uint64_t seed);

// A small deterministic source of chance (SplitMix64).
class Chance {
 public:
  explicit Chance(uint64_t seed) : state_(seed) {}
  uint64_t next();
  uint64_t below(uint64_t bound);  // bound > 0

 private:
  uint64_t state_;
};

// Entries by chance, in proportion to their weights, in O(log n).
class WeightedChoice {
 public:
  void set(std::span<const Balancer::Entry> entries);
  bool empty() const { return entries_.empty(); }
  Candidate* pick(Chance& chance) const;
  // By chance among those that are not excluded; null when all are. O(n): for retries.
  Candidate* pick_other(Chance& chance, std::span<Candidate* const> excluded) const;

 private:
  std::vector<Balancer::Entry> entries_;
  std::vector<uint64_t> sums_;  // of the weights up to and with each entry
};

// 64 well-mixed bits of a text; the same everywhere and for ever (FNV-1a, then MurmurHash3's
// finaliser).
uint64_t stable_hash(std::string_view text);

}  // namespace lictor
