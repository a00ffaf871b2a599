#include "control/control.h"

#include <doctest/doctest.h>

#include "control/parts.h"
#include "control/support.h"

using namespace lictor;
using test::entry;
using test::FakeFetcher;
using test::kv;
using test::list;

namespace {

const std::string kRoute = R"({"path":"/user/*","service":"user"})";

struct Bench final : Control::User {
  Bench() : Bench("") {}
  // With a snapshot file.
  explicit Bench(const std::string& snapshot_file) {
    auto parts = std::make_unique<ControlParts>();
    auto time = std::make_unique<test::ManualScheduler>();
    auto http = std::make_unique<FakeFetcher>();
    scheduler = time.get();
    fetcher = http.get();
    parts->scheduler = std::move(time);
    parts->fetcher = std::move(http);
    parts->lookup = [](const std::string&, const Resolver::Answer&) {
      return std::shared_ptr<void>();
    };
    parts->background = background.background();
    Bootstrap bootstrap;
    bootstrap.consul = ConsulConfig{};
    bootstrap.registration.reset();
    bootstrap.snapshot_file = {snapshot_file, true};
    control = std::make_unique<Control>(std::move(parts), bootstrap, *this);
  }
  void on_snapshot(SnapshotPtr snapshot) override {
    events.push_back("snapshot " + std::to_string(snapshot->routes.size()));
  }
  void on_instances(const std::string& service, InstanceListPtr instances) override {
    events.push_back(service + " " + std::to_string(instances->instances.size()));
  }
  void on_ready_change() override { events.emplace_back("ready"); }
  void settle() { scheduler->advance(Millis(300)); }

  test::FakeBackground background;
  test::ManualScheduler* scheduler = nullptr;
  FakeFetcher* fetcher = nullptr;
  std::vector<std::string> events;
  std::unique_ptr<Control> control;
};

using Events = std::vector<std::string>;

}  // namespace

TEST_CASE("from nothing to ready: instances come before the snapshot that names them") {
  Bench b;
  CHECK(b.control->source() == "consul");
  b.control->start();
  CHECK(b.fetcher->url() == "http://127.0.0.1:8500/v1/kv/lictor/?recurse");
  CHECK(b.control->not_ready_reasons() == Events{"the documents have not been read yet"});
  b.fetcher->answer(9, list({kv("lictor/routes/user", kRoute)}));
  b.scheduler->advance(Millis(20));
  CHECK(b.events.empty());
  b.fetcher->answer(5, list({entry("w1"), entry("w2")}), "/health/service/user");
  CHECK(b.events == Events{"user 2"});
  b.scheduler->advance(Millis(0));
  CHECK(b.events == Events{"user 2", "snapshot 1", "ready"});
  CHECK(b.control->ready());
  CHECK(b.control->not_ready_reasons().empty());
  CHECK(b.control->documents()[0].key == "lictor/routes/user");
  CHECK(b.control->history()[0].changed == Events{"lictor/routes/user"});
  CHECK(b.control->instances("user")->instances.size() == 2);
}

TEST_CASE("a service that does not answer delays readiness, not the routes") {
  Bench b;
  b.control->start();
  b.fetcher->answer(9, list({kv("lictor/routes/user", kRoute)}));
  b.scheduler->advance(Millis(600));
  CHECK(b.events == Events{"snapshot 1"});
  CHECK_FALSE(b.control->ready());
  CHECK(b.control->not_ready_reasons() == Events{"service user has not been read yet"});
  b.fetcher->answer(5, "[]", "/user");
  b.scheduler->advance(Millis(0));
  CHECK(b.events == Events{"snapshot 1", "user 0", "ready"});
}

TEST_CASE("no documents at all is a configuration; an agent without a leader has none to give") {
  Bench b;
  b.control->start();
  b.fetcher->answer(FakeFetcher::status(500, "No cluster leader"));
  b.settle();
  b.fetcher->answer(FakeFetcher::ok(1, "", 404, false));
  b.settle();
  b.fetcher->answer(FakeFetcher::status(404, "not Consul at all"));
  b.settle();
  CHECK(b.events.empty());
  b.fetcher->answer(FakeFetcher::ok(1, "", 404));
  b.settle();
  CHECK(b.events == Events{"snapshot 0", "ready"});
}

TEST_CASE("once ready, ready for ever; faults change nothing") {
  Bench b;
  b.control->start();
  b.fetcher->answer(9, list({kv("lictor/routes/user", kRoute)}));
  b.settle();
  b.fetcher->answer(5, list({entry("w1")}), "/user");
  b.settle();
  b.events.clear();
  for (int i = 0; i < 50; ++i) {
    b.scheduler->advance(Millis(1'300));
    if (!b.fetcher->url("/kv/").empty()) b.fetcher->fail("refused", "/kv/");
    if (!b.fetcher->url("/user").empty()) b.fetcher->fail("refused", "/user");
  }
  CHECK(b.events.empty());
  CHECK(b.control->ready());
  const auto status = b.control->consul_status();
  CHECK_FALSE(status.connected);
  CHECK(status.staleness_s > 60);
  CHECK(status.errors_total >= 100);
  CHECK(status.last_error == "service user: refused");
}

TEST_CASE("a route moved to a new service meets its instances") {
  Bench b;
  b.control->start();
  b.fetcher->answer(9, list({kv("lictor/routes/user", kRoute)}));
  b.settle();
  b.fetcher->answer(5, list({entry("w1")}), "/user");
  b.settle();
  b.events.clear();
  b.fetcher->answer(
      10, list({kv("lictor/routes/user", R"({"path":"/user/*","service":"new"})", 10)}), "/kv/");
  b.scheduler->advance(Millis(20));
  CHECK(b.events.empty());
  CHECK_FALSE(b.fetcher->url("/user?").empty());  // still watched: it is still in force
  b.fetcher->answer(6, list({entry("x1")}), "/new");
  b.scheduler->advance(Millis(0));
  CHECK(b.events == Events{"new 1", "snapshot 1"});
  CHECK(b.fetcher->url("/user?").empty());
  CHECK(b.control->instances("user") == nullptr);
}

TEST_CASE("an agent that lost its state takes the routes away a second later, not before") {
  Bench b;
  b.control->start();
  b.fetcher->answer(900, list({kv("lictor/routes/user", kRoute)}));
  b.settle();
  b.fetcher->answer(900, list({entry("w1")}), "/user");
  b.settle();
  b.events.clear();
  b.fetcher->fail("reset", "/kv/");
  b.settle();
  b.fetcher->answer(FakeFetcher::status(500, "No cluster leader"), "/kv/");
  b.settle();
  b.fetcher->answer(FakeFetcher::ok(1, "", 404), "/kv/");
  b.settle();
  CHECK(b.events.empty());
  for (int i = 0; i < 5; ++i) {
    if (!b.fetcher->url("/kv/").empty()) b.fetcher->answer(FakeFetcher::ok(1, "", 404), "/kv/");
    b.settle();
  }
  CHECK(b.events == Events{"snapshot 0"});
}

TEST_CASE("bad documents are counted and named in full") {
  Bench b;
  b.control->start();
  b.fetcher->answer(9, list({kv("lictor/routes/a", "{"), kv("lictor/routes/user", kRoute)}));
  b.scheduler->advance(Millis(600));
  CHECK(b.control->rejected_documents() == 1);
  CHECK(b.control->documents()[0].key == "lictor/routes/a");
  CHECK(b.control->documents()[0].state == DocumentState::kRejected);
}

TEST_CASE("stopped, no event follows and everything can still be read") {
  Bench b;
  b.control->start();
  b.fetcher->answer(9, list({kv("lictor/routes/user", kRoute)}));
  b.settle();
  b.fetcher->answer(5, list({entry("w1")}), "/user");
  b.settle();
  b.events.clear();
  b.control->stop();
  b.control->stop();
  b.scheduler->advance(Millis(600'000));
  CHECK(b.events.empty());
  CHECK(b.control->ready());
  CHECK(b.control->snapshot()->routes.size() == 1);
  CHECK(b.control->instances("user")->instances.size() == 1);
  CHECK(b.control->consul_status().queries >= 2);
}

namespace {

const std::string kOther = R"({"path":"/other/*","service":"other"})";

// Lives once with Consul, so that there is a file: two routes, "user" with two instances, "other"
// with one, and one document that is stale.
void live_once(const std::string& file) {
  Bench b(file);
  b.control->start();
  b.fetcher->answer(9, list({kv("lictor/routes/other", kOther), kv("lictor/routes/user", kRoute)}));
  b.settle();
  b.fetcher->answer(5, list({entry("w1"), entry("w2", "warning")}), "/user");
  b.fetcher->answer(5, list({entry("x1")}), "/other");
  b.settle();
  b.fetcher->answer(10, list({kv("lictor/routes/other", "{"), kv("lictor/routes/user", kRoute)}),
                    "/kv/");
  b.settle();
  b.control->stop();
}

}  // namespace

TEST_CASE("restored: with Consul away, everything is in force at once") {
  const test::TempFolder folder;
  live_once(folder / "s");
  Bench b(folder / "s");
  CHECK_FALSE(b.control->restored());
  b.control->start();
  CHECK(b.events.empty());
  b.scheduler->advance(Millis(0));
  CHECK(b.events == Events{"other 1", "user 2", "snapshot 2", "ready"});
  CHECK(b.control->source() == "snapshot");
  CHECK(b.control->restored());
  CHECK(b.control->ready());
  CHECK(b.control->documents()[0].state == DocumentState::kStale);
  CHECK(b.control->instances("user")->instances[1].weight == 1);
  // Consul stays away: nothing changes, and its age shows.
  b.events.clear();
  b.scheduler->wall_offset += 1;
  for (int i = 0; i < 20; ++i) {
    for (const auto* part : {"/kv/", "/user", "/other"}) {
      if (!b.fetcher->url(part).empty()) b.fetcher->fail("refused", part);
    }
    b.scheduler->advance(Millis(1'300));
  }
  CHECK(b.events.empty());
  CHECK(b.control->consul_status().staleness_s >= 25);
}

TEST_CASE("restored: live answers replace it piece by piece") {
  const test::TempFolder folder;
  live_once(folder / "s");
  Bench b(folder / "s");
  b.control->start();
  b.scheduler->advance(Millis(0));
  b.events.clear();
  b.fetcher->answer(20, list({entry("w3")}), "/user");
  CHECK(b.events == Events{"user 1"});
  CHECK(b.control->source() == "snapshot");
  b.fetcher->answer(21, list({kv("lictor/routes/user", kRoute)}), "/kv/");
  b.settle();
  CHECK(b.control->source() == "consul");
  CHECK_FALSE(b.control->restored());
  CHECK(b.events == Events{"user 1", "snapshot 1"});
  CHECK(b.control->instances("other") == nullptr);
}

TEST_CASE("restored: the same documents again are no other revision") {
  const test::TempFolder folder;
  live_once(folder / "s");
  Bench b(folder / "s");
  b.control->start();
  b.scheduler->advance(Millis(0));
  b.events.clear();
  b.fetcher->answer(21, list({kv("lictor/routes/other", "{"), kv("lictor/routes/user", kRoute)}),
                    "/kv/");
  b.settle();
  CHECK(b.events.empty());
  CHECK(b.control->source() == "consul");
  CHECK(b.control->restored());  // the services have not answered
}

TEST_CASE("restored: an agent without a leader takes nothing away") {
  const test::TempFolder folder;
  live_once(folder / "s");
  Bench b(folder / "s");
  b.control->start();
  b.scheduler->advance(Millis(0));
  b.events.clear();
  b.fetcher->answer(FakeFetcher::ok(2, list({entry("w1")}), 200, false), "/user");
  b.fetcher->answer(FakeFetcher::ok(2, "", 404, false), "/kv/");
  b.settle();
  CHECK(b.events.empty());
}

TEST_CASE("restored: a service that was not saved is waited for") {
  const test::TempFolder folder;
  {
    Bench b(folder / "s");
    b.control->start();
    b.fetcher->answer(9, list({kv("lictor/routes/user", kRoute)}));
    b.scheduler->advance(Millis(600));
    b.control->stop();
  }
  Bench b(folder / "s");
  b.control->start();
  b.scheduler->advance(Millis(0));
  CHECK(b.events == Events{"snapshot 1"});
  CHECK_FALSE(b.control->ready());
}

TEST_CASE("restored: not from a damaged file, nor from one of another source") {
  const test::TempFolder folder;
  live_once(folder / "s");
  const std::string path = folder / "s";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  Bench damaged(path);
  damaged.control->start();
  damaged.scheduler->advance(Millis(0));
  CHECK(damaged.events.empty());
  CHECK(damaged.control->source() == "consul");
  CHECK_FALSE(damaged.control->ready());
}

TEST_CASE("the snapshot file is written after a change, off the loop") {
  const test::TempFolder folder;
  Bench b(folder / "s");
  b.control->start();
  b.fetcher->answer(9, list({kv("lictor/routes/user", kRoute)}));
  b.settle();
  b.fetcher->answer(5, list({entry("w1")}), "/user");
  b.scheduler->advance(Millis(1'000));
  CHECK(b.background.pending() == 1);
  CHECK_FALSE(std::filesystem::exists(folder / "s"));
  b.background.run();
  CHECK(std::filesystem::exists(folder / "s"));
}
