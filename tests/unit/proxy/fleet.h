// A balancer over numbered candidates.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/balancer.h"

namespace lictor::testing {

struct Fleet {
  explicit Fleet(std::unique_ptr<Balancer> its_balancer) : balancer(std::move(its_balancer)) {
    for (size_t i = 0; i < candidates.size(); ++i) candidates[i].key = "key-" + std::to_string(i);
  }
  // By number; 0 = not there.
  void set(const std::vector<uint32_t>& weights) {
    std::vector<Balancer::Entry> entries;
    for (size_t i = 0; i < weights.size(); ++i) {
      if (weights[i] != 0) entries.push_back({&candidates[i], weights[i]});
    }
    balancer->set(entries);
  }
  size_t number(const Candidate* candidate) const {
    return static_cast<size_t>(candidate - candidates.data());
  }
  size_t pick() { return number(balancer->pick({})); }
  size_t pick_for(uint64_t hash) { return number(balancer->pick({hash, {}})); }
  Candidate* pick_except(std::vector<Candidate*> excluded) {
    return balancer->pick({std::nullopt, excluded});
  }
  std::vector<size_t> picks(size_t count) {
    std::vector<size_t> all(count);
    std::generate(all.begin(), all.end(), [this] { return pick(); });
    return all;
  }

  std::array<Candidate, 64> candidates;
  std::unique_ptr<Balancer> balancer;
};

inline size_t longest_run(const std::vector<size_t>& picks, size_t of) {
  size_t longest = 0;
  size_t run = 0;
  for (const size_t pick : picks) {
    run = pick == of ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return longest;
}

inline size_t count_of(const std::vector<size_t>& picks, size_t of) {
  return static_cast<size_t>(std::count(picks.begin(), picks.end(), of));
}

}  // namespace lictor::testing
