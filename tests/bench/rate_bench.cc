// What a check of a rate limit costs (issue: under 200 ns with two threads), and what its table
// takes.
//
//   meson compile -C build rate_bench && build/tests/rate_bench
//
// A check is what the filter does for a request: the time, the seeded hash of the key, the bucket.
// "hot": a thousand keys, as most gateways have most of the time; "wide": a million, with cache
// misses; "one": a single key, for which all threads wait in turn. What counts is the CPU time of
// the slowest thread: what else the machine does leaves that alone, mostly.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <thread>
#include <vector>

#include "base/siphash.h"
#include "filter/rate_table.h"
#include "io/loop.h"

namespace {

using namespace lictor;  // NOLINT: many names, one program

constexpr size_t kChecks = 2'000'000;
constexpr size_t kRounds = 9;
constexpr RateLimit kLimit{1'000'000, 100'000'000};

int64_t cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// In ns a check.
double run(RateTable& table, const HashSeed& seed, uint64_t keys, size_t threads) {
  std::vector<std::thread> running;
  std::vector<double> took(threads);
  for (size_t t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      uint64_t state = 0x9e3779b97f4a7c15 * (t + 1);
      const int64_t began = cpu_ns();
      for (size_t i = 0; i < kChecks; ++i) {
        state = state * 6364136223846793005 + 1442695040888963407;
        const uint64_t address[2] = {0, (state >> 33) % keys};
        const Hash128 key = SipHash(seed).word(1).word(2).word(0).finish(
            {reinterpret_cast<const char*>(address), sizeof(address)});
        table.take(key, kLimit, static_cast<int64_t>(monotonic_ns()));
      }
      took[t] = static_cast<double>(cpu_ns() - began) / kChecks;
    });
  }
  for (auto& thread : running) thread.join();
  return *std::max_element(took.begin(), took.end());
}

}  // namespace

int main() {
  const HashSeed seed = random_seed();
  struct Kind {
    const char* name;
    uint64_t keys;
  };
  for (const auto& [name, keys] : {Kind{"one", 1}, Kind{"hot", 1'000}, Kind{"wide", 1'000'000}}) {
    RateTable table;
    run(table, seed, keys, 2);  // warm
    for (const size_t threads : {size_t{1}, size_t{2}}) {
      std::vector<double> rounds;
      for (size_t i = 0; i < kRounds; ++i) rounds.push_back(run(table, seed, keys, threads));
      std::sort(rounds.begin(), rounds.end());
      std::printf("%-4s %7lu keys, %zu thread(s): %5.0f ns a check (least %.0f)\n", name,
                  static_cast<unsigned long>(keys), threads, rounds[kRounds / 2], rounds[0]);
    }
  }
  RateTable table;
  for (uint64_t i = 0; i < 1'000'000; ++i) {
    table.take(SipHash(seed).word(i).finish({}), {1'000'000'000, 1'000'000'000}, 1'000'000'000);
  }
  std::printf("1000000 keys: %.1f MiB\n", static_cast<double>(table.bytes()) / (1 << 20));
}
