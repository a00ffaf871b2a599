#include "filter/verdict_cache.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

using Cache = lictor::VerdictCache<int>;

TEST_CASE("verdict cache: known by the whole text, until its time") {
  Cache cache(1024, 1 << 20);
  const std::string end(100, 's');
  cache.put("a" + end, 1, 0, 10);
  CHECK(cache.find("a" + end, 9) == 1);
  CHECK_FALSE(cache.find("b" + end, 9));  // ends alike
  CHECK_FALSE(cache.find(end, 9));
  CHECK_FALSE(cache.find("a" + end, 10));
  CHECK(cache.size() == 0);
  cache.put("", 2, 0, 10);
  CHECK(cache.find("", 0) == 2);
}

TEST_CASE("verdict cache: the same text again takes the place of the old one") {
  Cache cache(1024, 1 << 20);
  cache.put("a", 1, 0, 10);
  cache.put("a", 2, 0, 20);
  CHECK(cache.size() == 1);
  CHECK(cache.find("a", 15) == 2);
}

TEST_CASE("verdict cache: never more entries or bytes than it may have") {
  Cache few(64, 1 << 20);
  for (int i = 0; i < 10'000; ++i) few.put(std::to_string(i), i, 0, 10);
  CHECK(few.size() <= 64);
  CHECK(few.find("9999", 0) == 9999);

  Cache small(1 << 20, 64 << 10);
  for (int i = 0; i < 1'000; ++i) small.put(std::to_string(i), i, 1'000, 10);
  CHECK(small.size() <= (64 << 10) / 1'000);
  small.put("large", 1, 64 << 10, 10);
  CHECK_FALSE(small.find("large", 0));
}

TEST_CASE("verdict cache: what was used last stays") {
  Cache cache(64, 1 << 20);
  cache.put("mine", 1, 0, 10);
  for (int i = 0; i < 1'000; ++i) {
    cache.put(std::to_string(i), i, 0, 10);
    CHECK(cache.find("mine", 0) == 1);
  }
}

TEST_CASE("verdict cache: many threads") {
  Cache cache(256, 1 << 20);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache] {
      for (int i = 0; i < 5'000; ++i) {
        const std::string key = std::to_string(i % 500);
        if (const auto found = cache.find(key, 0)) {
          if (*found != i % 500) FAIL("another's verdict");
        } else {
          cache.put(key, i % 500, 0, 10);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(cache.size() <= 256);
}
