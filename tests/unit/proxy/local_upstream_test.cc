#include "proxy/local_upstream.h"

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "io/manual_clock.h"
#include "io/sockets.h"
#include "proxy/ejection.h"

using lictor::Balance;
using lictor::Balancer;
using lictor::Candidate;
using lictor::ClientStream;
using lictor::Health;
using lictor::Instance;
using lictor::InstanceListPtr;
using lictor::LocalInstance;
using lictor::LocalPtr;
using lictor::LocalUpstream;
using lictor::make_local;
using lictor::Metrics;
using lictor::Millis;
using lictor::RequestSlot;
using lictor::SocketAddress;
using lictor::Subset;
using lictor::Upstream;
using lictor::UpstreamPolicy;
using lictor::Waiter;
using lictor::testing::ManualLoop;

namespace {

// A service as `workers` see it. Nobody is ever connected to: its instances are names.
struct Bench {
  explicit Bench(size_t workers = 1) : metrics(workers, {"http"}) {
    lictor::log::set_level(lictor::log::Level::kOff);
    for (size_t worker = 0; worker < workers; ++worker) {
      locals.push_back(make_local<LocalUpstream>(*loop, metrics, worker, "s"));
    }
  }
  ~Bench() {
    locals.clear();
    loop->end_turn();
    lictor::log::set_level(lictor::log::Level::kInfo);
  }

  Instance& add(const char* id, uint32_t weight = 1) {
    Instance instance;
    instance.id = id;
    instance.address = std::string(id) + ":80";
    instance.socket_address = *SocketAddress::parse("127.0.0.1:1");
    instance.weight = weight;
    return instances.emplace_back(instance);
  }
  void publish() {
    list = make_instance_list(instances, list.get());
    for (auto& local : locals) local->set_instances(list);
    publish_policy();
  }
  void publish_policy() {
    auto upstream = std::make_shared<Upstream>();
    upstream->policy = policy;
    upstream->subsets = subsets;
    for (auto& local : locals) local->set_policy(upstream);
  }
  LocalUpstream& local(size_t worker = 0) { return *locals[worker]; }

  std::string pick(uint32_t subset = 0) {
    const LocalInstance* picked = local().pick(subset, {});
    return picked == nullptr ? "(none)" : picked->id();
  }
  std::map<std::string, int> picks(int count, uint32_t subset = 0) {
    std::map<std::string, int> taken;
    for (int i = 0; i < count; ++i) ++taken[pick(subset)];
    return taken;
  }
  LocalInstance& instance(const std::string& id) {
    for (int i = 0; i < 1'000; ++i) {
      if (LocalInstance* picked = local().pick(0, {}); picked != nullptr && picked->id() == id) {
        return *picked;
      }
    }
    FAIL("no instance ", id);
    std::abort();
  }
  void fail(const std::string& id, uint32_t times) {
    LocalInstance& failing = instance(id);
    for (uint32_t i = 0; i < times; ++i) local().report(failing, false);
  }

  ManualLoop loop;
  Metrics metrics;
  std::vector<Instance> instances;
  UpstreamPolicy policy;
  std::vector<Subset> subsets = {{}};
  InstanceListPtr list;
  std::vector<LocalPtr<LocalUpstream>> locals;
};

using Taken = std::map<std::string, int>;

}  // namespace

// --- who takes requests --------------------------------------------------------------------------

TEST_CASE("before the instances are known there is none") {
  Bench bench;
  bench.publish_policy();
  CHECK(bench.pick() == "(none)");
}

TEST_CASE("usable instances take their weight's share, others nothing") {
  Bench bench;
  bench.policy.panic_percent = 0;
  bench.add("a", 3);
  bench.add("b", 1);
  bench.add("out", 0);
  bench.add("critical", 5).usable = false;
  bench.publish();
  CHECK(bench.picks(400) == Taken{{"a", 300}, {"b", 100}});
  bench.policy.balance = Balance::kRoundRobin;
  bench.publish_policy();
  CHECK(bench.picks(400) == Taken{{"a", 200}, {"b", 200}});
}

TEST_CASE("excluded instances come only when there is no other") {
  Bench bench;
  bench.add("a");
  bench.add("b");
  bench.publish();
  Candidate* excluded[] = {&bench.instance("a"), &bench.instance("b")};
  for (int i = 0; i < 10; ++i) {
    CHECK(bench.local().pick(0, {std::nullopt, std::span(excluded, 1)})->id() == "b");
  }
  CHECK(bench.local().pick(0, {std::nullopt, excluded}) != nullptr);
}

TEST_CASE("an ejected instance is left out until its time is over") {
  Bench bench;
  bench.policy.ejection.consecutive_failures = 3;
  bench.policy.ejection.base_time = Millis(10'000);
  bench.add("a");
  bench.add("b");
  bench.publish();
  bench.fail("a", 2);
  CHECK(bench.picks(10) == Taken{{"a", 5}, {"b", 5}});
  bench.fail("a", 1);
  CHECK(bench.picks(10) == Taken{{"b", 10}});
  bench.loop.pass(10'100);
  CHECK(bench.picks(10) == Taken{{"a", 5}, {"b", 5}});
}

TEST_CASE("what one worker learns of an instance all know") {
  Bench bench(2);
  bench.policy.ejection.consecutive_failures = 2;
  bench.add("a");
  bench.add("b");
  bench.publish();
  bench.fail("a", 2);
  for (int i = 0; i < 10; ++i) CHECK(bench.local(1).pick(0, {})->id() == "b");
}

TEST_CASE("a success ends the row of failures") {
  Bench bench;
  bench.policy.ejection.consecutive_failures = 3;
  bench.add("a");
  bench.add("b");
  bench.publish();
  bench.fail("a", 2);
  bench.local().report(bench.instance("a"), true);
  bench.fail("a", 2);
  CHECK(bench.picks(10) == Taken{{"a", 5}, {"b", 5}});
}

TEST_CASE("failure statuses are the policy's") {
  Bench bench;
  bench.policy.ejection.failure_status = {500, 599};
  bench.publish();
  CHECK(bench.local().is_failure_status(599));
  CHECK_FALSE(bench.local().is_failure_status(503));
}

TEST_CASE("instances come and go, those that stay keep their turn") {
  Bench bench;
  bench.add("a");
  bench.add("b");
  bench.publish();
  const std::string first = bench.pick();
  const std::string second = bench.pick();
  CHECK(first != second);
  for (int i = 0; i < 10; ++i) {
    bench.publish();
    CHECK(bench.pick() == (i % 2 == 0 ? first : second));
  }
  bench.instances.erase(bench.instances.begin());
  bench.add("c");
  bench.publish();
  CHECK(bench.picks(10) == Taken{{"b", 5}, {"c", 5}});
}

TEST_CASE("an instance whose name leads to another address is connected to there") {
  Bench bench;
  bench.add("a");
  bench.publish();
  const LocalInstance* before = &bench.instance("a");
  bench.publish();
  CHECK(&bench.instance("a") == before);
  const SocketAddress moved = *SocketAddress::parse("127.0.0.2:1");
  bench.instances.back().socket_address = moved;
  bench.publish();
  CHECK(bench.instance("a").socket_address() == moved);
  CHECK(&bench.instance("a").state() == bench.list->instances[0].state.get());
}

// --- panic ---------------------------------------------------------------------------------------

TEST_CASE("when too few are usable all that may be alive are used") {
  Bench bench;
  bench.add("good");
  bench.add("warning").health = Health::kWarning;
  bench.instances.back().usable = false;
  bench.add("critical").health = Health::kCritical;
  bench.instances.back().usable = false;
  bench.add("kept out").health = Health::kMaintenance;
  bench.instances.back().usable = false;
  SUBCASE("under the share") {
    bench.policy.panic_percent = 50;
    bench.publish();
    CHECK(bench.picks(10) == Taken{{"good", 5}, {"warning", 5}});
  }
  SUBCASE("at the share there is no panic") {
    bench.policy.panic_percent = 25;
    bench.publish();
    CHECK(bench.picks(10) == Taken{{"good", 10}});
  }
  SUBCASE("never") {
    bench.policy.panic_percent = 0;
    bench.publish();
    CHECK(bench.picks(10) == Taken{{"good", 10}});
  }
}

TEST_CASE("nobody helps out whose address is not known") {
  Bench bench;
  bench.policy.panic_percent = 100;
  bench.add("good");
  bench.add("lost").usable = false;
  bench.instances.back().socket_address = SocketAddress();
  bench.publish();
  CHECK(bench.picks(10) == Taken{{"good", 10}});
}

TEST_CASE("ejected instances help out in a panic, those that an operator took out do not") {
  Bench bench;
  bench.policy.ejection.consecutive_failures = 1;
  bench.policy.ejection.max_percent = 100;
  for (const char* id : {"a", "b", "c", "d"}) bench.add(id);
  bench.publish();
  for (const auto& instance : bench.list->instances) {
    if (instance.id == "d") lictor::eject_by_operator(*bench.list, *instance.state);
  }
  bench.fail("a", 1);
  CHECK(bench.picks(10) == Taken{{"b", 5}, {"c", 5}});
  bench.fail("b", 1);
  const auto taken = bench.picks(9);
  CHECK(taken == Taken{{"a", 3}, {"b", 3}, {"c", 3}});
}

// --- slow start ----------------------------------------------------------------------------------

TEST_CASE("a new instance starts slowly, the first ones do not") {
  Bench bench;
  bench.policy.slow_start = Millis(10'000);
  bench.add("old");
  bench.publish();
  bench.add("older");
  bench.instances.pop_back();
  bench.loop.pass(100);
  bench.add("new");
  bench.publish();
  const auto share = [&] {
    auto taken = bench.picks(1'000);
    return taken["new"] / 10;
  };
  const int at_start = share();
  CHECK(at_start >= 7);  // a tenth of its weight: 1 of 11
  CHECK(at_start <= 11);
  bench.loop.pass(5'000);
  const int half = share();
  CHECK(half >= 28);  // half of its weight: 1 of 3
  CHECK(half <= 36);
  bench.loop.pass(5'100);
  CHECK(share() == 50);
}

TEST_CASE("an instance that is back from its ejection starts slowly, too") {
  Bench bench;
  bench.policy.slow_start = Millis(10'000);
  bench.policy.ejection.consecutive_failures = 1;
  bench.policy.ejection.base_time = Millis(1'000);
  bench.add("a");
  bench.add("b");
  bench.publish();
  bench.fail("a", 1);
  bench.loop.pass(1'100);
  CHECK(bench.picks(100)["a"] < 15);
  bench.loop.pass(10'100);
  CHECK(bench.picks(100)["a"] == 50);
}

// --- subsets -------------------------------------------------------------------------------------

TEST_CASE("a subset has the instances with all of its tags and meta") {
  Bench bench;
  bench.policy.panic_percent = 0;
  bench.add("a").tags = {"v1", "blue"};
  bench.add("b").tags = {"v2"};
  bench.add("c").tags = {"v1"};
  bench.instances.back().meta = {{"zone", "1"}};
  bench.subsets = {
      {}, {{"v1"}, {}}, {{"v1"}, {{"zone", "1"}}}, {{"v3"}, {}}, {{}, {{"zone", "2"}}}};
  bench.publish();
  CHECK(bench.picks(9) == Taken{{"a", 3}, {"b", 3}, {"c", 3}});
  CHECK(bench.picks(10, 1) == Taken{{"a", 5}, {"c", 5}});
  CHECK(bench.picks(10, 2) == Taken{{"c", 10}});
  CHECK(bench.picks(10, 3) == Taken{{"(none)", 10}});
  CHECK(bench.picks(10, 4) == Taken{{"(none)", 10}});
}

TEST_CASE("each subset has its own panic") {
  Bench bench;
  bench.policy.panic_percent = 60;
  bench.add("a").tags = {"v1"};
  bench.add("b").tags = {"v1"};
  bench.instances.back().usable = false;
  bench.add("c").tags = {"v2"};
  bench.subsets = {{}, {{"v1"}, {}}};
  bench.publish();
  CHECK(bench.picks(10) == Taken{{"a", 5}, {"c", 5}});
  CHECK(bench.picks(10, 1) == Taken{{"a", 5}, {"b", 5}});
}

// --- limits --------------------------------------------------------------------------------------

TEST_CASE("max_requests counts the tries of all workers") {
  Bench bench(2);
  bench.policy.max_requests = 2;
  bench.add("a");
  bench.publish();
  RequestSlot first, second, third;
  CHECK(bench.local(0).begin_request(first, false));
  CHECK(bench.local(1).begin_request(second, false));
  CHECK_FALSE(bench.local(0).begin_request(third, false));
  CHECK_FALSE(bench.local(1).begin_request(third, false));
  first.reset();
  first.reset();
  CHECK(bench.local(1).begin_request(third, false));
  // A slot that is used again gives back what it had.
  CHECK(bench.local(1).begin_request(third, true));
  third.reset();
  second.reset();
  CHECK(bench.list->state->requests == 0);
}

TEST_CASE("retries are a share of the tries in flight, though a few are always allowed") {
  for (const uint32_t percent : {20, 50}) {
    Bench bench;
    bench.policy.retry_budget_percent = percent;
    bench.add("a");
    bench.publish();
    std::vector<RequestSlot> firsts(80), retries(100);
    size_t allowed = 0;
    const auto retry_as_allowed = [&] {
      while (allowed < retries.size() && bench.local().can_retry()) {
        CHECK(bench.local().begin_request(retries[allowed++], true));
      }
    };
    retry_as_allowed();
    CHECK(allowed == (percent == 20 ? 3 : 3));
    for (auto& slot : firsts) bench.local().begin_request(slot, false);
    retry_as_allowed();
    CHECK(allowed >= (percent == 20 ? 19 : 78));
    CHECK(allowed <= (percent == 20 ? 21 : 82));
    retries[0].reset();
    CHECK(bench.local().can_retry());
  }
  Bench never;
  never.policy.retry_budget_percent = 0;
  never.publish();
  CHECK_FALSE(never.local().can_retry());
}

// --- connections, over real sockets --------------------------------------------------------------

namespace {

// Asks for a connection, and waits for one where there is none.
struct Visitor final : Waiter {
  explicit Visitor(LocalUpstream& its_upstream) : upstream(&its_upstream) {}
  ~Visitor() {
    if (upstream != nullptr) upstream->leave(*this);
  }
  bool ask() {
    instance = LocalPtr<LocalInstance>(upstream->pick(0, {}));
    stream = instance->acquire(upstream->policy(), false);
    if (stream == nullptr) waits = upstream->wait(*this);
    return stream != nullptr;
  }
  void on_room() override {
    ++called;
    ask();
  }
  // Ends its use of the connection, which was not used for anything: it is closed.
  void release() {
    std::exchange(stream, nullptr)->release();
    instance.reset();
  }
  LocalUpstream* upstream;
  LocalPtr<LocalInstance> instance;
  ClientStream* stream = nullptr;
  bool waits = false;
  int called = 0;
};

struct Served : Bench {
  explicit Served(size_t workers = 1) : Bench(workers) {
    listener = lictor::testing::RawSocket(
        *lictor::bind_socket(*SocketAddress::parse("127.0.0.1:0"), false));
    REQUIRE(::listen(listener.fd(), 16) == 0);
    add("a").socket_address = lictor::socket_name(listener.fd());
  }
  void turns() {
    loop->end_turn();
    for (int i = 0; i < 20; ++i) loop.turn();
  }
  lictor::testing::RawSocket listener;
};

}  // namespace

TEST_CASE("beyond max_connections requests wait, in their order, until one is closed") {
  Served bench(2);
  bench.policy.max_connections = 2;
  bench.publish();
  Visitor first(bench.local(0)), second(bench.local(1)), third(bench.local(0)),
      fourth(bench.local(1)), fifth(bench.local(0));
  CHECK(first.ask());
  CHECK(second.ask());
  for (Visitor* late : {&third, &fourth, &fifth}) {
    CHECK_FALSE(late->ask());
    CHECK(late->waits);
  }
  bench.turns();
  // Each looks once when another begins to wait, and then no more until there is room.
  const int looks = third.called + fourth.called + fifth.called;
  CHECK(looks <= 4);
  bench.turns();
  CHECK(third.called + fourth.called + fifth.called == looks);
  CHECK(bench.list->state->pending == 3);
  first.release();
  bench.turns();
  REQUIRE(third.stream != nullptr);
  CHECK(fifth.stream == nullptr);
  // Workers take turns when both have waiters.
  third.release();
  bench.turns();
  REQUIRE(fourth.stream != nullptr);
  second.release();
  bench.turns();
  REQUIRE(fifth.stream != nullptr);
  CHECK(bench.list->state->pending == 0);
  fourth.release();
  fifth.release();
  bench.turns();
  CHECK(bench.list->state->connections == 0);
}

TEST_CASE("a worker that has no connection of its own gets one that another closes") {
  Served bench(2);
  bench.policy.max_connections = 1;
  bench.publish();
  Visitor first(bench.local(0)), other(bench.local(1));
  CHECK(first.ask());
  CHECK_FALSE(other.ask());
  first.release();
  bench.turns();
  CHECK(other.stream != nullptr);
  other.release();
}

TEST_CASE("a worker hands its last connection on to another's waiters") {
  Served bench(2);
  bench.policy.max_connections = 1;
  bench.publish();
  Visitor first(bench.local(0)), second(bench.local(0)), other(bench.local(1));
  first.ask();
  second.ask();
  other.ask();
  bench.turns();
  first.release();
  bench.turns();
  REQUIRE(second.stream != nullptr);
  second.release();
  bench.turns();
  REQUIRE(other.stream != nullptr);
  other.release();
}

TEST_CASE("a worker that hears of its instances first waits for the policy") {
  Served bench(1);
  bench.policy.max_connections = 1;
  bench.publish();
  Visitor first(bench.local()), second(bench.local());
  first.ask();
  second.ask();
  REQUIRE(second.waits);
  {
    auto late = make_local<LocalUpstream>(*bench.loop, bench.metrics, 0, "s");
    late->set_instances(bench.list);
    first.release();
    bench.turns();
  }
  CHECK(second.stream != nullptr);
  second.release();
}

TEST_CASE("no more than max_pending wait") {
  Served bench(2);
  bench.policy.max_connections = 1;
  bench.policy.max_pending = 2;
  bench.publish();
  Visitor first(bench.local(0)), second(bench.local(0)), third(bench.local(1)),
      fourth(bench.local(0));
  first.ask();
  second.ask();
  third.ask();
  fourth.ask();
  CHECK(second.waits);
  CHECK(third.waits);
  CHECK_FALSE(fourth.waits);
  bench.local(0).leave(second);
  bench.local(0).leave(second);
  fourth.ask();
  CHECK(fourth.waits);
  bench.local(1).leave(third);
  bench.local(0).leave(fourth);
  first.release();
  CHECK(bench.list->state->pending == 0);
}

TEST_CASE("a raised limit lets the waiting go on") {
  Served bench;
  bench.policy.max_connections = 1;
  bench.publish();
  Visitor first(bench.local()), second(bench.local());
  first.ask();
  second.ask();
  bench.policy.max_connections = 2;
  bench.publish_policy();
  bench.turns();
  CHECK(second.stream != nullptr);
  first.release();
  second.release();
}

TEST_CASE("a waiter that is the last to need its upstream takes it along") {
  Served bench;
  bench.policy.max_connections = 1;
  bench.publish();
  Visitor first(bench.local());
  first.ask();
  struct Last final : Waiter {
    void on_room() override { held.reset(); }
    LocalPtr<LocalUpstream> held;
  } last;
  last.held = bench.locals[0];
  CHECK(last.held->wait(last));
  bench.locals.clear();
  first.upstream = nullptr;
  first.release();
  bench.turns();
  CHECK_FALSE(last.held);
}
