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
  Bench() {
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
    Bootstrap bootstrap;
    bootstrap.consul = ConsulConfig{};
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
