#include <doctest/doctest.h>

#include "filter/fake_call.h"
#include "filter/key_source.h"
#include "filter/signer.h"

using namespace lictor;
using lictor::testing::Signer;
using Texts = std::vector<std::string>;

namespace {

const Signer kIssuer("one");

FilterPtr jwt(const std::string& more = {}) {
  return make(R"({"jwt": {"jwks": )" + kIssuer.jwks() + more + "}}");
}
FilterPtr remote(const std::string& more = {}) {
  return make(R"({"jwt": {"jwks_uri": "https://issuer.example/jwks.json")" + more + "}}");
}

std::string bearer(const std::string& token) { return "Bearer " + token; }

void check_refused(const FakeCall& call, uint16_t status, const std::string& challenge,
                   const std::string& reason) {
  CHECK(call.replied().status == status);
  CHECK(call.replied().field("WWW-Authenticate") == challenge);
  CHECK(call.auth_failures() == Texts{reason});
}

}  // namespace

TEST_CASE("jwt: who has a good token passes, and is known") {
  const std::string token = kIssuer.token(R"(,"sub":"alice","role":["a","b"])");
  const FilterPtr filter = jwt(R"(, "forward_claims": {"role": "X-Role", "none": "X-None"})");
  for (int i = 0; i < 2; ++i) {  // verified, then remembered
    FakeCall call;
    call.field("Authorization", bearer(token)).field("x-role", "root").field("X_NONE", "root");
    CHECK(call.run(filter) == Step::kNext);
    CHECK(call.user() == "alice");
    CHECK(call.claim("role") == "a,b");
    CHECK(call.claim("nothing").empty());
    CHECK(FakeCall::list(call.request().fields) ==
          Texts{"Authorization: " + bearer(token), "X-Role: a,b"});
    filter->on_done(call);
    CHECK(call.state() == nullptr);
  }
}

TEST_CASE("jwt: who has none is asked for one; who has a bad one is told") {
  const FilterPtr filter = jwt();
  FakeCall none;
  CHECK(none.run(filter) == Step::kStop);
  check_refused(none, 401, "Bearer", "missing");

  FakeCall bad;
  bad.field("Authorization", bearer(Signer("one", 'x').token()));
  CHECK(bad.run(filter) == Step::kStop);
  check_refused(bad, 401, R"(Bearer error="invalid_token")", "signature");

  FakeCall two;
  two.field("Authorization", bearer(kIssuer.token())).field("Authorization", "Basic YTpi");
  CHECK(two.run(filter) == Step::kStop);
  check_refused(two, 401, R"(Bearer error="invalid_token")", "repeated");
}

TEST_CASE("jwt: a claim that is wanted and is not there is 403, of a user that is known") {
  FakeCall call;
  call.field("Authorization", bearer(kIssuer.token(R"(,"sub":"bob","role":"dev")")));
  const FilterPtr filter = jwt(R"(, "require_claims": {"role": ["ops"]})");
  CHECK(call.run(filter) == Step::kStop);
  check_refused(call, 403, R"(Bearer error="insufficient_scope")", "claims");
  CHECK(call.user() == "bob");
  filter->on_done(call);
}

TEST_CASE("jwt: values that are no header values never leave") {
  FakeCall call;
  call.field("Authorization", bearer(kIssuer.token(R"(,"sub":"a\r\nX-Evil: 1")")));
  const FilterPtr filter = jwt(R"(, "forward_claims": {"sub": "X-User"})");
  CHECK(call.run(filter) == Step::kNext);
  CHECK(call.user().empty());
  CHECK(call.request().fields.size() == 1);
  filter->on_done(call);
}

TEST_CASE("jwt: a remembered token is verified again when the keys change") {
  const FilterPtr filter = remote();
  const auto source = filter->remote_keys();
  REQUIRE(source);
  source->set(kIssuer.keys());
  const std::string token = kIssuer.token();
  const auto ask = [&] {
    FakeCall call;
    call.field("Authorization", bearer(token));
    const Step step = call.run(filter);
    filter->on_done(call);
    return step;
  };
  CHECK(ask() == Step::kNext);
  CHECK(ask() == Step::kNext);
  source->set(Signer("one", 'x').keys());
  CHECK(ask() == Step::kStop);
  source->set(kIssuer.keys());
  CHECK(ask() == Step::kNext);
}

TEST_CASE("jwt: an unknown key rings the bell once, and nobody waits") {
  const FilterPtr filter = remote();
  const auto source = filter->remote_keys();
  int rings = 0;
  source->set_bell([&rings] { ++rings; });
  source->set(kIssuer.keys());
  for (int i = 0; i < 3; ++i) {
    FakeCall call;
    call.field("Authorization", bearer(Signer("two").token()));
    CHECK(call.run(filter) == Step::kStop);
    CHECK(call.auth_failures() == Texts{"unknown_key"});
  }
  CHECK(rings == 1);
  CHECK(source->take_wanted());
  CHECK_FALSE(source->take_wanted());
  FakeCall forged;
  forged.field("Authorization", bearer(Signer("one", 'x').token()));
  CHECK(forged.run(filter) == Step::kStop);
  CHECK(rings == 1);  // the key is there: newer ones would not help
}

TEST_CASE("jwt: before the first keys a request waits, then goes on") {
  const FilterPtr filter = remote();
  const auto source = filter->remote_keys();
  FakeCall good;
  FakeCall bad;
  good.field("Authorization", bearer(kIssuer.token()));
  bad.field("Authorization", bearer(Signer("two").token()));
  CHECK(good.run(filter) == Step::kWait);
  CHECK(bad.run(filter) == Step::kWait);
  source->set(kIssuer.keys());
  CHECK(good.resumes() == 0);
  good.manual_loop().turn();
  bad.manual_loop().turn();
  CHECK(good.resumes() == 1);
  CHECK(good.user() == "alice");
  CHECK(bad.resumes() == 1);
  check_refused(bad, 401, R"(Bearer error="invalid_token")", "unknown_key");
  filter->on_done(good);
  filter->on_done(bad);
}

TEST_CASE("jwt: no keys in five seconds, or a failed fetch, is 503") {
  const FilterPtr filter = remote();
  FakeCall late;
  late.field("Authorization", bearer(kIssuer.token()));
  CHECK(late.run(filter) == Step::kWait);
  late.manual_loop().pass(4'900);
  CHECK(late.resumes() == 0);
  late.manual_loop().pass(200);
  CHECK(late.resumes() == 1);
  CHECK(late.replied().status == 503);
  filter->on_done(late);

  filter->remote_keys()->fail();
  FakeCall next;
  next.field("Authorization", bearer(kIssuer.token()));
  CHECK(next.run(filter) == Step::kStop);
  CHECK(next.replied().status == 503);
  CHECK(next.auth_failures() == Texts{"keys_unavailable"});
}

TEST_CASE("jwt: a request that ends while it waits is forgotten") {
  const FilterPtr filter = remote();
  const auto source = filter->remote_keys();
  FakeCall gone;
  gone.field("Authorization", bearer(kIssuer.token()));
  CHECK(gone.run(filter) == Step::kWait);
  filter->on_done(gone);
  source->set(kIssuer.keys());
  gone.manual_loop().pass(10'000);
  CHECK(gone.resumes() == 0);
  CHECK(gone.replies() == 0);
}

TEST_CASE("jwt: only so many requests wait") {
  const FilterPtr filter = remote();
  std::vector<std::unique_ptr<FakeCall>> calls;
  FilterShared shared;
  lictor::testing::ManualLoop loop;
  const std::string token = bearer(kIssuer.token());
  for (size_t i = 0; i <= KeySource::kMaxWaiting; ++i) {
    calls.push_back(std::make_unique<FakeCall>(shared, loop));
    calls.back()->field("Authorization", token);
    const bool room = i < KeySource::kMaxWaiting;
    CHECK(calls.back()->run(filter) == (room ? Step::kWait : Step::kStop));
  }
  CHECK(calls.back()->replied().status == 503);
  for (const auto& call : calls) filter->on_done(*call);
}

// build/tests/unit_tests -ns -tc="bench: jwt*"
TEST_CASE("bench: jwt, a token that comes again" * doctest::skip()) {
  const FilterPtr filter = jwt(R"(, "forward_claims": {"sub": "X-User-Id"})");
  const std::string token =
      bearer(kIssuer.token(R"(,"sub":"alice","pad":")" + std::string(500, 'x') + "\""));
  constexpr size_t kCalls = 20'000;
  FilterShared shared;
  lictor::testing::ManualLoop loop;  // whose clock stands still: the processor's time counts
  std::vector<std::unique_ptr<FakeCall>> calls;
  for (size_t i = 0; i < kCalls; ++i) {
    calls.push_back(std::make_unique<FakeCall>(shared, loop));
    calls.back()->field("Authorization", token).field("Accept", "*/*").field("User-Agent", "x");
    calls.back()->arena().chars(1500);  // the rest of a head
  }
  const clock_t begun = clock();
  for (const auto& call : calls) {
    filter->on_request(*call);
    filter->on_done(*call);
  }
  const double us = static_cast<double>(clock() - begun) * 1e6 / CLOCKS_PER_SEC;
  MESSAGE(token.size() << " bytes: " << us * 1000 / kCalls << " ns");
}
