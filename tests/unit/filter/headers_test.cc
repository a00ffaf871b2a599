#include <doctest/doctest.h>

#include "filter/fake_call.h"

using lictor::FakeCall;
using lictor::make;
using lictor::problem_of;
using lictor::Step;
using Lines = std::vector<std::string>;

TEST_CASE("request headers are removed, set and added, in that order") {
  FakeCall call;
  call.field("Accept", "*/*")
      .field("X-Old", "1")
      .field("x-set", "1")
      .field("X-SET", "2")
      .field("X-Add", "1");
  const auto filter = make(R"({"request_headers": {
    "remove": ["x-old", "X-Gone"], "set": {"X-Set": "new"}, "add": {"X-Add": "2", "X-Old": "again"}}})");
  CHECK(filter->on_request(call) == Step::kNext);
  CHECK(FakeCall::list(call.request().fields) ==
        Lines{"Accept: */*", "X-Add: 1", "X-Set: new", "X-Add: 2", "X-Old: again"});
  CHECK(call.replies() == 0);
}

TEST_CASE("values may have variables; a header that would be empty is left out") {
  FakeCall call;
  call.capture("id", "7").field("X-User", "forged");
  call.run(make(R"({"request_headers": {
    "set": {"X-Client": "${client_ip}", "X-Item": "${route}/${path.id}", "X-User": "${user}"},
    "add": {"X-Name": "${path.name}"}}})"));
  CHECK(FakeCall::list(call.request().fields) == Lines{"X-Client: 192.0.2.7", "X-Item: users/7"});
}

TEST_CASE("a value with a line break never leaves") {
  FakeCall call;
  call.capture("id", "a\r\nX-Evil: 1").field("X-Id", "forged");
  call.run(make(
      R"({"request_headers": {"set": {"X-Id": "<${path.id}>"}, "add": {"X-More": "${path.id}"}}})"));
  CHECK(FakeCall::list(call.request().fields).empty());
}

TEST_CASE("response headers change on the way back only") {
  FakeCall call;
  call.response_field("Server", "x").response_field("Date", "y");
  const auto filter = make(
      R"({"response_headers": {"remove": ["server"], "set": {"X-Request-Id": "${request_id}"}}})");
  CHECK(filter->on_request(call) == Step::kNext);
  CHECK(call.response().fields.size() == 2);
  filter->on_response(call);
  CHECK(FakeCall::list(call.response().fields) == Lines{"Date: y", "X-Request-Id: id-1"});
  CHECK(call.request().fields.empty());
}

TEST_CASE("headers that frame or belong to a connection are refused") {
  for (const std::string name : {"Content-Length", "transfer-encoding", "Connection", "Keep-Alive",
                                 "TE", "Trailer", "Upgrade", "Proxy-Connection", "Expect"}) {
    CAPTURE(name);
    CHECK(problem_of(R"({"request_headers": {"set": {")" + name + R"(": "x"}}})")
              .find("belongs to one connection") != std::string::npos);
    CHECK(problem_of(R"({"response_headers": {"remove": [")" + name + R"("]}})")
              .find("belongs to one connection") != std::string::npos);
  }
  CHECK(problem_of(R"({"request_headers": {"set": {"host": "x"}}})").find("rewrite") !=
        std::string::npos);
}

TEST_CASE("what is wrong with header documents is told with its place") {
  CHECK(problem_of(R"({"request_headers": {"set": {"a b": "x"}}})") ==
        R"($.request_headers.set["a b"]: "a b" is not a header name such as "X-Request-Id")");
  CHECK(problem_of(R"({"request_headers": {"set": {"": "x"}}})").find("is not a header name") !=
        std::string::npos);
  CHECK(problem_of(R"({"request_headers": {"remove": ["a:"]}})").find("is not a header name") !=
        std::string::npos);
  CHECK(problem_of(R"({"request_headers": {"set": {"X-A": 1}}})") ==
        R"($.request_headers.set["X-A"]: must be a string, not a number)");
  CHECK(problem_of(R"({"request_headers": {"set": {"X-A": "a\r\nb"}}})") ==
        R"($.request_headers.set["X-A"]: must not have control characters)");
  CHECK(problem_of(R"({"request_headers": {"set": {"X-A": "1", "x-a": "2"}}})").find("twice") !=
        std::string::npos);
  CHECK(
      problem_of(R"({"request_headers": {"set": {"X-A": "${nope}"}}})").find("unknown variable") !=
      std::string::npos);
  CHECK(problem_of(R"({"request_headers": {"remove": "X-A"}})") ==
        "$.request_headers.remove: must be an array, not a string");
}
