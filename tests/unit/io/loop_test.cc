#include "io/loop.h"

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "io/manual_clock.h"

using lictor::Flushable;
using lictor::Loop;
using lictor::Mortal;
using lictor::Timer;
using lictor::testing::ManualLoop;

namespace {

// Writes down when it is flushed and when it dies, and may do something then.
struct Spy final : Flushable, Mortal {
  Spy(std::string& its_log, char its_name) : log(its_log), name(its_name) {}
  ~Spy() override {
    log += '-';
    log += name;
    if (at_end) at_end();
  }
  void flush() override {
    log += name;
    if (at_flush) at_flush();
  }
  std::string& log;
  char name;
  std::function<void()> at_flush;
  std::function<void()> at_end;
};

struct Alarm {
  Alarm() { timer.bind<&Alarm::fire>(this); }
  void fire() { ++fired; }
  Timer timer;
  int fired = 0;
};

}  // namespace

TEST_CASE("tasks run on the loop's thread, in the order they were posted") {
  Loop loop;
  std::string order;
  std::thread::id ran;
  std::thread runner([&] { loop.run(); });
  const auto runners_id = runner.get_id();
  for (char task = 'a'; task <= 'z'; ++task) {
    CHECK(loop.post([&order, task] { order += task; }));
  }
  loop.post([&] {
    ran = std::this_thread::get_id();
    loop.stop();
  });
  runner.join();
  CHECK(order == "abcdefghijklmnopqrstuvwxyz");
  CHECK(ran == runners_id);
}

TEST_CASE("tasks of several threads all run, each thread's in order") {
  Loop loop;
  constexpr size_t kTasks = 1'000;
  std::vector<size_t> next(4);
  size_t done = 0;
  bool ordered = true;
  std::vector<std::thread> threads;
  for (size_t thread = 0; thread < next.size(); ++thread) {
    threads.emplace_back([&, thread] {
      for (size_t i = 0; i < kTasks; ++i) {
        loop.post([&, thread, i] {
          ordered = ordered && next[thread]++ == i;
          if (++done == kTasks * next.size()) loop.stop();
        });
      }
    });
  }
  loop.run();
  for (auto& thread : threads) thread.join();
  CHECK(ordered);
  CHECK(done == kTasks * next.size());
}

TEST_CASE("a task may post another") {
  ManualLoop loop;
  std::string order;
  loop->post([&] {
    order += 'a';
    loop->post([&] { order += 'c'; });
    order += 'b';
  });
  for (int i = 0; i < 5; ++i) loop.turn();
  CHECK(order == "abc");
}

TEST_CASE("tasks that never ran are dropped with the loop, not leaked") {
  const auto held = std::make_shared<int>(1);
  {
    Loop loop;
    loop.post([held] {});
    CHECK(held.use_count() == 2);
  }
  CHECK(held.use_count() == 1);
}

TEST_CASE("a loop that was stopped when it did not run still closes its handles") {
  uv_async_t handle;
  bool closed = false;
  {
    Loop loop;
    uv_async_init(loop.uv(), &handle, nullptr);
    handle.data = &closed;
    uv_close(reinterpret_cast<uv_handle_t*>(&handle),
             [](uv_handle_t* h) { *static_cast<bool*>(h->data) = true; });
    loop.stop();
  }
  CHECK(closed);
}

TEST_CASE("a turn ends with what is to be sent, then with the dead") {
  Loop loop;
  std::string log;
  auto* a = new Spy(log, 'a');
  auto* b = new Spy(log, 'b');
  loop.bury(a);
  loop.bury(a);
  loop.flush_later(*b);
  loop.flush_later(*a);
  loop.flush_later(*b);
  loop.bury(b);
  CHECK(log.empty());
  loop.end_turn();
  CHECK(log == "ba-a-b");
}

TEST_CASE("flushing may make others dirty and dead, dying may bury others") {
  Loop loop;
  std::string log;
  auto* a = new Spy(log, 'a');
  auto* b = new Spy(log, 'b');
  auto* c = new Spy(log, 'c');
  a->at_flush = [&, a] {
    loop.flush_later(*b);
    loop.bury(a);
  };
  a->at_end = [&] { loop.bury(b); };
  b->at_end = [&] { loop.bury(c); };
  loop.flush_later(*a);
  loop.end_turn();
  CHECK(log == "ab-a-b-c");
}

TEST_CASE("who dies dirty is not flushed") {
  Loop loop;
  std::string log;
  auto spy = std::make_unique<Spy>(log, 'a');
  loop.flush_later(*spy);
  spy.reset();
  loop.end_turn();
  CHECK(log == "-a");
}

TEST_CASE("a task ends its turn before the next begins") {
  ManualLoop loop;
  std::string log;
  loop->post([&] { loop->bury(new Spy(log, 'a')); });
  loop->post([&] { log += '.'; });
  for (int i = 0; i < 3; ++i) loop.turn();
  CHECK(log == "-a.");
}

TEST_CASE("the loop wakes up for its timers") {
  ManualLoop loop;
  Alarm soon, later, never;
  loop->arm(later.timer, 5'000);
  loop->arm(soon.timer, 100);
  loop->arm(never.timer, 200);
  Loop::cancel(never.timer);
  loop.pass(99);
  CHECK(soon.fired == 0);
  loop.pass(20);
  CHECK(soon.fired == 1);
  loop.pass(4'870);
  CHECK(later.fired == 0);
  loop.pass(30);
  CHECK(later.fired == 1);
  loop->arm(soon.timer, 50);
  loop.pass(70);
  CHECK(soon.fired == 2);
  CHECK(never.fired == 0);
}

TEST_CASE("a timer that is armed from a timer fires in its time") {
  ManualLoop loop;
  struct Ticker {
    explicit Ticker(Loop& its_loop) : loop(its_loop) { timer.bind<&Ticker::fire>(this); }
    void fire() {
      ++fired;
      loop.arm(timer, 1'000);
    }
    Loop& loop;
    Timer timer;
    int fired = 0;
  } ticker(*loop);
  loop->arm(ticker.timer, 1'000);
  for (int ms = 0; ms < 10'100; ms += 4) loop.pass(4);
  CHECK(ticker.fired >= 9);
  CHECK(ticker.fired <= 10);
}

TEST_CASE("time is that of the turn") {
  ManualLoop loop;
  const uint64_t before = loop->now_ms();
  loop.pass(1'234);
  CHECK(loop->now_ms() == before + 1'234);
}
