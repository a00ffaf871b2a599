#include "control/waker.h"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "control/agent.h"
#include "control/support.h"
#include "control/watch.h"

using namespace lictor;
using test::FakeFetcher;

namespace {

const std::vector<std::string> kWakes = {"/v1/health/state/any", "/v1/catalog/services",
                                         "/v1/catalog/nodes"};

// Watches beyond the budget. Polls are answered at once and don't move; the test moves the rest.
struct Fleet {
  explicit Fleet(size_t services, uint32_t connections = 11, const std::string& datacenter = {})
      : agent(config(connections), scheduler, fetcher) {
    for (size_t i = 0; i < services; ++i) {
      Watch::Options options;
      options.name = "service s" + std::to_string(i);
      options.query.endpoint = "health";
      options.query.path = "/poll" + std::to_string(i) + ".";
      options.query.datacenter = datacenter;
      watches.push_back(
          std::make_unique<Watch>(agent, options, [this](const ConsulAnswer&, Watch::Trust trust) {
            after_loss += trust.after_loss ? 1 : 0;
            return Watch::Verdict{Watch::Verdict::kSame, {}};
          }));
      watches.back()->start();
    }
  }
  static ConsulConfig config(uint32_t connections) {
    ConsulConfig out;
    out.max_connections = connections;
    return out;
  }
  void answer_polls() {
    while (!fetcher.url("/poll").empty()) {
      if (fetcher.url("/poll").find("consistent") != std::string::npos) ++consistent;
      fetcher.answer(5, "same", "/poll");
      ++polls;
    }
  }
  // Polls while time passes.
  size_t polls_during(Millis time) {
    const size_t before = polls;
    for (Millis passed{0}; passed < time; passed += Millis(5)) {
      answer_polls();
      scheduler.advance(Millis(5));
    }
    return polls - before;
  }
  void answer_wakes(uint64_t index, const std::string& body = "[]") {
    for (const auto& wake : kWakes) {
      if (!fetcher.url(wake).empty()) fetcher.answer(index, body, wake);
    }
  }
  // Until all have been read, and read again as the wake-up began.
  void settle() {
    for (int i = 0; i < 3; ++i) {
      polls_during(Millis(100));
      answer_wakes(1);
    }
    polls_during(Millis(5'000));
  }
  uint64_t count(const std::string& outcome) const {
    const auto at = agent.consul.by_outcome().find({"wake", outcome});
    return at == agent.consul.by_outcome().end() ? 0 : at->second;
  }

  test::ManualScheduler scheduler;
  FakeFetcher fetcher;
  Agent agent;
  size_t polls = 0;
  size_t consistent = 0;
  size_t after_loss = 0;
  std::vector<std::unique_ptr<Watch>> watches;
};

}  // namespace

TEST_CASE("while there is a slot for every watch, no wake-up is asked for") {
  Fleet fleet(10);
  for (const auto& wake : kWakes) CHECK(fleet.fetcher.url(wake).empty());
}

TEST_CASE("in a crowd three queries watch over what sleeps, and block") {
  Fleet fleet(50);
  fleet.settle();
  for (const auto& wake : kWakes) {
    INFO(wake);
    CHECK(fleet.fetcher.url(wake).find("index=1&wait=300s") != std::string::npos);
  }
  CHECK(fleet.fetcher.url(kWakes[0]).find("filter=Status%20%21%3D%20%22passing%22") !=
        std::string::npos);
  CHECK(fleet.fetcher.url(kWakes[2]).find("filter=Node%20%3D%3D%20%22%22") != std::string::npos);
  CHECK(fleet.fetcher.most_at_once() <= 10);
}

TEST_CASE("what sleeps is asked about every 30 s") {
  Fleet fleet(50);
  fleet.settle();
  CHECK(fleet.polls_during(Millis(20'000)) == 0);
  CHECK(fleet.polls_during(Millis(20'000)) == 50);
}

TEST_CASE("whatever moves wakes all, once") {
  for (const auto& wake : kWakes) {
    INFO(wake);
    Fleet fleet(50);
    fleet.settle();
    fleet.fetcher.answer(2, "[1]", wake);
    CHECK(fleet.fetcher.url("/poll").find("wait=50ms") != std::string::npos);
    CHECK(fleet.polls_during(Millis(400)) == 50);
    CHECK(fleet.polls_during(Millis(10'000)) == 0);
  }
}

TEST_CASE("what checks print wakes nobody, an index without content does elsewhere") {
  Fleet fleet(50);
  fleet.settle();
  fleet.fetcher.answer(2, "[]", kWakes[0]);
  CHECK(fleet.polls_during(Millis(5'000)) == 0);
  CHECK(fleet.fetcher.url(kWakes[0]).find("index=2") != std::string::npos);
  fleet.fetcher.answer(2, "[]", kWakes[1]);
  CHECK(fleet.polls_during(Millis(5'000)) == 50);
}

TEST_CASE("when all moves all the time, each is asked once a round") {
  Fleet fleet(50);
  fleet.settle();
  const size_t before = fleet.polls;
  for (uint64_t index = 2; index < 202; ++index) {
    fleet.answer_wakes(index);
    fleet.polls_during(Millis(100));
  }
  CHECK(fleet.polls - before <= 50 * 12);
  CHECK(fleet.polls - before >= 50 * 8);
  CHECK(fleet.count("ok") < 3 * 20'000 / Waker::kSpacing.count() + 20);
}

TEST_CASE("a large answer is asked for more slowly") {
  Fleet fleet(50);
  fleet.settle();
  fleet.fetcher.answer(2, std::string(4UL << 20, ' '), kWakes[0]);
  fleet.polls_during(Millis(1'000));
  CHECK(fleet.fetcher.url(kWakes[0]).empty());
  fleet.polls_during(Millis(300));
  CHECK_FALSE(fleet.fetcher.url(kWakes[0]).empty());
}

TEST_CASE("refused or not understood: plain turns, until it is well again") {
  auto odd = FakeFetcher::ok(7, R"([{"Status":"passing"}])");  // before 1.5: no filters
  auto no_index = FakeFetcher::ok(7, "[]");
  no_index.headers.erase("x-consul-index");
  for (const auto& answer :
       {FakeFetcher::status(403, "Permission denied"), FakeFetcher::status(404), odd, no_index}) {
    Fleet fleet(50);
    fleet.settle();
    fleet.fetcher.answer(answer, kWakes[0]);
    CHECK(fleet.polls_during(Millis(10'000)) > 50 * 3);
    CHECK(fleet.agent.monitor.connected());
    CHECK(fleet.agent.monitor.staleness() == Millis(0));
    CHECK(fleet.consistent == 0);
    fleet.answer_wakes(8);
    fleet.polls_during(Millis(5'000));
    CHECK(fleet.polls_during(Millis(20'000)) == 0);
  }
}

TEST_CASE("an agent that is lost is lost to those that sleep, too") {
  HttpResponse reset;
  reset.error = "connection reset";
  for (const auto& answer : {reset, FakeFetcher::status(500), FakeFetcher::status(429)}) {
    Fleet fleet(50);
    fleet.settle();
    fleet.after_loss = 0;
    fleet.fetcher.answer(answer, kWakes[1]);
    fleet.polls_during(Millis(2'000));
    CHECK(fleet.after_loss == 50);
    CHECK(fleet.consistent == 50);
  }
}

TEST_CASE("a wake-up that is never answered is given up, and the agent with it") {
  Fleet fleet(50);
  fleet.settle();
  fleet.after_loss = 0;
  fleet.polls_during(Millis(330'000));
  CHECK(fleet.after_loss >= 50);
  CHECK(fleet.count("timeout") == 3);
}

TEST_CASE("when there is room again, sleepers have long queries and nobody asks for wake-ups") {
  Fleet fleet(50);
  fleet.settle();
  fleet.watches.resize(9);
  CHECK(fleet.fetcher.pending() == 9);
  for (const auto& wake : kWakes) CHECK(fleet.fetcher.url(wake).empty());
  CHECK(fleet.fetcher.url("/poll0.").find("wait=300s") != std::string::npos);
}

TEST_CASE("too few slots for wake-ups: plain turns") {
  Fleet fleet(50, 6);
  for (const auto& wake : kWakes) CHECK(fleet.fetcher.url(wake).empty());
}

TEST_CASE("a datacenter has wake-ups of its own") {
  Fleet fleet(50, 11, "dc2");
  fleet.settle();
  for (const auto& wake : kWakes) {
    INFO(wake);
    CHECK(fleet.fetcher.url(wake).find("dc=dc2") != std::string::npos);
  }
  CHECK(fleet.polls_during(Millis(10'000)) == 0);
}
