#include <doctest/doctest.h>

#include "filter/fake_call.h"

using lictor::FakeCall;
using lictor::make;
using lictor::problem_of;
using lictor::Step;

TEST_CASE("body_limit: a number of bytes, or a size; the least of several counts") {
  FakeCall call;
  CHECK(call.run(make(R"({"body_limit": "10MiB"})")) == Step::kNext);
  CHECK(call.most_body() == 10 << 20);
  CHECK(call.run(make(R"({"body_limit": 1000})")) == Step::kNext);
  CHECK(call.run(make(R"({"body_limit": "2KB"})")) == Step::kNext);
  CHECK(call.most_body() == 1000);
}

TEST_CASE("what is wrong with body_limit") {
  for (const char* value : {R"("big")", R"("10 MiB")", "-1", "1.5", "{}", "null"}) {
    CHECK(problem_of(R"({"body_limit": )" + std::string(value) + "}") ==
          "$.body_limit: must be a size: a number of bytes, or a string such as \"64KiB\" or "
          "\"10MiB\"");
  }
  CHECK(problem_of(R"({"body_limit": 0})").starts_with("$.body_limit: must be a size "));
}
