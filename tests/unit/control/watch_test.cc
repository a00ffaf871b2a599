#include "control/watch.h"

#include <doctest/doctest.h>

#include "control/support.h"

using namespace lictor;
using test::FakeFetcher;

namespace {

// One watch with all that it needs. The sink takes whatever doesn't look broken, unless told.
struct Bench {
  explicit Bench(ConsulConfig config = {}, const std::string& datacenter = "")
      : agent(std::move(config), scheduler, fetcher),
        watch(agent, options(datacenter), [this](const ConsulAnswer& answer, Watch::Trust t) {
          trust = t;
          seen.push_back(answer.body);
          if (answer.body == "garbage") return Watch::Verdict{Watch::Verdict::kMalformed, "[0]"};
          if (answer.body == "fewer" && !t.may_remove) {
            return Watch::Verdict{Watch::Verdict::kHeld, "1 of 2 instances would be lost"};
          }
          return Watch::Verdict{verdict, {}};
        }) {}
  static Watch::Options options(const std::string& datacenter) {
    Watch::Options out;
    out.name = "service web";
    out.query.endpoint = "health";
    out.query.path = "/v1/health/service/web";
    out.query.datacenter = datacenter;
    return out;
  }
  std::string index_asked() const {
    const std::string url = fetcher.url();
    const size_t at = url.find("index=");
    return at == std::string::npos ? "" : url.substr(at + 6, url.find('&', at) - at - 6);
  }
  uint64_t count(const std::string& outcome) const {
    const auto at = agent.consul.by_outcome().find({"health", outcome});
    return at == agent.consul.by_outcome().end() ? 0 : at->second;
  }
  // The pause until the next query, which is then out.
  Millis pause() {
    for (int64_t ms = 0; ms < 60'000; ++ms) {
      if (fetcher.pending() != 0) return Millis(ms);
      scheduler.advance(Millis(1));
    }
    return Millis(-1);
  }

  test::ManualScheduler scheduler;
  FakeFetcher fetcher;
  Agent agent;
  std::vector<std::string> seen;
  Watch::Trust trust;
  Watch::Verdict::Kind verdict = Watch::Verdict::kChanged;
  Watch watch;
};

}  // namespace

TEST_CASE("a watch asks plainly first, then blocks on the index it was given") {
  Bench b;
  b.watch.start();
  CHECK(b.fetcher.url() == "http://127.0.0.1:8500/v1/health/service/web");
  CHECK_FALSE(b.watch.answered());
  b.fetcher.answer(42, "a");
  CHECK(b.watch.answered());
  CHECK(b.seen == std::vector<std::string>{"a"});
  CHECK(b.pause() == Watch::kSpacing);
  CHECK(b.fetcher.url() == "http://127.0.0.1:8500/v1/health/service/web?index=42&wait=300s");
}

TEST_CASE("an unchanged answer changes nothing, however the index moves") {
  Bench b;
  b.watch.start();
  for (uint64_t index = 1; index < 10; ++index) {
    b.fetcher.answer(index, "a");
    b.pause();
  }
  CHECK(b.seen.size() == 1);
  CHECK(b.index_asked() == "9");
  b.fetcher.answer(10, "b");
  CHECK(b.seen == std::vector<std::string>{"a", "b"});
}

TEST_CASE("a lower index restarts from nothing, an index below 1 means 1") {
  Bench b;
  b.watch.start();
  b.fetcher.answer(42, "a");
  b.pause();
  b.fetcher.answer(7, "b");
  CHECK(b.seen.size() == 1);  // maybe the past of a server that reads its log
  CHECK(b.pause() == Watch::kSpacing);
  CHECK(b.fetcher.url() == "http://127.0.0.1:8500/v1/health/service/web?consistent");
  b.fetcher.answer(7, "b");
  CHECK(b.seen.back() == "b");
  b.pause();
  CHECK(b.index_asked() == "7");

  Bench zero;
  zero.watch.start();
  zero.fetcher.answer(0, "a");
  zero.pause();
  CHECK(zero.index_asked() == "1");
  auto negative = FakeFetcher::ok(0, "b");
  negative.headers["x-consul-index"] = "-5";
  zero.fetcher.answer(negative);
  zero.pause();
  CHECK(zero.index_asked() == "1");
}

TEST_CASE("an answer without an index, or with one that is no number, is not Consul's") {
  for (const char* index : {"", "x", "12x", "1 2", "99999999999999999999999"}) {
    Bench b;
    b.watch.start();
    auto answer = FakeFetcher::ok(1, "[]");
    answer.headers["x-consul-index"] = index;
    b.fetcher.answer(answer);
    CHECK(b.seen.empty());
    CHECK(b.count("malformed") == 1);
  }
}

TEST_CASE("a moving index without a change is asked less than 20 times a second, then less") {
  Bench b;
  b.watch.start();
  uint64_t index = 1;
  const auto asks_in_a_second = [&] {
    const uint64_t before = b.fetcher.total();
    for (int i = 0; i < 1000; ++i) {
      if (b.fetcher.pending() != 0) b.fetcher.answer(++index, "a");
      b.scheduler.advance(Millis(1));
    }
    return b.fetcher.total() - before;
  };
  CHECK(asks_in_a_second() <= 19);
  asks_in_a_second();
  CHECK(asks_in_a_second() <= 5);
  // A real change makes it quick again.
  b.pause();
  b.fetcher.answer(++index, "b");
  CHECK(b.pause() == Watch::kSpacing);
}

TEST_CASE("a wait that just ran out is no noise") {
  Bench b;
  b.watch.start();
  for (int i = 0; i < 50; ++i) {
    b.fetcher.answer(5, "a");
    b.pause();
  }
  b.fetcher.answer(5, "a");
  CHECK(b.pause() == Watch::kSpacing);
}

TEST_CASE("waits have jitter, at most an eighth less") {
  ConsulConfig config;
  config.wait = Millis(8'000);
  Bench b(config);
  b.scheduler.chance = 0.999;
  b.watch.start();
  b.fetcher.answer(3, "a");
  b.pause();
  CHECK(b.fetcher.url().find("wait=7001ms") != std::string::npos);
}

TEST_CASE("a fault asks again with a backoff that grows to its cap and never gives up") {
  Bench b;
  b.scheduler.chance = 0.999999;
  b.watch.start();
  std::vector<int64_t> pauses;
  for (int i = 0; i < 200; ++i) {
    b.fetcher.fail("connection refused");
    pauses.push_back(b.pause().count());
  }
  CHECK(pauses[0] <= 100);
  CHECK(pauses[1] > pauses[0]);
  CHECK(pauses[3] > pauses[2]);
  for (const int64_t pause : pauses) CHECK((pause >= 50 && pause <= Watch::kBackoffCap.count()));
  CHECK(pauses.back() >= Watch::kBackoffCap.count() - 1);
  CHECK(b.count("error") == 200);
  b.fetcher.answer(1, "a");
  b.pause();
  b.fetcher.fail("reset");
  CHECK(b.pause().count() <= 100);
}

TEST_CASE("the backoff has jitter") {
  Bench low;
  low.scheduler.chance = 0;
  low.watch.start();
  low.fetcher.fail("x");
  CHECK(low.pause() == Millis(50));
}

TEST_CASE("after a fault the next query has no index, and only a consistent read counts") {
  Bench b;
  b.watch.start();
  b.fetcher.answer(500, "a");
  b.pause();
  CHECK(b.index_asked() == "500");
  b.fetcher.fail("reset");
  b.pause();
  CHECK(b.fetcher.url() == "http://127.0.0.1:8500/v1/health/service/web?consistent");
  b.fetcher.answer(FakeFetcher::status(500, "not ready to serve consistent reads"));
  b.pause();
  CHECK(b.fetcher.url().ends_with("?consistent"));
  b.fetcher.answer(500, "b");
  CHECK(b.seen.back() == "b");
  b.pause();
  CHECK(b.fetcher.url().find("consistent") == std::string::npos);
}

TEST_CASE("with nothing known yet any good answer counts") {
  Bench b;
  b.watch.start();
  b.fetcher.fail("refused");
  b.pause();
  CHECK(b.fetcher.url() == "http://127.0.0.1:8500/v1/health/service/web");
  b.fetcher.answer(5, "a");
  CHECK(b.watch.answered());
}

TEST_CASE("another datacenter that is away says nothing of the agent") {
  Bench b({}, "dc2");
  b.watch.start();
  b.fetcher.answer(5, "a");
  REQUIRE(b.agent.monitor.connected());
  b.agent.monitor.leader(true);
  b.pause();
  b.fetcher.answer(FakeFetcher::status(500, "No path to datacenter"));
  CHECK(b.agent.monitor.connected());
  b.pause();
  b.fetcher.answer(FakeFetcher::status(500, "No cluster leader"));
  CHECK(b.agent.monitor.connected());
  CHECK(b.agent.monitor.known_leader());
  b.pause();
  b.fetcher.fail("refused");
  CHECK_FALSE(b.agent.monitor.connected());
}

TEST_CASE("nothing but a whole, good answer reaches the sink") {
  Bench b;
  b.watch.start();
  b.fetcher.answer(5, "a");
  const std::vector<HttpResponse> bad = {
      FakeFetcher::status(500, "No cluster leader"),
      FakeFetcher::status(503),
      FakeFetcher::status(429, "Too many"),
      FakeFetcher::status(403, "Permission denied"),
      FakeFetcher::status(400),
      FakeFetcher::status(301),
      FakeFetcher::status(204),
      FakeFetcher::ok(6, "", 404),
      FakeFetcher::ok(6, "[]", 500),
  };
  for (const auto& response : bad) {
    b.pause();
    b.fetcher.answer(response);
  }
  CHECK(b.seen == std::vector<std::string>{"a"});
  CHECK(b.count("ok") == 1);
  CHECK(b.count("5xx") == 3);
  CHECK(b.count("4xx") == 4);
  CHECK(b.count("malformed") == 2);
}

TEST_CASE("what the sink can't read is a fault, and a later good answer is taken") {
  Bench b;
  b.watch.start();
  b.fetcher.answer(5, "garbage");
  CHECK_FALSE(b.watch.answered());
  CHECK(b.count("malformed") == 1);
  CHECK(b.agent.monitor.last_error() == "service web: malformed answer: [0]");
  b.pause();
  CHECK(b.index_asked().empty());
  b.fetcher.answer(5, "a");
  CHECK(b.watch.answered());
}

TEST_CASE("a query that is not answered by wait x 17/16 + 10 s is given up and asked again") {
  ConsulConfig config;
  config.wait = Millis(16'000);
  Bench b(config);
  b.watch.start();
  b.scheduler.advance(Watch::kGrace - Millis(1));  // the first has no wait
  CHECK(b.fetcher.total() == 1);
  b.fetcher.answer(5, "a");
  b.pause();
  b.scheduler.advance(Millis(26'998));  // the pause went 1 ms beyond
  CHECK(b.fetcher.total() == 2);
  CHECK(b.count("timeout") == 0);
  b.scheduler.advance(Millis(1));
  CHECK(b.count("timeout") == 1);
  CHECK(b.fetcher.pending() == 0);
  CHECK_FALSE(b.agent.monitor.connected());
  b.pause();
  CHECK(b.fetcher.total() == 3);
  CHECK(b.index_asked().empty());
}

TEST_CASE("without a known leader an answer may add but not take away") {
  Bench b;
  b.watch.start();
  b.fetcher.answer(5, "a");
  CHECK(b.trust.may_remove);
  b.pause();
  b.fetcher.answer(FakeFetcher::ok(6, "fewer", 200, false));
  CHECK(b.count("held") == 1);
  CHECK_FALSE(b.agent.monitor.known_leader());
  CHECK(b.agent.monitor.connected());
  CHECK(b.pause() == Watch::kHeldPause);
  CHECK(b.index_asked().empty());
  b.fetcher.answer(FakeFetcher::ok(6, "more", 200, false));
  CHECK(b.seen.back() == "more");
  CHECK(b.count("ok") == 2);
  b.pause();
  b.fetcher.answer(FakeFetcher::ok(7, "fewer", 200, false));
  b.pause();
  b.fetcher.answer(7, "fewer");
  CHECK(b.count("ok") == 3);
  CHECK(b.agent.monitor.known_leader());
}

TEST_CASE("an answer stays held as long as no leader is known, asked less often in time") {
  Bench b;
  b.watch.start();
  b.fetcher.answer(5, "a");
  for (int i = 0; i < 50; ++i) {
    b.pause();
    b.fetcher.answer(FakeFetcher::ok(6, "fewer", 200, false));
  }
  CHECK(b.count("held") == 50);
  CHECK(b.count("ok") == 1);
  CHECK(b.pause() == Watch::kHeldLongPause);
}

TEST_CASE("an index that goes backwards takes away only when it still does a second later") {
  Bench b;
  b.watch.start();
  b.fetcher.answer(500, "a");
  b.pause();
  b.fetcher.fail("reset");
  b.pause();
  b.fetcher.answer(12, "fewer");
  CHECK(b.count("held") == 1);
  CHECK_FALSE(b.trust.may_remove);
  const Millis since = b.scheduler.now();
  while (b.count("ok") == 1 && b.scheduler.now() - since < Millis(5'000)) {
    b.pause();
    b.fetcher.answer(12, "fewer");
  }
  CHECK(b.count("ok") == 2);
  CHECK(b.scheduler.now() - since >= Watch::kSettle);
  CHECK(b.scheduler.now() - since < Millis(1'500));
  b.pause();
  CHECK(b.index_asked() == "12");
}

TEST_CASE("what comes back within the second was never away") {
  Bench b;
  b.watch.start();
  b.fetcher.answer(500, "a");
  b.pause();
  b.fetcher.answer(12, "fewer");
  b.pause();
  b.fetcher.answer(12, "fewer");
  b.pause();
  b.fetcher.answer(13, "a");
  CHECK(b.count("held") == 2);
  CHECK(b.count("ok") == 2);
  b.pause();
  b.fetcher.answer(14, "fewer");  // forward again: taken at once
  CHECK(b.count("held") == 2);
  CHECK(b.count("ok") == 3);
}

TEST_CASE("the sink is told that the agent was lost, also when the content is the same") {
  Bench b;
  b.watch.start();
  b.fetcher.answer(5, "a");
  CHECK_FALSE(b.trust.after_loss);
  b.pause();
  b.fetcher.fail("reset");
  b.pause();
  b.fetcher.answer(5, "a");
  CHECK(b.seen.size() == 2);
  CHECK(b.trust.after_loss);
  b.pause();
  b.fetcher.answer(6, "b");
  CHECK_FALSE(b.trust.after_loss);
  b.pause();
  b.fetcher.answer(FakeFetcher::status(403));  // its query's fault, not the agent's
  b.pause();
  b.fetcher.answer(7, "c");
  CHECK_FALSE(b.trust.after_loss);
}

TEST_CASE("a refused query is asked more slowly: it won't pass by itself") {
  Bench b;
  b.scheduler.chance = 0.999999;
  b.watch.start();
  for (int i = 0; i < 10; ++i) {
    b.fetcher.answer(FakeFetcher::status(403, "Permission denied"));
    b.pause();
  }
  b.fetcher.answer(FakeFetcher::status(403, "Permission denied"));
  const auto pause = b.pause();
  CHECK((pause > Millis(9'000) && pause <= Watch::kRefusedCap));
}

TEST_CASE("after 200 faults in a row a change is seen within 2 s") {
  Bench b;
  b.watch.start();
  b.fetcher.answer(100, "a");
  const std::vector<HttpResponse> faults = {
      FakeFetcher::status(500), FakeFetcher::status(429), FakeFetcher::ok(101, "garbage"),
      FakeFetcher::ok(3, "a"), FakeFetcher::ok(101, "fewer", 200, false)};
  for (int i = 0; i < 200; ++i) {
    for (const double chance : {0.0, 0.3, 0.9}) b.scheduler.chance = chance;
    REQUIRE(b.pause() >= Millis(0));
    if (i % 6 == 5) {
      b.fetcher.fail("truncated");
    } else {
      b.fetcher.answer(faults[static_cast<size_t>(i) % 6 % faults.size()]);
    }
  }
  CHECK(b.pause() <= Millis(1'250));
  b.fetcher.answer(102, "b");
  CHECK(b.seen.back() == "b");
  for (const auto& body : b.seen) CHECK(body != "[]");
}

TEST_CASE("an answer of which the token may see nothing is a refusal") {
  Bench b;
  b.watch.start();
  b.fetcher.answer(5, "[1]");
  b.pause();
  auto answer = FakeFetcher::ok(6, "[]\n");
  answer.headers["x-consul-results-filtered-by-acls"] = "true";
  b.fetcher.answer(answer);
  CHECK(b.count("4xx") == 1);
  CHECK(b.seen == std::vector<std::string>{"[1]"});
  b.pause();
  answer.body = "[1, 2]";  // a part of it is something to go by
  b.fetcher.answer(answer);
  CHECK(b.seen.size() == 2);
}

TEST_CASE("a watch that dies takes its query with it") {
  test::ManualScheduler scheduler;
  FakeFetcher fetcher;
  Agent agent(ConsulConfig{}, scheduler, fetcher);
  {
    Watch watch(agent, Bench::options(""),
                [](const ConsulAnswer&, Watch::Trust) { return Watch::Verdict{}; });
    watch.start();
    CHECK(fetcher.pending() == 1);
  }
  CHECK(fetcher.pending() == 0);
  CHECK(scheduler.armed() == 0);
  CHECK(agent.budget.taken() == 0);
}

TEST_CASE("what is known from an earlier life only gives way to a consistent read after a fault") {
  Bench b;
  b.watch.assume_known();
  b.watch.start();
  b.fetcher.fail("refused");
  b.pause();
  CHECK(b.fetcher.url().ends_with("?consistent"));
}
