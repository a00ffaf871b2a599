#include "io/timer.h"

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <vector>

using lictor::Timer;
using lictor::TimerWheel;

namespace {

constexpr uint64_t kTick = TimerWheel::kTickMs;

// A timer that notes when it fired, and may do something then.
struct Alarm {
  explicit Alarm(const uint64_t& clock) : now(clock) { timer.bind<&Alarm::fire>(this); }
  void fire() {
    fired.push_back(now);
    if (then) then();
  }

  const uint64_t& now;
  Timer timer;
  std::vector<uint64_t> fired;
  std::function<void()> then;
};

// A wheel whose time goes on a millisecond at a time.
struct Clock {
  explicit Clock(uint64_t start = 0) : now(start), wheel(start) {}
  void arm(Alarm& alarm, uint64_t delay) { wheel.arm(alarm.timer, now, delay); }
  void run_until(uint64_t end) {
    while (now < end) wheel.advance(++now);
  }

  uint64_t now;
  TimerWheel wheel;
};

}  // namespace

TEST_CASE("a timer is never early and at most one tick late") {
  for (const uint64_t start : {0, 1, 7, 8, 511, 512, 513, 4095, 32'767, 1'234'567}) {
    for (const uint64_t delay : {1, 2, 7, 8, 9, 15, 16, 503, 504, 505, 511, 512, 513, 4'000, 4'096,
                                 32'760, 32'768, 100'000}) {
      CAPTURE(start);
      CAPTURE(delay);
      Clock clock(start);
      Alarm alarm(clock.now);
      clock.arm(alarm, delay);
      clock.run_until(start + delay + 2 * kTick);
      REQUIRE(alarm.fired.size() == 1);
      CHECK(alarm.fired[0] >= start + delay);
      CHECK(alarm.fired[0] <= start + delay + kTick);
      CHECK_FALSE(alarm.timer.armed());
    }
  }
}

TEST_CASE("a delay of nothing fires with the next tick, not at once") {
  Clock clock(8);
  Alarm alarm(clock.now);
  clock.arm(alarm, 0);
  clock.wheel.advance(8);
  CHECK(alarm.fired.empty());
  clock.wheel.advance(16);
  CHECK(alarm.fired.size() == 1);
}

TEST_CASE("timers far away wait their whole time") {
  constexpr uint64_t kDay = 86'400'000;
  for (const uint64_t delay : {kDay, 30 * kDay, 365 * kDay}) {
    TimerWheel wheel(12'345);
    uint64_t now = 12'345;
    Alarm alarm(now);
    wheel.arm(alarm.timer, now, delay);
    // As a loop does: sleep until the wheel wants to be woken.
    for (int turns = 0; alarm.fired.empty() && turns < 20; ++turns) {
      REQUIRE(wheel.next_ms() != TimerWheel::kNever);
      REQUIRE(wheel.next_ms() > now);
      now = wheel.next_ms();
      wheel.advance(now);
    }
    REQUIRE(alarm.fired.size() == 1);
    CHECK(alarm.fired[0] >= 12'345 + delay);
    CHECK(alarm.fired[0] <= 12'345 + delay + kTick);
  }
}

TEST_CASE("a delay without end does not fire within any uptime") {
  TimerWheel wheel(0);
  uint64_t now = 0;
  Alarm alarm(now);
  wheel.arm(alarm.timer, now, UINT64_MAX / 4);
  now = uint64_t{100} * 365 * 86'400'000;
  wheel.advance(now);
  CHECK(alarm.fired.empty());
  CHECK(alarm.timer.armed());
}

TEST_CASE("arming again moves the deadline both ways") {
  Clock clock;
  Alarm later(clock.now);
  Alarm sooner(clock.now);
  clock.arm(later, 100);
  clock.arm(sooner, 5'000);
  clock.run_until(50);
  clock.arm(later, 1'000);
  clock.arm(sooner, 10);
  clock.run_until(6'000);
  REQUIRE(later.fired.size() == 1);
  CHECK(later.fired[0] >= 1'050);
  REQUIRE(sooner.fired.size() == 1);
  CHECK(sooner.fired[0] <= 60 + kTick);
}

TEST_CASE("a cancelled timer stays silent and may be armed again") {
  Clock clock;
  Alarm alarm(clock.now);
  clock.arm(alarm, 100);
  TimerWheel::cancel(alarm.timer);
  TimerWheel::cancel(alarm.timer);
  CHECK_FALSE(alarm.timer.armed());
  clock.run_until(200);
  CHECK(alarm.fired.empty());
  clock.arm(alarm, 100);
  clock.run_until(400);
  CHECK(alarm.fired.size() == 1);
}

TEST_CASE("a timer may arm itself from its own callback") {
  Clock clock;
  Alarm alarm(clock.now);
  alarm.then = [&] { clock.arm(alarm, 100); };
  clock.arm(alarm, 100);
  clock.run_until(1'100);
  CHECK(alarm.fired.size() >= 9);
  CHECK(alarm.fired.size() <= 10);
}

TEST_CASE("arming without delay from a callback does not keep advance from returning") {
  Clock clock;
  Alarm alarm(clock.now);
  alarm.then = [&] { clock.arm(alarm, 0); };
  clock.arm(alarm, 0);
  clock.run_until(10 * kTick);
  CHECK(alarm.fired.size() == 10);
}

TEST_CASE("a callback may cancel, move and destroy others of the same tick") {
  Clock clock;
  Alarm first(clock.now);
  Alarm cancelled(clock.now);
  Alarm moved(clock.now);
  auto destroyed = std::make_unique<Alarm>(clock.now);
  Alarm last(clock.now);
  first.then = [&] {
    TimerWheel::cancel(cancelled.timer);
    clock.arm(moved, 500);
    destroyed.reset();
  };
  for (Alarm* alarm : {&first, &cancelled, &moved, destroyed.get(), &last}) clock.arm(*alarm, 100);
  clock.run_until(200);
  CHECK(first.fired.size() == 1);
  CHECK(cancelled.fired.empty());
  CHECK(moved.fired.empty());
  CHECK(last.fired.size() == 1);
  clock.run_until(1'000);
  CHECK(moved.fired.size() == 1);
}

TEST_CASE("a timer may be destroyed by its own callback") {
  struct Suicide {
    Suicide(TimerWheel& wheel, int& count) : fired(count) {
      timer.bind<&Suicide::fire>(this);
      wheel.arm(timer, 0, 50);
    }
    void fire() {
      ++fired;
      delete this;
    }
    int& fired;
    Timer timer;
  };
  TimerWheel wheel(0);
  int fired = 0;
  new Suicide(wheel, fired);
  wheel.advance(1'000);
  CHECK(fired == 1);
  CHECK(wheel.next_ms() == TimerWheel::kNever);
}

TEST_CASE("an empty wheel wants no wakening") {
  TimerWheel wheel(77);
  CHECK(wheel.next_ms() == TimerWheel::kNever);
  uint64_t now = 77;
  {
    Alarm gone(now);
    wheel.arm(gone.timer, now, 40);
    CHECK(wheel.next_ms() != TimerWheel::kNever);
  }
  CHECK(wheel.next_ms() == TimerWheel::kNever);
}

TEST_CASE("time may jump over many deadlines; they fire in order") {
  TimerWheel wheel(0);
  uint64_t now = 0;
  std::vector<int> order;
  std::vector<std::unique_ptr<Alarm>> alarms;
  const std::vector<uint64_t> delays = {70'000, 20, 3'000, 600, 5, 500'000};
  for (size_t i = 0; i < delays.size(); ++i) {
    alarms.push_back(std::make_unique<Alarm>(now));
    alarms.back()->then = [&order, i] { order.push_back(static_cast<int>(i)); };
    wheel.arm(alarms.back()->timer, 0, delays[i]);
  }
  now = 10'000'000;
  wheel.advance(now);
  CHECK(order == std::vector<int>{4, 1, 3, 2, 0, 5});
}

// The wheel against a plain map of deadlines, with random arming, cancelling and jumps of time.
TEST_CASE("the wheel does what a list of deadlines does") {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto below = [&](uint64_t most) { return random() % most; };
    uint64_t now = below(1'000'000);
    TimerWheel wheel(now);
    constexpr size_t kAlarms = 64;
    std::vector<std::unique_ptr<Alarm>> alarms;
    std::map<size_t, uint64_t> deadlines;  // by alarm, in ms
    bool good = true;
    const auto arm = [&](size_t i) {
      const uint64_t delay = below(4) == 0 ? below(20'000'000) : below(2'000);
      wheel.arm(alarms[i]->timer, now, delay);
      deadlines[i] = now + delay;
    };
    for (size_t i = 0; i < kAlarms; ++i) {
      alarms.push_back(std::make_unique<Alarm>(now));
      alarms[i]->then = [&, i] {
        good = good && deadlines.contains(i) && deadlines[i] <= now;
        deadlines.erase(i);
        if (below(3) == 0) arm(i);
        if (below(3) == 0) arm(below(kAlarms));
        if (below(5) == 0) {
          const size_t other = below(kAlarms);
          TimerWheel::cancel(alarms[other]->timer);
          deadlines.erase(other);
        }
      };
    }
    for (int step = 0; step < 3'000 && good; ++step) {
      if (below(2) == 0) arm(below(kAlarms));
      if (below(8) == 0) {
        const size_t other = below(kAlarms);
        TimerWheel::cancel(alarms[other]->timer);
        deadlines.erase(other);
      }
      now += below(10) == 0 ? below(3'000'000) : below(100);
      wheel.advance(now);
      for (const auto& [i, due] : deadlines) {
        good = good && alarms[i]->timer.armed();
        good = good && due + kTick > now - now % kTick;
        good = good && wheel.next_ms() <= due + kTick;
      }
    }
    CHECK(good);
  }
}
