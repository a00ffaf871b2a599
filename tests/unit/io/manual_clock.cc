#include "io/manual_clock.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace {

thread_local bool stands = false;
thread_local timespec frozen;

}  // namespace

// Takes the place of libc's for the whole program, libuv's calls included.
extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const bool monotonic = clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE;
  if (!stands || !monotonic) return static_cast<int>(syscall(SYS_clock_gettime, clock, now));
  *now = frozen;
  return 0;
}

namespace lictor::testing {

ManualClock::ManualClock() {
  clock_gettime(CLOCK_MONOTONIC, &frozen);
  stands = true;
}

ManualClock::~ManualClock() { stands = false; }

void ManualClock::pass(uint64_t ms) {
  constexpr int64_t kSecond = 1'000'000'000;
  frozen.tv_sec += static_cast<time_t>(ms / 1000);
  frozen.tv_nsec += static_cast<int64_t>(ms % 1000) * 1'000'000;
  if (frozen.tv_nsec >= kSecond) {
    frozen.tv_nsec -= kSecond;
    ++frozen.tv_sec;
  }
}

}  // namespace lictor::testing
