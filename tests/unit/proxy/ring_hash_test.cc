// What issue 3 asks of the balancers' statistics, at fixed seeds.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "proxy/balancer.h"

using lictor::Balancer;
using lictor::Candidate;

namespace {

struct Ring {
  explicit Ring(const std::vector<uint32_t>& weights, uint64_t seed = 1)
      : candidates(weights.size()), balancer(lictor::make_ring_hash(seed)) {
    for (size_t i = 0; i < weights.size(); ++i) {
      candidates[i].key = "10.0.0." + std::to_string(i + 1) + ":80";
      entries.push_back({&candidates[i], weights[i]});
    }
    balancer->set(entries);
  }
  void drop(size_t gone) {
    auto rest = entries;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(gone));
    balancer->set(rest);
  }
  size_t home(size_t key, bool sticky = false) {
    Balancer::Hint hint;
    hint.hash = lictor::stable_hash("key-" + std::to_string(key));
    hint.sticky = sticky;
    return static_cast<size_t>(balancer->pick(hint) - candidates.data());
  }
  std::vector<size_t> homes(size_t keys) {
    std::vector<size_t> all(keys);
    for (size_t key = 0; key < keys; ++key) all[key] = home(key);
    return all;
  }

  std::vector<Candidate> candidates;
  std::vector<Balancer::Entry> entries;
  std::unique_ptr<Balancer> balancer;
};

// Of `balancer` over candidates of these weights.
double chi_square(Balancer& balancer, const std::vector<uint32_t>& weights, size_t picks) {
  std::vector<Candidate> candidates(weights.size());
  std::vector<Balancer::Entry> entries;
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    entries.push_back({&candidates[i], weights[i]});
    sum += weights[i];
  }
  balancer.set(entries);
  std::vector<double> taken(weights.size());
  for (size_t i = 0; i < picks; ++i) {
    ++taken[static_cast<size_t>(balancer.pick({}) - candidates.data())];
  }
  double chi = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double expected = static_cast<double>(picks) * weights[i] / sum;
    chi += (taken[i] - expected) * (taken[i] - expected) / expected;
  }
  return chi;
}

}  // namespace

TEST_CASE("chance has the shares of the weights, by chi-square") {
  // Seven degrees of freedom: beyond 29.9 with a probability of 0.0001.
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    CHECK(chi_square(*lictor::make_random(seed), {1, 1, 1, 1, 1, 1, 1, 1}, 50'000) < 29.9);
    CHECK(chi_square(*lictor::make_random(seed), {1, 2, 3, 4, 5, 10, 50, 100}, 50'000) < 29.9);
    CHECK(chi_square(*lictor::make_least_request(seed), {1, 1, 1, 1, 1, 1, 1, 1}, 50'000) < 29.9);
  }
}

TEST_CASE("when one of twenty goes, at most 1.5 times its share of the keys move") {
  constexpr size_t kKeys = 20'000;
  for (const uint32_t heaviest : {1U, 3U}) {
    std::vector<uint32_t> weights;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 20; ++i) sum += weights.emplace_back(1 + i % heaviest);
    Ring ring(weights);
    const auto before = ring.homes(kKeys);
    for (size_t gone = 0; gone < weights.size(); ++gone) {
      CAPTURE(heaviest);
      CAPTURE(gone);
      ring.drop(gone);
      const auto after = ring.homes(kKeys);
      size_t moved = 0;
      for (size_t key = 0; key < kKeys; ++key) moved += before[key] != after[key] ? 1 : 0;
      CHECK(static_cast<double>(moved) <= 1.5 * kKeys * weights[gone] / sum);
    }
    ring.balancer->set(ring.entries);
    CHECK(ring.homes(kKeys) == before);
  }
}

TEST_CASE("a session's home takes it, however busy it is") {
  Ring ring({1, 1, 1, 1});
  const size_t home = ring.home(7);
  ring.candidates[home].active = 50;
  CHECK(ring.home(7, true) == home);
  CHECK(ring.home(7, false) != home);
}

TEST_CASE("nobody gets more than 1.25 times the average of what is in flight") {
  Ring ring({1, 1, 1, 1, 1});
  for (uint32_t active = 1; active <= 500; ++active) {
    ++ring.candidates[ring.home(0)].active;
    uint32_t most = 0;
    for (const auto& candidate : ring.candidates) most = std::max(most, candidate.active);
    REQUIRE(most <= static_cast<uint32_t>(1.25 * active / 5) + 1);
  }
}
