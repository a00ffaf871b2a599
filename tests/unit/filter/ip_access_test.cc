#include <doctest/doctest.h>

#include "filter/fake_call.h"

using lictor::FakeCall;
using lictor::make;
using lictor::problem_of;
using lictor::Step;

namespace {

bool passes(const std::string& document, const std::string& client) {
  FakeCall call;
  call.client(client);
  const bool next = call.run(make(document)) == Step::kNext;
  CHECK(call.replies() == (next ? 0 : 1));
  if (!next) CHECK(call.replied().status == 403);
  return next;
}

}  // namespace

TEST_CASE("ip_access: only those of allow, when there are some") {
  const std::string document =
      R"({"ip_access": {"allow": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]}})";
  CHECK(passes(document, "10.1.2.3"));
  CHECK(passes(document, "2001:db8::7"));
  CHECK(passes(document, "192.0.2.1"));
  CHECK_FALSE(passes(document, "192.0.2.2"));
  CHECK_FALSE(passes(document, "2001:db9::7"));
}

TEST_CASE("ip_access: none of deny, allow or not") {
  CHECK(passes(R"({"ip_access": {"deny": ["10.0.0.0/8"]}})", "192.0.2.2"));
  CHECK_FALSE(passes(R"({"ip_access": {"deny": ["10.0.0.0/8"]}})", "10.0.0.1"));
  const std::string both = R"({"ip_access": {"allow": ["10.0.0.0/8"], "deny": ["10.0.0.1"]}})";
  CHECK(passes(both, "10.0.0.2"));
  CHECK_FALSE(passes(both, "10.0.0.1"));
}

TEST_CASE("what is wrong with ip_access") {
  CHECK(problem_of(R"({"ip_access": {}})") ==
        "$.ip_access: lets everybody in: give it addresses in allow or deny");
  CHECK(problem_of(R"({"ip_access": {"allow": ["10.0.0.0/33"]}})") ==
        R"($.ip_access.allow[0]: "10.0.0.0/33" is not an address or a range such as "10.0.0.0/8")");
  CHECK(problem_of(R"({"ip_access": {"alow": []}})") ==
        R"($.ip_access.alow: unknown key (did you mean "allow"?))");
}
