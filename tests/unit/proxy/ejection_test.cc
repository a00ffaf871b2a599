#include "proxy/ejection.h"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"

using lictor::EjectionPolicy;
using lictor::Instance;
using lictor::InstanceListPtr;
using lictor::InstanceState;
using lictor::make_instance_list;
using lictor::Millis;

namespace {

// A service with `count` instances, and its time.
struct Service {
  explicit Service(size_t count) {
    lictor::log::set_level(lictor::log::Level::kOff);
    for (size_t i = 0; i < count; ++i) add(i, true);
    list = make_instance_list(instances, nullptr);
  }
  ~Service() { lictor::log::set_level(lictor::log::Level::kInfo); }
  void add(size_t i, bool usable) {
    Instance instance;
    instance.id = std::string("instance-") + static_cast<char>('a' + i);
    instance.usable = usable;
    instances.push_back(instance);
  }
  InstanceState& state(size_t i) { return *list->instances[i].state; }
  bool fail(size_t i, uint32_t times = 1) {
    bool ejected = false;
    for (uint32_t n = 0; n < times; ++n) {
      ejected = lictor::report_failure("s", policy, *list, state(i), list->instances[i].id, now) ||
                ejected;
    }
    return ejected;
  }
  void succeed(size_t i) { lictor::report_success(state(i)); }
  bool out(size_t i) { return state(i).ejected(); }
  size_t count_out() {
    size_t count = 0;
    for (size_t i = 0; i < list->instances.size(); ++i) count += out(i) ? 1 : 0;
    return count;
  }
  void pass(Millis time) {
    now += time.count();
    lictor::return_expired("s", *list, now);
  }
  // Ejects the instance and waits until it is back; returns how long that took, in seconds.
  int64_t eject_and_wait(size_t i) {
    REQUIRE(fail(i, policy.consecutive_failures));
    const int64_t start = now;
    while (out(i) && now - start < 1'000'000) pass(Millis(1'000));
    return (now - start) / 1'000;
  }

  std::vector<Instance> instances;
  InstanceListPtr list;
  EjectionPolicy policy;
  int64_t now = 1'000'000;
};

}  // namespace

TEST_CASE("failures in a row eject, a success between them does not") {
  Service service(4);
  CHECK_FALSE(service.fail(0, 4));
  service.succeed(0);
  CHECK_FALSE(service.fail(0, 4));
  CHECK_FALSE(service.out(0));
  CHECK(service.fail(0));
  CHECK(service.out(0));
  CHECK(service.state(0).ejections_total == 1);
  CHECK_FALSE(service.out(1));
}

TEST_CASE("a policy of no failures never ejects") {
  Service service(4);
  service.policy.consecutive_failures = 0;
  CHECK_FALSE(service.fail(0, 1'000));
}

TEST_CASE("an ejected instance is back after base_time and starts from nothing") {
  Service service(4);
  service.fail(0, 5);
  service.pass(Millis(29'999));
  CHECK(service.out(0));
  service.pass(Millis(1));
  CHECK_FALSE(service.out(0));
  CHECK_FALSE(service.fail(0, 4));
  CHECK(service.fail(0));
}

TEST_CASE("the time out grows with every ejection in a row, up to max_time") {
  Service service(4);
  service.policy.max_time = Millis(100'000);
  std::vector<int64_t> times;
  times.reserve(6);
  for (int i = 0; i < 6; ++i) times.push_back(service.eject_and_wait(0));
  CHECK(times == std::vector<int64_t>{30, 60, 90, 100, 100, 100});
}

TEST_CASE("who behaves for as long as it was out starts again with base_time") {
  Service service(4);
  service.eject_and_wait(0);
  CHECK(service.eject_and_wait(0) == 60);
  service.pass(Millis(59'000));
  CHECK(service.eject_and_wait(0) == 90);
  service.pass(Millis(90'001));
  CHECK(service.eject_and_wait(0) == 30);
}

TEST_CASE("a base_time of nothing still ejects for a moment") {
  Service service(4);
  service.policy.base_time = Millis(0);
  CHECK(service.fail(0, 5));
  CHECK(service.out(0));
  service.pass(Millis(1));
  CHECK_FALSE(service.out(0));
}

TEST_CASE("at most max_percent of the usable are out at once") {
  struct Case {
    size_t instances;
    uint32_t percent;
    size_t most;
  };
  for (const auto& [count, percent, most] :
       {Case{10, 50, 5}, Case{10, 30, 3}, Case{10, 39, 3}, Case{3, 50, 1}, Case{4, 50, 2},
        Case{10, 5, 1}, Case{10, 100, 9}, Case{2, 100, 1}, Case{2, 50, 1}, Case{10, 0, 1}}) {
    CAPTURE(count);
    CAPTURE(percent);
    Service service(count);
    service.policy.max_percent = percent;
    for (size_t i = 0; i < count; ++i) service.fail(i, 5);
    CHECK(service.count_out() == most);
  }
}

TEST_CASE("the last usable instance is never ejected") {
  Service one(1);
  one.policy.max_percent = 100;
  CHECK_FALSE(one.fail(0, 100));
  Service two(2);
  two.policy.max_percent = 100;
  CHECK(two.fail(0, 5));
  CHECK_FALSE(two.fail(1, 100));
}

TEST_CASE("instances that are out by their checks count for nothing") {
  Service service(2);
  for (size_t i = 2; i < 6; ++i) service.add(i, false);
  service.list = make_instance_list(service.instances, service.list.get());
  service.policy.max_percent = 100;
  CHECK(service.fail(0, 5));
  CHECK_FALSE(service.fail(1, 5));
}

TEST_CASE("who could not be ejected is, as soon as there is room") {
  Service service(3);
  CHECK(service.fail(0, 5));
  CHECK_FALSE(service.fail(1, 5));
  service.pass(Millis(30'000));
  CHECK_FALSE(service.out(0));
  CHECK(service.fail(1));
}

TEST_CASE("failures that arrive late don't prolong an ejection") {
  Service service(4);
  service.fail(0, 5);
  CHECK_FALSE(service.fail(0, 50));
  CHECK(service.state(0).ejections_total == 1);
  service.pass(Millis(30'000));
  CHECK_FALSE(service.out(0));
  CHECK_FALSE(service.fail(0, 4));
}

TEST_CASE("everybody returns at its own time") {
  Service service(4);
  service.fail(0, 5);
  service.pass(Millis(10'000));
  service.fail(1, 5);
  CHECK(service.list->state->next_return_ms == service.now + 20'000);
  service.pass(Millis(20'000));
  CHECK_FALSE(service.out(0));
  CHECK(service.out(1));
  service.pass(Millis(10'000));
  CHECK_FALSE(service.out(1));
  CHECK(service.list->state->next_return_ms == INT64_MAX);
}

TEST_CASE("the version moves when the set of ejected instances does, and only then") {
  Service service(4);
  const auto version = [&] { return service.list->state->version.load(); };
  const uint64_t before = version();
  service.fail(0, 4);
  service.succeed(1);
  service.pass(Millis(1'000));
  CHECK(version() == before);
  service.fail(0);
  const uint64_t ejected = version();
  CHECK(ejected > before);
  service.fail(0);
  service.pass(Millis(1'000));
  CHECK(version() == ejected);
  service.pass(Millis(30'000));
  CHECK(version() > ejected);
}

TEST_CASE("an operator's ejection stays until restored, whatever traffic says") {
  Service service(4);
  lictor::eject_by_operator(*service.list, service.state(0));
  CHECK(service.out(0));
  service.succeed(0);
  service.fail(0, 10);
  service.pass(Millis(100'000'000));
  CHECK(service.out(0));
  const uint64_t version = service.list->state->version;
  lictor::restore_by_operator(*service.list, service.state(0), service.now);
  CHECK_FALSE(service.out(0));
  CHECK(service.list->state->version > version);
}

TEST_CASE("an operator's ejection takes over one by traffic and counts once") {
  Service service(4);
  service.fail(0, 5);
  lictor::eject_by_operator(*service.list, service.state(0));
  lictor::eject_by_operator(*service.list, service.state(0));
  CHECK(service.state(0).ejections_total == 1);
  service.pass(Millis(30'000));
  CHECK(service.out(0));
}

TEST_CASE("a restored instance starts from nothing") {
  Service service(4);
  service.eject_and_wait(0);
  service.fail(0, 5);
  lictor::restore_by_operator(*service.list, service.state(0), service.now);
  CHECK_FALSE(service.out(0));
  CHECK_FALSE(service.fail(0, 4));
  service.succeed(0);
  CHECK(service.eject_and_wait(0) == 30);
}

TEST_CASE("an operator may eject the last instance") {
  Service service(1);
  lictor::eject_by_operator(*service.list, service.state(0));
  CHECK(service.out(0));
}

TEST_CASE("ejections survive a new instance list") {
  Service service(4);
  service.fail(1, 5);
  service.instances.erase(service.instances.begin());
  service.list = make_instance_list(service.instances, service.list.get());
  CHECK(service.out(0));  // the one that was second
  CHECK(service.count_out() == 1);
  service.pass(Millis(30'000));
  CHECK(service.count_out() == 0);
}

TEST_CASE("threads that fail, succeed and return at once keep the bounds") {
  Service service(10);
  service.policy.max_percent = 30;
  service.policy.base_time = Millis(1);
  std::atomic<int64_t> now{1'000'000};
  std::atomic<uint64_t> ejected{0};
  std::atomic<bool> too_many{false};
  const auto work = [&](size_t seed) {
    for (size_t i = 0; i < 3'000; ++i) {
      const size_t at = (i * 7 + seed) % 10;
      InstanceState& state = service.state(at);
      const std::string& id = service.list->instances[at].id;
      if (lictor::report_failure("s", service.policy, *service.list, state, id, now)) ++ejected;
      if (i % 16 == 0) lictor::report_success(state);
      lictor::return_expired("s", *service.list, ++now);
      const std::lock_guard lock(service.list->state->mutex);
      if (service.count_out() > 3) too_many = true;
    }
  };
  std::vector<std::thread> threads;
  for (size_t seed = 0; seed < 4; ++seed) threads.emplace_back(work, seed);
  for (auto& thread : threads) thread.join();
  CHECK_FALSE(too_many);
  CHECK(ejected > 0);
  uint64_t counted = 0;
  for (size_t i = 0; i < 10; ++i) counted += service.state(i).ejections_total;
  CHECK(counted == ejected);
  service.now = now;
  service.pass(Millis(1'000'000));
  CHECK(service.count_out() == 0);
}
