#include "control/publisher.h"

#include <doctest/doctest.h>

#include "control/support.h"

using namespace lictor;

namespace {

DocumentSet routes(const std::vector<std::string>& names, const std::string& extra = "") {
  DocumentSet set;
  for (const auto& name : names) {
    set.documents.push_back(
        {"routes/" + name, R"({"path":"/)" + name + R"(","service":"s")" + extra + "}", 1});
  }
  return set;
}

struct Bench final : Publisher::User {
  Bench() : publisher(scheduler, "lictor/", *this) {}
  void prepare(const Snapshot&) override { ++prepared; }
  bool warm(const Snapshot&) override { return is_warm; }
  void publish(SnapshotPtr snapshot) override { published.push_back(std::move(snapshot)); }
  DocumentState state(const std::string& key) {
    for (const auto& status : publisher.documents()) {
      if (status.key == key) return status.state;
    }
    FAIL("no such document: " << key);
    return {};
  }

  test::ManualScheduler scheduler;
  Publisher publisher;
  std::vector<SnapshotPtr> published;
  int prepared = 0;
  bool is_warm = true;
};

}  // namespace

TEST_CASE("documents are in force after a quiet time") {
  Bench b;
  b.publisher.set(routes({"a"}));
  b.scheduler.advance(Publisher::kQuiet - Millis(1));
  CHECK(b.published.empty());
  CHECK(b.publisher.snapshot() == nullptr);
  b.scheduler.advance(Millis(1));
  REQUIRE(b.published.size() == 1);
  CHECK(b.published[0]->routes.size() == 1);
  CHECK(b.publisher.snapshot() == b.published[0]);
}

TEST_CASE("a burst becomes one snapshot; one without end waits for the longest time only") {
  Bench b;
  for (int i = 0; i < 5; ++i) {
    b.publisher.set(routes({"a"}));
    b.scheduler.advance(Millis(15));
  }
  CHECK(b.published.empty());
  b.scheduler.advance(Millis(5));
  CHECK(b.published.size() == 1);

  const Millis start = b.scheduler.now();
  for (int i = 0; b.published.size() == 1 && i < 100; ++i) {
    b.publisher.set(routes({"a", "b" + std::to_string(i)}));
    b.scheduler.advance(Millis(15));
  }
  CHECK(b.published.size() == 2);
  CHECK(b.scheduler.now() - start <= Publisher::kLongest + Millis(15));
}

TEST_CASE("the same documents again publish nothing") {
  Bench b;
  b.publisher.set(routes({"a"}));
  b.scheduler.advance(Millis(100));
  b.publisher.set(routes({"a"}));
  b.scheduler.advance(Millis(100));
  CHECK(b.published.size() == 1);
  CHECK(b.publisher.history().size() == 1);
}

TEST_CASE("a snapshot waits until its services are known, or until the warm-up is over") {
  Bench b;
  b.is_warm = false;
  b.publisher.set(routes({"a"}));
  b.scheduler.advance(Millis(300));
  CHECK(b.prepared == 1);
  CHECK(b.published.empty());
  CHECK(b.publisher.documents().empty());  // not in force, not shown

  SUBCASE("known") {
    b.is_warm = true;
    b.publisher.poke();
    CHECK(b.published.empty());  // never inside
    b.scheduler.advance(Millis(0));
    CHECK(b.published.size() == 1);
  }
  SUBCASE("a poke too early") {
    b.publisher.poke();
    b.scheduler.advance(Millis(0));
    CHECK(b.published.empty());
    b.scheduler.advance(Publisher::kWarmUp);
    CHECK(b.published.size() == 1);
  }
  SUBCASE("never known") {
    b.scheduler.advance(Publisher::kQuiet + Publisher::kWarmUp - Millis(301));
    CHECK(b.published.empty());
    b.scheduler.advance(Millis(1));
    CHECK(b.published.size() == 1);
  }
  SUBCASE("others on the way don't prolong it, and the last one counts") {
    b.publisher.set(routes({"a", "b"}));
    b.scheduler.advance(Publisher::kQuiet + Publisher::kWarmUp - Millis(300));
    REQUIRE(b.published.size() == 1);
    CHECK(b.published[0]->routes.size() == 2);
    CHECK(b.publisher.history().size() == 1);
    CHECK(b.publisher.history()[0].changed ==
          std::vector<std::string>{"lictor/routes/a", "lictor/routes/b"});
  }
}

TEST_CASE("a bad document leaves what is in force, and says so") {
  Bench b;
  b.publisher.set(routes({"a"}));
  b.scheduler.advance(Millis(100));
  auto set = routes({"a"}, R"(,"bogus":1)");
  set.documents.push_back({"routes/b", "{", 1});
  b.publisher.set(set);
  b.scheduler.advance(Millis(100));
  CHECK(b.published.size() == 1);
  CHECK(b.state("lictor/routes/a") == DocumentState::kStale);
  CHECK(b.state("lictor/routes/b") == DocumentState::kRejected);
  CHECK(b.publisher.history().size() == 1);
}

TEST_CASE("a document that can't be read is stale or rejected, like a bad one") {
  Bench b;
  auto set = routes({"a", "c"});
  set.unreadable = {{"routes/a", "can't be read: Permission denied"},
                    {"routes/b", "larger than 1 MiB"}};
  b.publisher.set(set);
  b.scheduler.advance(Millis(100));
  CHECK(b.state("lictor/routes/a") == DocumentState::kStale);
  CHECK(b.state("lictor/routes/b") == DocumentState::kRejected);
  CHECK(b.state("lictor/routes/c") == DocumentState::kActive);
  CHECK(b.publisher.documents()[1].error == "larger than 1 MiB");
  b.publisher.set(routes({"a", "c"}));
  b.scheduler.advance(Millis(100));
  CHECK(b.state("lictor/routes/a") == DocumentState::kActive);
  CHECK(b.publisher.documents().size() == 2);
}

TEST_CASE("the history has the last 100 changes, oldest first") {
  Bench b;
  for (int i = 0; i < 130; ++i) {
    b.publisher.set(routes({"r" + std::to_string(i)}));
    b.scheduler.advance(Millis(100));
  }
  const auto& history = b.publisher.history();
  CHECK(history.size() == Publisher::kHistory);
  CHECK(history.back().revision == b.publisher.snapshot()->revision);
  CHECK(history.front().revision + 99 == history.back().revision);
  CHECK(history.back().time_ms > history.front().time_ms);
  CHECK(history.back().changed ==
        std::vector<std::string>{"lictor/routes/r128", "lictor/routes/r129"});
}

TEST_CASE("stopped, nothing more is published") {
  Bench b;
  b.publisher.set(routes({"a"}));
  b.publisher.stop();
  b.scheduler.advance(Millis(10'000));
  CHECK(b.published.empty());
}
