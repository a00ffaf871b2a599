#include "control/budget.h"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "control/support.h"
#include "control/watch.h"

using namespace lictor;

namespace {

// Many watches on an agent with a small budget; every query is answered when it has waited.
struct Fleet {
  Fleet(uint32_t connections, size_t services, bool first_keeps_slot = false)
      : agent(config(connections), scheduler, fetcher) {
    for (size_t i = 0; i < services; ++i) {
      Watch::Options options;
      options.name = "service s" + std::to_string(i);
      options.query.endpoint = "health";
      options.query.path = "/s" + std::to_string(i) + ".";
      options.takes_turns = i != 0 || !first_keeps_slot;
      answered.push_back(0);
      watches.push_back(
          std::make_unique<Watch>(agent, options, [this, i](const ConsulAnswer&, Watch::Trust) {
            ++answered[i];
            return Watch::Verdict{Watch::Verdict::kChanged, {}};
          }));
    }
  }
  static ConsulConfig config(uint32_t connections) {
    ConsulConfig out;
    out.max_connections = connections;
    return out;
  }
  // Nobody is woken here: see waker_test.cc.
  void answer_all() {
    for (const char* wake : {"/v1/health/state/any", "/v1/catalog/services", "/v1/catalog/nodes"}) {
      if (!fetcher.url(wake).empty()) fetcher.answer(test::FakeFetcher::status(404), wake);
    }
    for (size_t left = fetcher.pending(); left > 0; --left) {
      ++index;
      auto answer = test::FakeFetcher::ok(index, std::to_string(index));
      answer.multiplexed = multiplexed;
      fetcher.answer(answer);
    }
  }
  test::ManualScheduler scheduler;
  test::FakeFetcher fetcher;
  Agent agent;
  std::vector<int> answered;
  std::vector<std::unique_ptr<Watch>> watches;
  uint64_t index = 0;
  bool multiplexed = false;
};

}  // namespace

TEST_CASE("one connection is left for what is no watch, where there is more than one") {
  CHECK(Fleet(100, 0).agent.budget.slots() == 99);
  CHECK(Fleet(2, 0).agent.budget.slots() == 1);
  CHECK(Fleet(1, 0).agent.budget.slots() == 1);
}

TEST_CASE("while there is room, every watch keeps its long query") {
  Fleet fleet(6, 5);
  for (auto& watch : fleet.watches) watch->start();
  CHECK(fleet.fetcher.pending() == 5);
  fleet.answer_all();
  fleet.scheduler.advance(Watch::kSpacing);
  CHECK(fleet.fetcher.pending() == 5);
  CHECK_FALSE(fleet.agent.budget.crowded());
  CHECK(fleet.fetcher.url().find("wait=300s") != std::string::npos);
}

TEST_CASE("more watches than slots take turns with short waits, each within the round") {
  Fleet fleet(11, 100);
  for (auto& watch : fleet.watches) watch->start();
  CHECK(fleet.fetcher.pending() == 10);
  CHECK(fleet.agent.budget.crowded());
  while (*std::min_element(fleet.answered.begin(), fleet.answered.end()) == 0) fleet.answer_all();
  CHECK(fleet.agent.budget.turn_wait() == Millis(200));
  // Each query is answered when its wait is over.
  const auto before = fleet.answered;
  for (int ms = 0; ms < 3'000; ms += 200) {
    fleet.scheduler.advance(Millis(200));
    CHECK(fleet.fetcher.url("wait=").find("wait=200ms") != std::string::npos);
    fleet.answer_all();
  }
  for (size_t i = 0; i < before.size(); ++i) CHECK(fleet.answered[i] > before[i]);
  CHECK(fleet.fetcher.most_at_once() == 10);
}

TEST_CASE("a newcomer beyond the budget ends the long queries instead of waiting for them") {
  Fleet fleet(3, 3);
  fleet.watches[0]->start();
  fleet.watches[1]->start();
  fleet.answer_all();
  fleet.scheduler.advance(Watch::kSpacing);
  CHECK(fleet.fetcher.url().find("wait=300s") != std::string::npos);
  fleet.watches[2]->start();
  fleet.scheduler.advance(Millis(1));
  for (int i = 0; i < 4; ++i) fleet.answer_all();
  CHECK(fleet.answered[2] >= 1);
  CHECK(fleet.fetcher.most_at_once() == 2);
  CHECK(fleet.agent.monitor.errors_total() == 0);  // ended by choice is no fault
}

TEST_CASE("those that must know now go ahead of those that only look again") {
  Fleet fleet(2, 4);  // one slot
  for (auto& watch : fleet.watches) watch->start();
  for (int i = 0; i < 4; ++i) {
    fleet.fetcher.answer(1, "a");  // each for the first time, before any second time
  }
  for (const int count : fleet.answered) CHECK(count == 1);
}

TEST_CASE("when watches go, the others have long queries again") {
  Fleet fleet(3, 4);
  for (auto& watch : fleet.watches) watch->start();
  for (int i = 0; i < 8; ++i) {
    fleet.answer_all();
    fleet.scheduler.advance(Watch::kSpacing);
  }
  fleet.watches.resize(2);
  CHECK_FALSE(fleet.agent.budget.crowded());
  fleet.answer_all();
  fleet.scheduler.advance(Watch::kSpacing);
  CHECK(fleet.fetcher.pending() == 2);
  CHECK(fleet.fetcher.url().find("wait=300s") != std::string::npos);
}

TEST_CASE("a watch that takes no turns keeps its long query in a crowd, but never the only slot") {
  for (const uint32_t connections : {4U, 2U}) {
    Fleet fleet(connections, 20, true);
    for (auto& watch : fleet.watches) watch->start();
    for (int i = 0; i < 40; ++i) {
      fleet.answer_all();
      fleet.scheduler.advance(Watch::kSpacing);
      if (!fleet.fetcher.url("/s0.?index").empty()) break;
    }
    const bool kept = fleet.fetcher.url("/s0.?index").find("wait=300s") != std::string::npos;
    CHECK(kept == (connections == 4));
    CHECK(*std::max_element(fleet.answered.begin() + 1, fleet.answered.end()) > 0);
  }
}

TEST_CASE("a connection that carries many queries makes room for all, until it is gone") {
  Fleet fleet(4, 250);
  fleet.multiplexed = true;
  for (auto& watch : fleet.watches) watch->start();
  CHECK(fleet.fetcher.pending() == 3);
  fleet.answer_all();
  CHECK(fleet.agent.budget.slots() == 3 * Agent::kStreams);
  CHECK_FALSE(fleet.agent.budget.crowded());
  CHECK(fleet.fetcher.pending() == 250 - 3);
  fleet.answer_all();
  fleet.scheduler.advance(Watch::kSpacing);
  CHECK(fleet.fetcher.pending() == 250);
  CHECK(fleet.fetcher.url().find("wait=300s") != std::string::npos);

  fleet.multiplexed = false;
  fleet.answer_all();
  fleet.scheduler.advance(Watch::kSpacing);
  CHECK(fleet.agent.budget.crowded());
  for (int i = 0; i < 90; ++i) {
    CHECK(fleet.fetcher.pending() <= 3);
    fleet.answer_all();
    fleet.scheduler.advance(Watch::kSpacing);
  }
}
