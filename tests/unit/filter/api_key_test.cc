#include <doctest/doctest.h>

#include "filter/fake_call.h"

using namespace lictor;
using Texts = std::vector<std::string>;

namespace {

Consumers consumers() {
  Consumer alice;
  alice.name = "alice";
  alice.api_keys = {sha256("a 1"), sha256("a2")};
  alice.groups = {"dev", "ops"};
  Consumer bob;
  bob.name = "bob";
  bob.api_keys = {sha256("b"), sha256("a2")};  // the second is alice's
  return Consumers(
      {std::make_shared<const Consumer>(alice), std::make_shared<const Consumer>(bob)});
}

const Consumers kConsumers = consumers();

// The user, or the reason for a refusal.
std::string verdict(FakeCall& call, const std::string& config) {
  call.consumers(kConsumers);
  if (call.run(make(R"({"api_key": )" + config + "}")) == Step::kNext) {
    return std::string(call.user());
  }
  REQUIRE(call.auth_failures().size() == 1);
  const std::string reason = call.auth_failures()[0];
  CHECK(call.replied().status == (reason == "group" ? 403 : 401));
  CHECK(call.replied().field("WWW-Authenticate") == (reason == "group" ? "" : "ApiKey"));
  return reason;
}

std::string with_header(const std::string& key, const std::string& config = "{}") {
  FakeCall call;
  call.field("x-api-key", key);
  return verdict(call, config);
}

}  // namespace

TEST_CASE("api_key: consumers by their keys") {
  CHECK(with_header("a 1") == "alice");
  CHECK(with_header("a2") == "alice");
  CHECK(with_header("b") == "bob");
  CHECK(with_header("B") == "unknown_key");
  CHECK(with_header("") == "missing");
  CHECK(with_header(std::string(4097, 'x')) == "unknown_key");
  FakeCall none;
  CHECK(verdict(none, "{}") == "missing");
  FakeCall two;
  two.field("X-API-Key", "b").field("X-Api-Key", "b");
  CHECK(verdict(two, "{}") == "repeated");
}

TEST_CASE("api_key: groups") {
  CHECK(with_header("a2", R"({"groups": ["ops", "x"]})") == "alice");
  CHECK(with_header("b", R"({"groups": ["ops"]})") == "group");
  CHECK(with_header("?", R"({"groups": ["ops"]})") == "unknown_key");
}

TEST_CASE("api_key: nobody is known without consumers") {
  FakeCall call;
  call.field("X-API-Key", "b");
  CHECK(call.run(make(R"({"api_key": {}})")) == Step::kStop);
  CHECK(call.auth_failures() == Texts{"unknown_key"});
}

TEST_CASE("api_key: in a query or a cookie") {
  const auto query = [](std::string_view target) {
    FakeCall call;
    call.target(target);
    return verdict(call, R"({"in": {"query": "key"}})");
  };
  CHECK(query("/x?a=b&key=a%201") == "alice");
  CHECK(query("/x?key=a2") == "alice");
  CHECK(query("/x?key=a2&key=a2") == "repeated");
  CHECK(query("/x?Key=a2") == "missing");
  CHECK(query("/key=a2") == "missing");
  FakeCall cookie;
  cookie.field("Cookie", "x=y; key=b").field("Cookie", "z=1");
  CHECK(verdict(cookie, R"({"in": {"cookie": "key"}})") == "bob");
}

TEST_CASE("what is wrong with api_key") {
  CHECK(problem_of(R"({"api_key": {"in": {}}})") ==
        "$.api_key.in: must have one of header, cookie and query");
  CHECK(problem_of(R"({"api_key": {"in": {"header": "a", "query": "b"}}})") ==
        "$.api_key.in: must have one of header, cookie and query");
  CHECK(problem_of(R"({"api_key": {"in": {"header": "a b"}}})") ==
        R"($.api_key.in.header: "a b" is not the name of a header)");
  CHECK(problem_of(R"({"api_key": {"in": {"heder": "a"}}})") ==
        R"($.api_key.in.heder: unknown key (did you mean "header"?))");
  CHECK(problem_of(R"({"api_key": {"groups": [""]}})") ==
        "$.api_key.groups[0]: must be the name of a group");
}
