#include "proxy/balancer.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "proxy/fleet.h"

using lictor::Balance;
using lictor::Balancer;
using lictor::Candidate;
using lictor::Chance;
using lictor::stable_hash;
using lictor::testing::count_of;
using lictor::testing::Fleet;

namespace {

constexpr Balance kKinds[] = {Balance::kWeightedRoundRobin, Balance::kRoundRobin, Balance::kRandom,
                              Balance::kLeastRequest, Balance::kRingHash};

size_t distance(size_t a, size_t b) { return a > b ? a - b : b - a; }

// How many of these hashes go elsewhere with other weights.
size_t moved(Fleet& fleet, const std::vector<uint32_t>& before, const std::vector<uint32_t>& after,
             size_t hashes) {
  fleet.set(before);
  std::vector<size_t> homes(hashes);
  for (size_t i = 0; i < hashes; ++i) homes[i] = fleet.pick_for(stable_hash(std::to_string(i)));
  fleet.set(after);
  size_t count = 0;
  for (size_t i = 0; i < hashes; ++i) {
    count += fleet.pick_for(stable_hash(std::to_string(i))) == homes[i] ? 0 : 1;
  }
  return count;
}

}  // namespace

// --- what all of them promise --------------------------------------------------------------------

TEST_CASE("nobody to choose from") {
  for (const Balance kind : kKinds) {
    Fleet fleet(lictor::make_balancer(kind, 1));
    CHECK(fleet.balancer->pick({}) == nullptr);
    CHECK(fleet.balancer->pick({7, {}}) == nullptr);
    CHECK(fleet.pick_except({&fleet.candidates[0]}) == nullptr);
    fleet.set({1, 1});
    fleet.set({});
    CHECK(fleet.balancer->pick({}) == nullptr);
  }
}

TEST_CASE("only those of the last set are chosen, all of them") {
  for (const Balance kind : kKinds) {
    Fleet fleet(lictor::make_balancer(kind, 5));
    fleet.set({1, 1, 1, 1});
    fleet.picks(10);
    fleet.set({0, 2, 0, 3, 1});
    const auto picks = fleet.picks(1'000);
    CHECK(std::set<size_t>(picks.begin(), picks.end()) == std::set<size_t>{1, 3, 4});
  }
}

TEST_CASE("a retry goes elsewhere, and back only when there is nobody else") {
  for (const Balance kind : kKinds) {
    Fleet fleet(lictor::make_balancer(kind, 6));
    fleet.set({100, 1, 1});
    Candidate* const heavy = &fleet.candidates[0];
    Candidate* const light = &fleet.candidates[1];
    Candidate* const other = &fleet.candidates[2];
    for (int i = 0; i < 200; ++i) {
      CHECK(fleet.pick_except({heavy}) != heavy);
      CHECK(fleet.pick_except({heavy, light}) == other);
      CHECK(fleet.pick_except({light, heavy, other}) != nullptr);
    }
  }
}

TEST_CASE("shares follow the weights") {
  for (const Balance kind : {Balance::kWeightedRoundRobin, Balance::kRandom}) {
    Fleet fleet(lictor::make_balancer(kind, 7));
    fleet.set({1, 2, 7});
    const auto picks = fleet.picks(20'000);
    CHECK(distance(count_of(picks, 0), 2'000) < 250);
    CHECK(distance(count_of(picks, 1), 4'000) < 300);
    CHECK(distance(count_of(picks, 2), 14'000) < 400);
  }
}

TEST_CASE("the same seed makes the same choices") {
  for (const Balance kind : kKinds) {
    Fleet one(lictor::make_balancer(kind, 42));
    Fleet two(lictor::make_balancer(kind, 42));
    one.set({3, 1, 2});
    two.set({3, 1, 2});
    CHECK(one.picks(100) == two.picks(100));
  }
}

// --- least request -------------------------------------------------------------------------------

TEST_CASE("of two candidates the one with fewer requests in flight is taken") {
  Fleet fleet(lictor::make_least_request(1));
  fleet.set({1, 1});
  fleet.candidates[0].active = 5;
  fleet.candidates[1].active = 4;
  CHECK(count_of(fleet.picks(200), 1) > 180);  // both draws may be the same one
  fleet.candidates[1].active = 6;
  CHECK(count_of(fleet.picks(200), 0) > 180);
}

TEST_CASE("least request evens out what is in flight") {
  Fleet fleet(lictor::make_least_request(3));
  fleet.set(std::vector<uint32_t>(10, 1));
  for (int i = 0; i < 1'000; ++i) ++fleet.candidates[fleet.pick()].active;
  for (size_t i = 0; i < 10; ++i) CHECK(distance(fleet.candidates[i].active, 100) < 10);
}

TEST_CASE("one that is slow gets fewer") {
  Fleet fleet(lictor::make_least_request(4));
  fleet.set(std::vector<uint32_t>(4, 1));
  fleet.candidates[2].active = 1'000;  // it never answers
  CHECK(count_of(fleet.picks(1'000), 2) < 20);
}

// --- ring hash -----------------------------------------------------------------------------------

TEST_CASE("a hash has one home, the same on every gateway") {
  Fleet one(lictor::make_ring_hash(1));
  Fleet two(lictor::make_ring_hash(2));
  one.set({1, 1, 1, 1, 1});
  two.set({1, 1, 1, 1, 1});
  for (uint64_t i = 0; i < 1'000; ++i) {
    const uint64_t hash = stable_hash(std::to_string(i));
    const size_t home = one.pick_for(hash);
    CHECK(one.pick_for(hash) == home);
    CHECK(two.pick_for(hash) == home);
  }
}

TEST_CASE("the order in which candidates are named does not matter") {
  Fleet fleet(lictor::make_ring_hash(1));
  fleet.set({1, 1, 1});
  std::vector<size_t> homes;
  for (uint64_t i = 0; i < 300; ++i)
    homes.push_back(fleet.pick_for(stable_hash(std::to_string(i))));
  auto& candidates = fleet.candidates;
  const std::vector<Balancer::Entry> turned = {
      {&candidates[2], 1}, {&candidates[0], 1}, {&candidates[1], 1}};
  fleet.balancer->set(turned);
  for (uint64_t i = 0; i < 300; ++i) {
    CHECK(fleet.pick_for(stable_hash(std::to_string(i))) == homes[i]);
  }
}

TEST_CASE("when one of ten goes or comes, a tenth of the hashes move") {
  Fleet fleet(lictor::make_ring_hash(1));
  const std::vector<uint32_t> ten(10, 1);
  auto nine = ten;
  nine[4] = 0;
  const size_t gone = moved(fleet, ten, nine, 5'000);
  CHECK(gone > 300);
  CHECK(gone < 800);
  const size_t come = moved(fleet, nine, ten, 5'000);
  CHECK(come == gone);
}

TEST_CASE("the ring has everybody's share") {
  Fleet fleet(lictor::make_ring_hash(1));
  fleet.set({1, 1, 2, 4});
  std::map<size_t, size_t> homes;
  for (uint64_t i = 0; i < 8'000; ++i) ++homes[fleet.pick_for(stable_hash(std::to_string(i)))];
  CHECK(distance(homes[0], 1'000) < 300);
  CHECK(distance(homes[1], 1'000) < 300);
  CHECK(distance(homes[2], 2'000) < 500);
  CHECK(distance(homes[3], 4'000) < 700);
}

TEST_CASE("one hash does not break its home: what is too much goes to the next") {
  Fleet fleet(lictor::make_ring_hash(1));
  fleet.set({1, 1, 1, 1});
  const uint64_t hash = stable_hash("hot");
  const size_t home = fleet.pick_for(hash);
  for (int i = 0; i < 400; ++i) ++fleet.candidates[fleet.pick_for(hash)].active;
  CHECK(fleet.candidates[home].active >= 100);
  for (size_t i = 0; i < 4; ++i) CHECK(fleet.candidates[i].active <= 126);
  // Once the load is gone the hash is at home again.
  for (auto& candidate : fleet.candidates) candidate.active = 0;
  CHECK(fleet.pick_for(hash) == home);
}

TEST_CASE("without a hash the choice is by chance") {
  Fleet fleet(lictor::make_ring_hash(9));
  fleet.set({1, 1, 1});
  const auto picks = fleet.picks(3'000);
  for (size_t i = 0; i < 3; ++i) CHECK(count_of(picks, i) > 500);
}

TEST_CASE("very uneven weights leave everybody a place on the ring") {
  Fleet fleet(lictor::make_ring_hash(1));
  fleet.set({UINT32_MAX, 1});
  fleet.candidates[0].active = 1'000'000;
  CHECK(fleet.pick_except({&fleet.candidates[0]}) == &fleet.candidates[1]);
}

// --- chance and hashes ---------------------------------------------------------------------------

TEST_CASE("hashes are the same everywhere and for ever") {
  CHECK(stable_hash("") == 0xefd01f60ba992926);
  CHECK(stable_hash("a") == 0x82a2a958a9bece5b);
  CHECK(stable_hash("10.0.0.1:80") == 0x5ed8f8275e47a14a);
  CHECK(stable_hash("\xff") != stable_hash("\x7f"));
}

TEST_CASE("chance is SplitMix64") {
  Chance chance(0);
  CHECK(chance.next() == 0xe220a8397b1dcdaf);
  CHECK(chance.next() == 0x6e789e6aa1b965f4);
}

TEST_CASE("chance below a bound reaches all of it and no more") {
  Chance chance(3);
  CHECK(chance.below(1) == 0);
  std::set<uint64_t> seen;
  for (int i = 0; i < 1'000; ++i) seen.insert(chance.below(6));
  CHECK(seen == std::set<uint64_t>{0, 1, 2, 3, 4, 5});
  bool high = false;
  for (int i = 0; i < 100; ++i) high = high || chance.below(UINT64_MAX) > UINT64_MAX / 2;
  CHECK(high);
}
