#include <doctest/doctest.h>

#include <deque>

#include "filter/fake_call.h"

using lictor::FakeCall;
using lictor::FilterPtr;
using lictor::make;
using lictor::problem_of;
using lictor::Step;

namespace {

struct Gateway {
  lictor::testing::ManualLoop loop;
  lictor::FilterShared shared;
  std::deque<FakeCall> calls;

  FakeCall& begin(const FilterPtr& filter, std::string_view ip = "192.0.2.1") {
    FakeCall& call = calls.emplace_back(shared, loop);
    call.client(ip);
    const Step step = call.run(filter);
    CHECK((step == Step::kStop) == (call.replies() == 1));
    if (step == Step::kStop) CHECK(call.replied().error->failure == lictor::Failure::kOverloaded);
    return call;
  }
};

bool passed(const FakeCall& call) { return call.replies() == 0; }

}  // namespace

TEST_CASE("concurrency_limit: as many at once, of all who take the route") {
  Gateway gateway;
  const auto limit = make(R"({"concurrency_limit": {"requests": 2}})");
  FakeCall& first = gateway.begin(limit, "192.0.2.1");
  CHECK(passed(first));
  CHECK(passed(gateway.begin(limit, "192.0.2.2")));
  FakeCall& refused = gateway.begin(limit, "192.0.2.3");
  CHECK_FALSE(passed(refused));
  CHECK(refused.replied().status == 503);
  // Who was refused has nothing to give back.
  limit->on_done(refused);
  CHECK_FALSE(passed(gateway.begin(limit)));
  limit->on_done(first);
  CHECK(passed(gateway.begin(limit)));
  CHECK_FALSE(passed(gateway.begin(limit)));
}

TEST_CASE("concurrency_limit: by key") {
  Gateway gateway;
  const auto limit = make(R"({"concurrency_limit": {"requests": 1, "key": "client_ip"}})");
  CHECK(passed(gateway.begin(limit, "192.0.2.1")));
  CHECK(passed(gateway.begin(limit, "192.0.2.2")));
  CHECK_FALSE(passed(gateway.begin(limit, "192.0.2.1")));
}

TEST_CASE("concurrency_limit: another number counts those who are on their way already") {
  Gateway gateway;
  const auto two = make(R"({"concurrency_limit": {"requests": 2}})");
  const auto three = make(R"({"concurrency_limit": {"requests": 3}})");
  FakeCall& first = gateway.begin(two);
  CHECK(passed(gateway.begin(two)));
  CHECK(passed(gateway.begin(three)));
  CHECK_FALSE(passed(gateway.begin(three)));
  two->on_done(first);
  CHECK_FALSE(passed(gateway.begin(two)));
  CHECK(passed(gateway.begin(three)));
}

TEST_CASE("concurrency_limit: when all are done nothing is left") {
  Gateway gateway;
  const auto limit = make(R"({"concurrency_limit": {"requests": 2, "key": "client_ip"}})");
  for (const auto* ip : {"192.0.2.1", "192.0.2.1", "192.0.2.1", "2001:db8::1"})
    gateway.begin(limit, ip);
  CHECK(gateway.shared.in_use.keys() == 2);
  for (FakeCall& call : gateway.calls) limit->on_done(call);
  CHECK(gateway.shared.in_use.keys() == 0);
}

TEST_CASE("what is wrong with concurrency_limit") {
  CHECK(problem_of(R"({"concurrency_limit": {}})") ==
        "$.concurrency_limit: requests is missing: how many at once?");
  CHECK(problem_of(R"({"concurrency_limit": {"requests": 0}})") ==
        "$.concurrency_limit.requests: must be a whole number from 1 to 1000000");
  CHECK(problem_of(R"({"concurrency_limit": {"requests": 1, "by": "user"}})") ==
        "$.concurrency_limit.by: unknown key");
}
