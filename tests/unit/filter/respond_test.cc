#include <doctest/doctest.h>

#include "filter/fake_call.h"

using lictor::FakeCall;
using lictor::make;
using lictor::problem_of;
using lictor::Step;

TEST_CASE("respond answers with status, body and headers") {
  FakeCall call;
  const auto filter = make(
      R"({"respond": {"status": 503, "body": "down\n", "headers": {"Retry-After": "60", "Content-Type": "text/html"}}})");
  CHECK(filter->on_request(call) == Step::kStop);
  CHECK(call.replies() == 1);
  CHECK(call.replied().status == 503);
  CHECK(call.replied().body == "down\n");
  CHECK(call.replied().field("retry-after") == "60");
  CHECK(call.replied().field("content-type") == "text/html");
  CHECK(call.replied().fields.size() == 2);
}

TEST_CASE("a body without a type is plain text, no body has none, 200 is the default") {
  FakeCall call;
  call.run(make(R"({"respond": {"body": "hello"}})"));
  CHECK(call.replied().status == 200);
  CHECK(call.replied().field("Content-Type") == "text/plain; charset=utf-8");
  FakeCall empty;
  empty.run(make(R"({"respond": {"status": 204}})"));
  CHECK(empty.replied().status == 204);
  CHECK(empty.replied().fields.empty());
}

TEST_CASE("what is wrong with respond") {
  CHECK(problem_of(R"({"respond": {"status": 101}})") ==
        "$.respond.status: must be a whole number from 200 to 599");
  CHECK(problem_of(R"({"respond": {"status": "503"}})") ==
        "$.respond.status: must be a whole number from 200 to 599");
  CHECK(problem_of(R"({"respond": {"status": 304, "body": "x"}})") ==
        "$.respond.body: an answer with status 304 has no body");
  CHECK(problem_of(R"({"respond": {"headers": {"X": "a\nb"}}})") ==
        "$.respond.headers.X: must not have control characters");
  CHECK(problem_of(R"({"respond": {"headers": {"Content-Length": "5"}}})")
            .find("belongs to one connection") != std::string::npos);
  CHECK(problem_of(R"({"respond": {"body": ")" + std::string((256 << 10) + 1, 'x') + R"("}})") ==
        "$.respond.body: larger than 256 KiB");
}
