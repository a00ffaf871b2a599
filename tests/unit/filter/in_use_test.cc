#include "filter/in_use.h"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <thread>
#include <vector>

using lictor::Hash128;
using lictor::HashSeed;
using lictor::InUse;
using lictor::SipHash;

namespace {

Hash128 key(uint64_t number) { return SipHash(HashSeed{1, 2}).word(number).finish({}); }

}  // namespace

TEST_CASE("at most that many under a key, and a place given back is a place") {
  InUse table;
  CHECK(table.enter(key(1), 2));
  CHECK(table.enter(key(1), 2));
  CHECK_FALSE(table.enter(key(1), 2));
  CHECK(table.enter(key(2), 2));
  table.leave(key(1));
  CHECK(table.enter(key(1), 2));
  CHECK_FALSE(table.enter(key(1), 2));
  CHECK(table.enter(key(1), 3));
  CHECK(table.keys() == 2);
}

TEST_CASE("keys that nobody uses are gone, and no other loses its way") {
  InUse table;
  std::mt19937 random(1);
  std::map<uint64_t, int> model;
  size_t steps = 0;
  for (; steps < 300'000; ++steps) {
    const uint64_t number = random() % 3'000;
    int& count = model[number];
    if (random() % 2 == 0) {
      CHECK(table.enter(key(number), 3) == (count < 3));
      count = std::min(3, count + 1);
    } else if (count > 0) {
      table.leave(key(number));
      --count;
    }
  }
  for (auto& [number, count] : model) {
    for (; count > 0; --count) table.leave(key(number));
  }
  CHECK(table.keys() == 0);
}

TEST_CASE("there is room for many keys, and a bound") {
  InUse table;
  size_t entered = 0;
  for (uint64_t i = 0; i < 1'200'000; ++i) entered += table.enter(key(i), 1) ? 1 : 0;
  CHECK(entered > 1'000'000);
  CHECK(entered <= size_t{1} << 20);
  // Those that are in have their place.
  table.leave(key(0));
  CHECK(table.enter(key(0), 1));
}

TEST_CASE("threads together never exceed the limit") {
  InUse table;
  std::vector<std::thread> threads;
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) {
        if (!table.enter(key(1), 2)) continue;
        const int now = ++inside;
        int seen = most.load();
        while (now > seen && !most.compare_exchange_weak(seen, now)) continue;
        --inside;
        table.leave(key(1));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(most <= 2);
  CHECK(table.keys() == 0);
}
