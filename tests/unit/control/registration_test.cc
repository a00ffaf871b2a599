#include "control/registration.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "control/support.h"

using namespace lictor;
using test::FakeFetcher;

namespace {

GatewayAddresses addresses(const std::string& listener, const std::string& admin) {
  return {*SocketAddress::parse(listener), *SocketAddress::parse(admin)};
}

std::expected<RegistrationEntry, std::string> entry_for(const std::string& listener,
                                                        const std::string& admin,
                                                        const std::string& agent = "127.0.0.1") {
  ConsulConfig consul;
  consul.address = consul.url = "http://" + agent + ":8500";
  return make_registration({"lictor", {"edge"}}, consul, addresses(listener, admin), "host1");
}

struct Bench {
  Bench()
      : agent(ConsulConfig{}, scheduler, fetcher),
        registration(agent, *entry_for("0.0.0.0:8080", "127.0.0.1:9900"),
                     [this] { return ready; }) {
    registration.start();
    scheduler.advance(Millis(0));
  }
  nlohmann::json sent() const { return nlohmann::json::parse(fetcher.request("/register").body); }
  void accept() { fetcher.answer(FakeFetcher::status(200), "/register"); }

  test::ManualScheduler scheduler;
  FakeFetcher fetcher;
  Agent agent;
  bool ready = false;
  Registration registration;
};

}  // namespace

TEST_CASE("what is registered: the first listener, checked at the admin port") {
  const auto any = entry_for("0.0.0.0:8080", "127.0.0.1:9900");
  REQUIRE(any);
  CHECK(any->id == "lictor-host1-8080");
  CHECK(any->address.empty());  // the node's
  CHECK(any->port == 8080);
  CHECK(any->check_url == "http://127.0.0.1:9900/readyz");
  CHECK(entry_for("10.0.0.7:80", "[::]:9900")->address == "10.0.0.7");
  CHECK(entry_for("[::]:80", "[::]:9900")->check_url == "http://[::1]:9900/readyz");
  CHECK(entry_for("[::]:80", "0.0.0.0:9900")->check_url == "http://127.0.0.1:9900/readyz");
  CHECK(entry_for("[::]:80", "10.0.0.7:9900")->check_url == "http://10.0.0.7:9900/readyz");
}

TEST_CASE("an agent on another machine can't check a port of this one alone") {
  CHECK(entry_for("[::]:80", "10.0.0.7:9900", "10.0.0.9"));
  CHECK_FALSE(entry_for("[::]:80", "127.0.0.1:9900", "10.0.0.9"));
  CHECK_FALSE(entry_for("[::]:80", "0.0.0.0:9900", "consul.example"));
  CHECK(entry_for("[::]:80", "127.0.0.1:9900", "localhost"));
  CHECK(entry_for("[::]:80", "127.0.0.1:9900", "[::1]"));
}

TEST_CASE("registered at the start, then looked at, then registered again when it is forgotten") {
  Bench b;
  CHECK(b.fetcher.request().method == "PUT");
  CHECK(b.fetcher.url().find("/v1/agent/service/register?replace-existing-checks=true") !=
        std::string::npos);
  CHECK(b.sent()["ID"] == "lictor-host1-8080");
  CHECK(b.sent()["Tags"] == nlohmann::json{"edge"});
  CHECK(b.sent()["Check"]["Status"] == "critical");
  CHECK_FALSE(b.sent().contains("Address"));
  b.accept();
  b.scheduler.advance(Registration::kLookEvery - Millis(1));
  CHECK(b.fetcher.pending() == 0);
  b.scheduler.advance(Millis(1));
  CHECK(b.fetcher.request().method == "GET");
  b.fetcher.answer(FakeFetcher::status(200), "/v1/agent/service/lictor-host1-8080");
  b.scheduler.advance(Registration::kLookEvery);
  b.ready = true;
  b.fetcher.answer(FakeFetcher::status(404, "unknown service ID"));
  b.scheduler.advance(Millis(0));
  CHECK(b.sent()["Check"]["Status"] == "passing");
}

TEST_CASE("an agent that refuses or is away is asked again, less and less often") {
  Bench b;
  std::vector<int64_t> pauses;
  for (int i = 0; i < 8; ++i) {
    b.fetcher.answer(FakeFetcher::status(403, "Permission denied"));
    const Millis before = b.scheduler.now();
    while (b.fetcher.pending() == 0) b.scheduler.advance(Millis(500));
    pauses.push_back((b.scheduler.now() - before).count());
  }
  CHECK(pauses == std::vector<int64_t>{1'000, 2'000, 4'000, 8'000, 16'000, 32'000, 60'000, 60'000});
  b.fetcher.fail("refused");
  b.scheduler.advance(Registration::kLookEvery);
  CHECK(b.fetcher.pending() == 1);
  b.scheduler.advance(Registration::kDeadline);  // an agent that never answers
  CHECK(b.fetcher.pending() == 0);
  b.scheduler.advance(Registration::kLookEvery);
  b.accept();
  CHECK(b.agent.monitor.errors_total() == 0);  // no knowledge is missing
}

TEST_CASE("at the end it is taken out") {
  Bench b;
  b.accept();
  int done = 0;
  b.registration.leave([&] { ++done; });
  CHECK(b.fetcher.request().method == "PUT");
  CHECK(b.fetcher.url().ends_with("/v1/agent/service/deregister/lictor-host1-8080"));
  CHECK(done == 0);
  b.fetcher.answer(FakeFetcher::status(200));
  CHECK(done == 1);
  b.scheduler.advance(Millis(60'000));
  CHECK(b.fetcher.pending() == 0);
  CHECK(done == 1);
}

TEST_CASE("the end waits for no agent that is slow or away") {
  Bench slow;
  int done = 0;
  slow.registration.leave([&] { ++done; });  // the registration was under way: it may have come
  slow.scheduler.advance(Registration::kFarewell);
  CHECK(done == 1);
  Bench away;
  away.accept();
  away.registration.leave([&] { ++done; });
  away.fetcher.fail("refused");
  CHECK(done == 2);
}
