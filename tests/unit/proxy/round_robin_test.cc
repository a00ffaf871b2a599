#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <vector>

#include "proxy/balancer.h"
#include "proxy/fleet.h"

using lictor::Candidate;
using lictor::testing::count_of;
using lictor::testing::longest_run;

namespace {

// Round robin, from a seed.
struct Fleet : lictor::testing::Fleet {
  explicit Fleet(uint64_t seed) : lictor::testing::Fleet(lictor::make_round_robin(seed)) {}
};

}  // namespace

TEST_CASE("three to one is never four in a row, whatever the seed") {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    CAPTURE(seed);
    Fleet fleet(seed * 0x9e3779b97f4a7c15);
    fleet.set({3, 1});
    const auto picks = fleet.picks(10'000);
    CHECK(longest_run(picks, 0) == 3);
    CHECK(longest_run(picks, 1) == 1);
    CHECK(count_of(picks, 0) == 7'500);
  }
}

TEST_CASE("every round has the exact shares") {
  const std::vector<std::vector<uint32_t>> fleets = {{1},       {1, 1},   {1, 1, 1},  {5, 1, 1},
                                                     {7, 3, 2}, {100, 1}, {20'000, 1}};
  for (const auto& weights : fleets) {
    const size_t round = std::accumulate(weights.begin(), weights.end(), size_t{0});
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      Fleet fleet(seed);
      fleet.set(weights);
      for (int rounds = 0; rounds < 3; ++rounds) {
        const auto picks = fleet.picks(round);
        for (size_t i = 0; i < weights.size(); ++i) CHECK(count_of(picks, i) == weights[i]);
      }
    }
  }
}

TEST_CASE("no candidate is ever more than a turn off its share") {
  std::mt19937 random(7);
  for (int fleets = 0; fleets < 20; ++fleets) {
    std::vector<uint32_t> weights(2 + random() % 12);
    for (auto& weight : weights) weight = 1 + random() % 50;
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    Fleet fleet(random());
    fleet.set(weights);
    std::vector<double> taken(weights.size());
    double worst = 0;
    for (int picks = 1; picks <= 5'000; ++picks) {
      taken[fleet.pick()] += 1;
      for (size_t i = 0; i < weights.size(); ++i) {
        worst = std::max(worst, std::abs(taken[i] - picks * weights[i] / total));
      }
    }
    CHECK(worst < 2.0 + static_cast<double>(weights.size()) / 2);
  }
}

TEST_CASE("equal weights take turns") {
  Fleet fleet(3);
  fleet.set({4, 4, 4, 4, 4});
  const auto picks = fleet.picks(500);
  for (size_t i = 5; i < picks.size(); ++i) REQUIRE(picks[i] == picks[i - 5]);
}

TEST_CASE("large weights don't overflow") {
  Fleet fleet(9);
  fleet.set({UINT32_MAX, UINT32_MAX, 1});
  const auto picks = fleet.picks(100'000);
  CHECK(longest_run(picks, 0) <= 2);
  CHECK(longest_run(picks, 1) <= 2);
  CHECK(count_of(picks, 2) <= 1);
}

TEST_CASE("workers with different seeds start at different candidates") {
  std::map<size_t, int> first;
  for (uint64_t worker = 0; worker < 64; ++worker) {
    Fleet fleet(0x1234567 * (2 * worker + 1));
    fleet.set({1, 1, 1, 1});
    ++first[fleet.pick()];
  }
  CHECK(first.size() == 4);
  for (const auto& [candidate, count] : first) CHECK(count < 40);
}

TEST_CASE("setting the same candidates again changes nothing in the order of turns") {
  for (const std::vector<uint32_t>& weights :
       {std::vector<uint32_t>{1, 1, 1}, {3, 1}, {5, 2, 1, 1}}) {
    Fleet steady(5);
    Fleet restless(5);
    steady.set(weights);
    restless.set(weights);
    std::vector<size_t> expected;
    std::vector<size_t> picks;
    for (int i = 0; i < 1'000; ++i) {
      expected.push_back(steady.pick());
      restless.set(weights);
      picks.push_back(restless.pick());
    }
    for (size_t i = 0; i < weights.size(); ++i) {
      const auto want = static_cast<double>(count_of(expected, i));
      CHECK(static_cast<double>(count_of(picks, i)) == doctest::Approx(want).epsilon(0.02));
      CHECK(longest_run(picks, i) <= longest_run(expected, i) + 1);
    }
  }
}

TEST_CASE("a fleet that changes all the time starves nobody") {
  Fleet fleet(11);
  std::map<size_t, int> taken;
  for (int i = 0; i < 4'000; ++i) {
    // The fifth comes and goes before every pick.
    fleet.set(i % 2 == 0 ? std::vector<uint32_t>{1, 1, 1, 1, 1}
                         : std::vector<uint32_t>{1, 1, 1, 1});
    ++taken[fleet.pick()];
  }
  for (size_t i = 0; i < 4; ++i) CHECK(taken[i] > 600);
}

TEST_CASE("who goes and comes back is not flooded") {
  Fleet fleet(2);
  fleet.set({1, 1, 1});
  fleet.picks(30);
  fleet.set({1, 0, 1});
  CHECK(count_of(fleet.picks(10'000), 1) == 0);
  fleet.set({1, 1, 1});
  const auto picks = fleet.picks(300);
  CHECK(longest_run(picks, 1) == 1);
  CHECK(count_of(picks, 1) >= 99);
  CHECK(count_of(picks, 1) <= 101);
}

TEST_CASE("a new weight counts at once and keeps the place") {
  Fleet fleet(4);
  fleet.set({1, 1});
  fleet.picks(1'001);
  fleet.set({9, 1});
  const auto picks = fleet.picks(1'000);
  CHECK(count_of(picks, 0) >= 899);
  CHECK(count_of(picks, 0) <= 901);
  CHECK(longest_run(picks, 0) <= 10);
  fleet.set({1, 9});
  const auto turned = fleet.picks(1'000);
  CHECK(count_of(turned, 1) >= 899);
  CHECK(longest_run(turned, 0) == 1);
}

TEST_CASE("a retry goes elsewhere") {
  Fleet fleet(6);
  fleet.set({100, 1, 1});
  Candidate* const heavy = &fleet.candidates[0];
  Candidate* const light = &fleet.candidates[1];
  for (int i = 0; i < 200; ++i) CHECK(fleet.pick_except({heavy}) != heavy);
  CHECK(fleet.number(fleet.pick_except({heavy, light})) == 2);
}

TEST_CASE("a retry goes to the same one when there is no other") {
  Fleet fleet(6);
  fleet.set({1, 1});
  CHECK(fleet.pick_except({&fleet.candidates[0], &fleet.candidates[1]}) != nullptr);
}

TEST_CASE("a retry costs the one it goes to a turn") {
  Fleet fleet(8);
  fleet.set({1, 1});
  std::map<size_t, int> taken;
  for (int i = 0; i < 400; ++i) {
    ++taken[fleet.pick()];
    if (i % 4 == 0) ++taken[fleet.number(fleet.pick_except({&fleet.candidates[0]}))];
  }
  CHECK(taken[0] == doctest::Approx(taken[1]).epsilon(0.02));
}
