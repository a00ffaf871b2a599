#include <doctest/doctest.h>

#include <string>

#include "filter/fake_call.h"

using lictor::BodyKind;
using lictor::FakeCall;
using lictor::make;
using lictor::problem_of;
using lictor::Step;

using Texts = std::vector<std::string>;

namespace {

constexpr const char* kAll = R"({"mirror": {"service": "shadow"}})";

FakeCall& post(FakeCall& call, BodyKind kind, uint64_t length) {
  call.request().method = lictor::Method::kPost;
  call.request().method_name = "POST";
  call.request().body = kind;
  call.request().length = length;
  return call;
}

}  // namespace

TEST_CASE("mirror sends a copy, marked, once the body is whole") {
  FakeCall call;
  post(call, BodyKind::kUnknown, 0).target("/a?b").authority("api.example.com");
  call.field("X-One", "1").field("Expect", "100-continue").field("X-Lictor-Mirror", "0");
  CHECK(call.run(make(kAll)) == Step::kNext);
  auto& copy = call.subrequests().back();
  CHECK(copy.service() == "shadow");
  CHECK_FALSE(copy.attended());
  CHECK(copy.head().method_name == "POST");
  CHECK(copy.head().target == "/a?b");
  CHECK(copy.head().authority == "api.example.com");
  CHECK(FakeCall::list(copy.head().fields) == Texts{"X-One: 1", "X-Lictor-Mirror: 1"});
  CHECK(call.request().fields.size() == 3);  // nothing of this is seen by the original
  call.taps().tell("hello ", false);
  CHECK(copy.state() == "made");
  call.taps().tell("world", false);
  call.taps().tell("", true);
  CHECK(copy.state() == "sent 10000");
  CHECK(copy.body() == "hello world");
}

TEST_CASE("a request that breaks off is not mirrored") {
  FakeCall call;
  const auto filter = make(kAll);
  post(call, BodyKind::kLength, 10).run(filter);
  call.taps().tell("hello", false);
  filter->on_done(call);
  CHECK(call.subrequests().back().state() == "cancelled");
  CHECK(call.mirror_dropped().empty());
}

TEST_CASE("what was sent is not taken back") {
  FakeCall call;
  const auto filter = make(kAll);
  call.run(filter);
  call.taps().tell("", true);
  filter->on_done(call);
  CHECK(call.subrequests().back().state() == "sent 10000");
}

TEST_CASE("bodies over 64 KiB are not mirrored, and counted") {
  FakeCall call;
  SUBCASE("announced") {
    post(call, BodyKind::kLength, 65537).run(make(kAll));
    CHECK(call.subrequests().empty());
  }
  SUBCASE("or not") {
    post(call, BodyKind::kUnknown, 0).run(make(kAll));
    call.taps().tell(std::string(65536, 'x'), false);
    CHECK(call.subrequests().back().state() == "made");
    call.taps().tell("y", false);
    CHECK(call.subrequests().back().state() == "cancelled");
    call.taps().tell("z", true);
  }
  CHECK(call.mirror_dropped() == "body ");
}

TEST_CASE("too many mirrored requests at once are counted, and harm nobody") {
  FakeCall call;
  call.subrequests_full = true;
  CHECK(call.run(make(kAll)) == Step::kNext);
  CHECK(call.mirror_dropped() == "busy ");
}

TEST_CASE("upgrades are not mirrored") {
  FakeCall call;
  call.request().upgrade = "websocket";
  call.run(make(kAll));
  CHECK(call.subrequests().empty());
}

TEST_CASE("mirror: percent is a share of the requests, the same for the same id") {
  const auto tenth = make(R"({"mirror": {"service": "shadow", "percent": 10}})");
  const auto count = [](const lictor::FilterPtr& filter) {
    FakeCall call;
    for (int i = 0; i < 10'000; ++i) {
      call.request_id("request-" + std::to_string(i));
      filter->on_request(call);
    }
    return call.subrequests().size();
  };
  const size_t first = count(tenth);
  CHECK(first > 800);
  CHECK(first < 1'200);
  CHECK(count(tenth) == first);
  CHECK(count(make(R"({"mirror": {"service": "shadow", "percent": 0}})")) == 0);
  CHECK(count(make(R"({"mirror": {"service": "shadow", "percent": 100}})")) == 10'000);
}

TEST_CASE("mirror: what is wrong with a document") {
  CHECK(problem_of(R"({"mirror": {}})") == "$.mirror: service is missing");
  CHECK(problem_of(R"({"mirror": {"service": "a", "percent": 101}})")
            .starts_with("$.mirror.percent: "));
  CHECK(make(kAll)->services() == Texts{"shadow"});
}
