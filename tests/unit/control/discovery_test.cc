#include "control/discovery.h"

#include <doctest/doctest.h>

#include "control/support.h"
#include "model/compiler.h"

using namespace lictor;
using test::entry;
using test::FakeFetcher;
using test::list;

namespace {

std::vector<Document> route_to(const std::vector<std::string>& services) {
  std::vector<Document> out;
  for (const auto& service : services) {
    out.push_back({"routes/" + service,
                   R"({"path":"/)" + service + R"(/*","service":")" + service + "\"}", 1});
  }
  return out;
}

struct Bench final : Discovery::User {
  Bench()
      : agent(ConsulConfig{}, scheduler, fetcher),
        discovery(
            scheduler, &agent,
            [this](const std::string&, Resolver::Answer answer) -> std::shared_ptr<void> {
              lookup = std::move(answer);
              return std::make_shared<int>(0);
            },
            *this) {}
  void on_instances(const std::string& service, InstanceListPtr instances) override {
    delivered.push_back(service);
    lists[service] = std::move(instances);
  }
  void on_answered() override { ++answered; }

  void show(const std::vector<Document>& documents) {
    snapshot = compiler.compile(documents).snapshot;
    discovery.prepare(*snapshot);
    discovery.adopt(*snapshot);
    discovery.keep_only(*snapshot);
  }
  // "w1:passing:3 w2:critical:3!" of what was delivered last.
  std::string shown(const std::string& service) {
    std::string out;
    const auto at = lists.find(service);
    if (at == lists.end()) return "none";
    for (const auto& i : at->second->instances) {
      out += (out.empty() ? "" : " ") + i.id + ":" + std::string(health_name(i.health)) + ":" +
             std::to_string(i.weight) + (i.usable ? "" : "!");
    }
    return out;
  }
  void answer(const std::string& service, uint64_t index, const std::string& body) {
    scheduler.advance(Millis(1'300));
    fetcher.answer(index, body, "/" + service);
  }
  void lose(const std::string& service) {
    scheduler.advance(Millis(1'300));
    fetcher.fail("reset", "/" + service);
  }

  test::ManualScheduler scheduler;
  FakeFetcher fetcher;
  Agent agent;
  Resolver::Answer lookup;
  Discovery discovery;
  Compiler compiler;
  SnapshotPtr snapshot;
  std::vector<std::string> delivered;
  std::map<std::string, InstanceListPtr> lists;
  int answered = 0;
};

}  // namespace

TEST_CASE("one query a referenced service, none for one that is not") {
  Bench b;
  b.show(route_to({"a", "b"}));
  CHECK(b.fetcher.pending() == 2);
  CHECK(b.discovery.unanswered(*b.snapshot) == std::vector<std::string>{"a", "b"});
  b.fetcher.answer(5, list({entry("w1")}), "/a");
  CHECK(b.answered == 1);
  CHECK(b.delivered == std::vector<std::string>{"a"});
  CHECK(b.discovery.unanswered(*b.snapshot) == std::vector<std::string>{"b"});
  b.fetcher.answer(5, "[]", "/b");  // Consul doesn't know it: an answer like any other
  CHECK(b.discovery.unanswered(*b.snapshot).empty());
  CHECK(b.shown("b").empty());
  b.show(route_to({"b"}));
  b.scheduler.advance(Millis(100));
  CHECK(b.fetcher.pending() == 1);
  CHECK(b.discovery.instances("a") == nullptr);
}

TEST_CASE("a change of one service delivers that service alone, with its instances' state") {
  Bench b;
  b.show(route_to({"a", "b"}));
  b.answer("a", 5, list({entry("w1"), entry("w2")}));
  b.answer("b", 5, list({entry("x")}));
  const auto before = b.lists["a"]->instances[0].state;
  b.delivered.clear();
  b.answer("a", 6, list({entry("w1", "warning"), entry("w3")}));
  CHECK(b.delivered == std::vector<std::string>{"a"});
  CHECK(b.shown("a") == "w1:warning:1 w3:passing:3");
  CHECK(b.lists["a"]->instances[0].state == before);
}

TEST_CASE("what only looks different is not delivered") {
  Bench b;
  b.show(route_to({"a"}));
  b.answer("a", 5, list({entry("w1"), entry("w2")}));
  b.delivered.clear();
  b.answer("a", 6, list({entry("w2"), entry("w1")}));
  b.answer("a", 7, list({entry("w1", "passing", 80, "10.0.0.1", "another output"), entry("w2")}));
  CHECK(b.delivered.empty());
}

TEST_CASE("garbage changes nothing") {
  Bench b;
  b.show(route_to({"a"}));
  b.answer("a", 5, list({entry("w1")}));
  for (const char* body : {"", "[{}]", "{", "<html>"}) b.answer("a", 6, body);
  CHECK(b.shown("a") == "w1:passing:3");
}

TEST_CASE("without a leader nothing is lost, but what is new comes") {
  Bench b;
  b.show(route_to({"a"}));
  b.answer("a", 5, list({entry("w1"), entry("w2")}));
  const auto leaderless = [&](const std::string& body) {
    b.scheduler.advance(Millis(1'300));
    b.fetcher.answer(FakeFetcher::ok(6, body, 200, false), "/a");
    return b.shown("a");
  };
  CHECK(leaderless("[]") == "w1:passing:3 w2:passing:3");
  CHECK(leaderless(list({entry("w1")})) == "w1:passing:3 w2:passing:3");
  CHECK(leaderless(list({entry("w1"), entry("w3")})) == "w1:passing:3 w2:passing:3");
  CHECK(leaderless(list({entry("w1"), entry("w2", "critical")})) == "w1:passing:3 w2:passing:3");
  CHECK(leaderless(list({entry("w1"), entry("w2"), entry("w3")})) ==
        "w1:passing:3 w2:passing:3 w3:passing:3");
  b.answer("a", 7, "[]");
  CHECK(b.shown("a").empty());
}

TEST_CASE("an empty first answer without a leader is no answer; a full one is") {
  Bench b;
  b.show(route_to({"a"}));
  b.fetcher.answer(FakeFetcher::ok(1, "[]", 200, false));
  CHECK(b.answered == 0);
  b.scheduler.advance(Millis(1'300));
  b.fetcher.answer(FakeFetcher::ok(1, list({entry("w1")}), 200, false));
  CHECK(b.answered == 1);
  CHECK(b.shown("a") == "w1:passing:3");
}

TEST_CASE("an agent that restarts doesn't take its instances out of use") {
  Bench b;
  b.show(route_to({"a"}));
  b.answer("a", 5, list({entry("w1"), entry("w2", "critical"), entry("w3", "warning")}));
  const std::string before = "w1:passing:3 w2:critical:3! w3:warning:1";
  CHECK(b.shown("a") == before);
  b.lose("a");
  const auto unproven = [](const char* id) { return entry(id, "critical", 80, "10.0.0.1", ""); };
  b.answer("a", 5, list({entry("w1"), entry("w2", "critical"), entry("w3", "warning")}));
  b.answer("a", 6, list({unproven("w1"), unproven("w2"), unproven("w3")}));
  CHECK(b.shown("a") == before);

  SUBCASE("until their checks have run: then each counts as ever") {
    b.answer("a", 7, list({entry("w1"), unproven("w2"), entry("w3", "critical")}));
    CHECK(b.shown("a") == "w1:passing:3 w2:critical:3! w3:critical:3!");
    b.answer("a", 8, list({unproven("w1"), unproven("w2"), unproven("w3")}));
    CHECK(b.shown("a") == "w1:critical:3! w2:critical:3! w3:critical:3!");
  }
  SUBCASE("and not for ever") {
    b.scheduler.advance(Discovery::kForgive + Millis(1'000));
    CHECK(b.shown("a") == "w1:critical:3! w2:critical:3! w3:critical:3!");
  }
  SUBCASE("nor when they are put into maintenance") {
    b.answer("a", 7, "[]");
    CHECK(b.shown("a").empty());
  }
}

TEST_CASE("a check that has not run is critical as ever when the agent was there all the time") {
  Bench b;
  b.show(route_to({"a"}));
  b.answer("a", 5, list({entry("w1")}));
  b.answer("a", 6, list({entry("w1", "critical", 80, "10.0.0.1", "")}));
  CHECK(b.shown("a") == "w1:critical:3!");
  b.answer("a", 7, list({entry("w1")}));
  b.lose("a");
  b.answer("a", 8, list({entry("w1")}));
  b.scheduler.advance(Discovery::kForgivable);
  b.answer("a", 9, list({entry("w1", "critical", 80, "10.0.0.1", "")}));
  CHECK(b.shown("a") == "w1:critical:3!");
}

TEST_CASE("endpoints of a document are there at once, and no query is made") {
  Bench b;
  auto documents = route_to({"a"});
  documents.push_back(
      {"upstreams/a",
       R"({"endpoints":[{"address":"10.0.0.7:80","weight":2},{"address":"[::1]:81"}]})", 1});
  b.show(documents);
  CHECK(b.fetcher.total() == 0);
  CHECK(b.discovery.unanswered(*b.snapshot).empty());
  CHECK(b.shown("a") == "10.0.0.7:80:passing:2 [::1]:81:passing:1");

  SUBCASE("back to Consul: they stay until it has answered") {
    b.show(route_to({"a"}));
    CHECK(b.discovery.unanswered(*b.snapshot).size() == 1);
    CHECK(b.shown("a") == "10.0.0.7:80:passing:2 [::1]:81:passing:1");
    b.fetcher.answer(5, list({entry("w1")}));
    CHECK(b.shown("a") == "w1:passing:3");
    SUBCASE("and to endpoints again: the query ends") {
      b.show(documents);
      b.scheduler.advance(Millis(1'000));
      CHECK(b.fetcher.pending() == 0);
      CHECK(b.shown("a") == "10.0.0.7:80:passing:2 [::1]:81:passing:1");
    }
  }
}

TEST_CASE("the floor of health follows the policy in force") {
  Bench b;
  b.show(route_to({"a"}));
  b.answer("a", 5, list({entry("w1", "warning")}));
  CHECK(b.shown("a") == "w1:warning:1");
  auto documents = route_to({"a"});
  documents.push_back({"upstreams/a", R"({"health":"passing"})", 1});
  b.show(documents);
  CHECK(b.shown("a") == "w1:warning:1!");
  b.show(route_to({"a"}));
  CHECK(b.shown("a") == "w1:warning:1");
}

TEST_CASE("an address that is a name is in use once it is resolved") {
  Bench b;
  b.show(route_to({"a"}));
  b.answer("a", 5, list({entry("w1", "passing", 80, "web.local"), entry("w2")}));
  CHECK(b.shown("a") == "w1:passing:3! w2:passing:3");
  b.lookup({*IpAddress::parse("10.3.3.3")});
  CHECK(b.shown("a") == "w1:passing:3 w2:passing:3");
  CHECK(b.lists["a"]->instances[0].socket_address.to_string() == "10.3.3.3:80");
  CHECK(b.lists["a"]->instances[0].address == "web.local:80");
}

TEST_CASE("a name of a critical instance stays out when it is resolved") {
  Bench b;
  b.show(route_to({"a"}));
  b.answer("a", 5, list({entry("w1", "critical", 80, "web.local")}));
  b.lookup({*IpAddress::parse("10.3.3.3")});
  CHECK(b.shown("a") == "w1:critical:3!");
}

TEST_CASE("stopped, it asks nothing more, and the lists stay") {
  Bench b;
  b.show(route_to({"a", "b"}));
  b.answer("a", 5, list({entry("w1")}));
  b.discovery.stop();
  b.scheduler.advance(Millis(60'000));
  CHECK(b.fetcher.pending() == 0);
  CHECK(b.discovery.instances("a")->instances.size() == 1);
}

TEST_CASE("without Consul a service has its endpoints or nothing") {
  test::ManualScheduler scheduler;
  struct Listener final : Discovery::User {
    void on_instances(const std::string&, InstanceListPtr list) override {
      sizes.push_back(list->instances.size());
    }
    void on_answered() override {}
    std::vector<size_t> sizes;
  } user;
  Discovery discovery(
      scheduler, nullptr,
      [](const std::string&, const Resolver::Answer&) { return std::shared_ptr<void>(); }, user);
  Compiler compiler;
  const auto snapshot = compiler.compile(route_to({"a"})).snapshot;
  discovery.prepare(*snapshot);
  CHECK(discovery.unanswered(*snapshot).empty());
  discovery.adopt(*snapshot);
  CHECK(user.sizes == std::vector<size_t>{0});
}

TEST_CASE("a service of another datacenter is asked for there, beside the one of its own") {
  Bench b;
  b.show({{"routes/a",
           R"({"path":"/a","backends":[{"service":"web"},)"
           R"({"service":"web","datacenter":"dc2"}]})",
           1}});
  CHECK(b.fetcher.pending() == 2);
  CHECK(b.fetcher.url("dc=dc2").find("/v1/health/service/web?dc=dc2") != std::string::npos);
  b.answer("web?dc=dc2", 5, list({entry("far")}));
  b.fetcher.answer(5, list({entry("near")}), "/web");
  CHECK(b.shown("web@dc2") == "far:passing:3");
  CHECK(b.shown("web") == "near:passing:3");
}

namespace {

std::vector<Document> named_endpoints() {
  auto documents = route_to({"a"});
  documents.push_back({"upstreams/a",
                       R"({"endpoints":[{"address":"10.0.0.7:80"},)"
                       R"({"address":"backend.internal:8080","weight":2}]})",
                       1});
  return documents;
}

}  // namespace

TEST_CASE("an endpoint that is a name is as many instances as it has addresses") {
  Bench b;
  b.show(named_endpoints());
  CHECK(b.discovery.unanswered(*b.snapshot) == std::vector<std::string>{"a"});
  CHECK(b.shown("a") == "10.0.0.7:80:passing:1 backend.internal:8080:passing:2!");
  b.lookup({*IpAddress::parse("10.0.0.9"), *IpAddress::parse("::9")});
  CHECK(b.answered == 1);
  CHECK(b.discovery.unanswered(*b.snapshot).empty());
  CHECK(b.shown("a") == "10.0.0.7:80:passing:1 10.0.0.9:8080:passing:2 [::9]:8080:passing:2");
  CHECK(b.lists["a"]->instances[1].address == "backend.internal:8080");
  const auto kept = b.lists["a"]->instances[1].state;

  b.scheduler.advance(Resolver::kRefresh);
  b.lookup({*IpAddress::parse("10.0.0.9"), *IpAddress::parse("10.0.0.8")});
  CHECK(b.shown("a") == "10.0.0.7:80:passing:1 10.0.0.8:8080:passing:2 10.0.0.9:8080:passing:2");
  CHECK(b.lists["a"]->instances[2].state == kept);

  b.scheduler.advance(Resolver::kRefresh);
  b.delivered.clear();
  b.lookup({});
  CHECK(b.delivered.empty());
}

TEST_CASE("an endpoint that can't be resolved is there, out of use, and delays nobody for ever") {
  Bench b;
  b.show(named_endpoints());
  b.lookup({});
  CHECK(b.discovery.unanswered(*b.snapshot).empty());
  CHECK(b.shown("a") == "10.0.0.7:80:passing:1 backend.internal:8080:passing:2!");
  b.scheduler.advance(Resolver::kRetry);
  b.lookup({*IpAddress::parse("10.0.0.9")});
  CHECK(b.shown("a") == "10.0.0.7:80:passing:1 10.0.0.9:8080:passing:2");
}
