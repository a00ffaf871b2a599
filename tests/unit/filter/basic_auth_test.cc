#include <doctest/doctest.h>

#include "filter/fake_call.h"

using namespace lictor;
using Texts = std::vector<std::string>;

namespace {

// bcrypt at its least cost, of "correct horse".
constexpr const char* kHash = "$2b$04$BcF0.Iqmo1oGvZl2SXCzPO.tilqx/OmIbJhaf3p1h/Ik5N1DN9RY2";
constexpr const char* kChallenge = R"(Basic realm="lictor", charset="UTF-8")";

const Consumers& consumers() {
  static const Consumers all = [] {
    Consumer alice;
    alice.name = "alice";
    alice.logins = {{"al", kHash}};
    alice.groups = {"ops"};
    return Consumers({std::make_shared<const Consumer>(alice)});
  }();
  return all;
}

std::string credentials(const std::string& pair) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out = "Basic ";
  for (size_t i = 0; i < pair.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (i + j < pair.size() ? static_cast<unsigned char>(pair[i + j]) : 0);
    }
    for (size_t j = 0; j < 4; ++j) {
      out += i + j <= pair.size() ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
    }
  }
  return out;
}

// Until the pool has worked: its threads take the system's time, not the test's.
void finish(FakeCall& call) {
  while (call.resumes() == 0) uv_run(call.loop().uv(), UV_RUN_ONCE);
}

}  // namespace

TEST_CASE("basic_auth: a pair is checked away from the loop, then known") {
  const FilterPtr filter = make(R"({"basic_auth": {"groups": ["ops"]}})");
  FakeCall first;
  first.consumers(consumers()).field("Authorization", credentials("al:correct horse"));
  CHECK(first.run(filter) == Step::kWait);
  finish(first);
  CHECK(first.user() == "alice");
  CHECK(first.replies() == 0);
  filter->on_done(first);

  FakeCall second;
  second.consumers(consumers()).field("Authorization", credentials("al:correct horse"));
  CHECK(second.run(filter) == Step::kNext);
  CHECK(second.user() == "alice");
}

TEST_CASE("basic_auth: what is wrong is wrong for a while without being computed again") {
  const FilterPtr filter = make(R"({"basic_auth": {}})");
  FilterShared shared;
  lictor::testing::ManualLoop loop;
  for (const char* pair : {"al:wrong", "nobody:correct horse"}) {
    FakeCall first(shared, loop);
    first.consumers(consumers()).field("Authorization", credentials(pair));
    CHECK(first.run(filter) == Step::kWait);  // somebody unknown costs as much
    finish(first);
    CHECK(first.replied().status == 401);
    CHECK(first.replied().field("WWW-Authenticate") == kChallenge);
    CHECK(first.auth_failures() == Texts{"password"});
    filter->on_done(first);

    FakeCall second(shared, loop);
    second.consumers(consumers()).field("Authorization", credentials(pair));
    CHECK(second.run(filter) == Step::kStop);
    CHECK(second.replied().status == 401);
    loop.pass(3'100);
    FakeCall third(shared, loop);
    third.consumers(consumers()).field("Authorization", credentials(pair));
    CHECK(third.run(filter) == Step::kWait);
    filter->on_done(third);
  }
}

TEST_CASE("basic_auth: a request that ends while its password is checked is forgotten") {
  const FilterPtr filter = make(R"({"basic_auth": {}})");
  FakeCall gone;
  gone.consumers(consumers()).field("Authorization", credentials("al:wrong"));
  CHECK(gone.run(filter) == Step::kWait);
  filter->on_done(gone);
  // The loop waits for the pool when it dies, and nothing is told.
}

TEST_CASE("basic_auth: only so many passwords are checked at once") {
  const FilterPtr filter = make(R"({"basic_auth": {}})");
  FilterShared shared;
  lictor::testing::ManualLoop loop;
  std::vector<std::unique_ptr<FakeCall>> calls;
  for (int i = 0; i <= 64; ++i) {
    calls.push_back(std::make_unique<FakeCall>(shared, loop));
    calls.back()
        ->consumers(consumers())
        .field("Authorization", credentials("al:" + std::to_string(i)));
    CHECK(calls.back()->run(filter) == (i < 64 ? Step::kWait : Step::kStop));
  }
  CHECK(calls.back()->replied().status == 503);
  for (const auto& call : calls) filter->on_done(*call);
}

TEST_CASE("basic_auth: credentials that are none") {
  const FilterPtr filter = make(R"({"basic_auth": {"realm": "a \"b\" \\"}})");
  const auto reason = [&filter](const std::string& value) {
    FakeCall call;
    call.consumers(consumers()).field("Authorization", value);
    CHECK(call.run(filter) == Step::kStop);
    CHECK(call.replied().field("WWW-Authenticate") ==
          R"(Basic realm="a \"b\" \\", charset="UTF-8")");
    return call.auth_failures().at(0);
  };
  CHECK(reason("Bearer x") == "missing");
  CHECK(reason("Basic") == "malformed");
  CHECK(reason("Basic YWw") == "malformed");
  CHECK(reason(credentials("al")) == "malformed");
  CHECK(reason(credentials(std::string("al:correct horse\0", 17))) == "malformed");
  CHECK(reason(credentials("al:" + std::string(1024, 'x'))) == "malformed");
}

TEST_CASE("basic_auth: nobody is known without consumers, at once") {
  FakeCall call;
  call.field("Authorization", credentials("al:correct horse"));
  CHECK(call.run(make(R"({"basic_auth": {}})")) == Step::kStop);
  CHECK(call.auth_failures() == Texts{"password"});
}
