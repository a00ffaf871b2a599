#include "filter/makers.h"

#include <doctest/doctest.h>

#include "filter/fake_call.h"

using lictor::make;
using lictor::problem_of;

TEST_CASE("filters are made by name") {
  CHECK(make(R"({"respond": {}})")->name() == "respond");
  CHECK(make(R"({"redirect": {"path": "/x"}})")->name() == "redirect");
  CHECK(make(R"({"rewrite": {"path": "/x"}})")->name() == "rewrite");
  CHECK(make(R"({"request_headers": {}})")->name() == "request_headers");
  CHECK(make(R"({"response_headers": {}})")->name() == "response_headers");
}

TEST_CASE("only filters that answer say so") {
  CHECK(make(R"({"respond": {}})")->answers());
  CHECK(make(R"({"redirect": {"path": "/x"}})")->answers());
  CHECK_FALSE(make(R"({"rewrite": {"path": "/x"}})")->answers());
  CHECK_FALSE(make(R"({"request_headers": {}})")->answers());
}

TEST_CASE("unknown filters get a suggestion") {
  CHECK(problem_of(R"({"rewrit": {}})") == R"($.rewrit: unknown filter (did you mean "rewrite"?))");
  CHECK(problem_of(R"({"x": {}})") == "$.x: unknown filter");
  CHECK(problem_of(R"({"": {}})") == R"($[""]: unknown filter)");
}

TEST_CASE("every filter refuses unknown keys and wrong types") {
  for (const std::string name :
       {"api_key", "basic_auth", "compress", "concurrency_limit", "cors", "external_auth", "fault",
        "jwt", "mirror", "rate_limit", "redirect", "request_headers", "respond", "response_headers",
        "rewrite"}) {
    CHECK(problem_of(R"({")" + name + R"(": {"nonsense": 1}})").find("nonsense: unknown key") !=
          std::string::npos);
    CHECK(problem_of(R"({")" + name + R"(": []})") ==
          "$." + name + ": must be an object, not an array");
    CHECK(problem_of(R"({")" + name + R"(": null})") ==
          "$." + name + ": must be an object, not null");
  }
}
