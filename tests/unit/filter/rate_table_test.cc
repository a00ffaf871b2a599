#include "filter/rate_table.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

using lictor::Hash128;
using lictor::HashSeed;
using lictor::RateLimit;
using lictor::RateTable;
using lictor::RateVerdict;
using lictor::SipHash;

namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000 * kMs;
constexpr int64_t kNow = 77 * kSecond;

Hash128 key(uint64_t number) { return SipHash(HashSeed{1, 2}).word(number).finish({}); }

// `rate` a second, `burst` at once.
RateLimit a_second(int64_t rate, int64_t burst) { return {kSecond / rate, kSecond / rate * burst}; }

}  // namespace

TEST_CASE("a bucket: the burst at once, then one each interval, never more than the burst") {
  RateTable table;
  const RateLimit limit = a_second(10, 3);
  for (int64_t left : {2, 1, 0}) {
    const RateVerdict verdict = table.take(key(1), limit, kNow);
    CHECK(verdict.allowed);
    CHECK(verdict.remaining == left);
    CHECK(verdict.full_ns == (3 - left) * 100 * kMs);
  }
  const RateVerdict refused = table.take(key(1), limit, kNow + 30 * kMs);
  CHECK_FALSE(refused.allowed);
  CHECK(refused.remaining == 0);
  CHECK(refused.retry_ns == 70 * kMs);
  CHECK(refused.full_ns == 270 * kMs);
  CHECK_FALSE(table.take(key(1), limit, kNow + 100 * kMs - 1).allowed);
  CHECK(table.take(key(1), limit, kNow + 100 * kMs).allowed);
  CHECK_FALSE(table.take(key(1), limit, kNow + 100 * kMs).allowed);
  // However long nobody asked.
  int allowed = 0;
  for (int i = 0; i < 10; ++i) allowed += table.take(key(1), limit, kNow + 900 * kSecond).allowed;
  CHECK(allowed == 3);
}

TEST_CASE("what is refused costs nothing") {
  RateTable table;
  const RateLimit limit = a_second(100, 1);
  int allowed = 0;
  for (int ms = 0; ms < 1'000; ++ms) allowed += table.take(key(1), limit, kNow + ms * kMs).allowed;
  CHECK(allowed == 100);
}

TEST_CASE("keys do not touch each other, and put sets one") {
  RateTable table;
  const RateLimit limit = a_second(1, 1);
  for (uint64_t i = 0; i < 1'000; ++i) CHECK(table.take(key(i), limit, kNow).allowed);
  for (uint64_t i = 0; i < 1'000; ++i) CHECK_FALSE(table.take(key(i), limit, kNow).allowed);
  table.put(key(5), kNow, kNow);
  CHECK(table.take(key(5), limit, kNow).allowed);
  table.put(key(6), kNow + 9 * kSecond, kNow);
  CHECK(table.take(key(6), limit, kNow).retry_ns == 9 * kSecond);
}

TEST_CASE("a million keys take at most 100 MiB and are remembered") {
  RateTable table;
  const RateLimit limit = a_second(1, 1);
  constexpr uint64_t kKeys = 1'000'000;
  uint64_t refused = 0;
  for (uint64_t i = 0; i < kKeys; ++i) table.take(key(i), limit, kNow);
  for (uint64_t i = 0; i < kKeys; ++i) refused += table.take(key(i), limit, kNow).allowed ? 0 : 1;
  CHECK(refused > kKeys * 998 / 1000);
  CHECK(table.bytes() <= size_t{100} << 20);
  // However many more come.
  for (uint64_t i = kKeys; i < 5 * kKeys / 2; ++i) table.take(key(i), limit, kNow);
  CHECK(table.bytes() <= size_t{100} << 20);
}

TEST_CASE("a flood of keys does not free one that has used much") {
  RateTable table;
  const RateLimit heavy = a_second(1, 60);
  const RateLimit light = a_second(10, 60);
  while (table.take(key(0), heavy, kNow).allowed) continue;
  for (uint64_t i = 1; i < 2'500'000; ++i) table.take(key(i), light, kNow);
  CHECK_FALSE(table.take(key(0), heavy, kNow).allowed);
}

TEST_CASE("buckets that are full again give their places away: no growth over time") {
  RateTable table;
  const RateLimit limit = a_second(10, 1);
  int64_t now = kNow;
  for (uint64_t i = 0; i < 2'000'000; ++i, now += kMs) table.take(key(i), limit, now);
  CHECK(table.bytes() < size_t{1} << 20);
}

TEST_CASE("threads share one bucket exactly") {
  RateTable table;
  const RateLimit limit = a_second(1'000, 1'000);
  std::vector<int> allowed(4);
  std::vector<std::thread> threads;
  for (int& count : allowed) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) count += table.take(key(1), limit, kNow + i).allowed ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(allowed[0] + allowed[1] + allowed[2] + allowed[3] == 1'000);
}
