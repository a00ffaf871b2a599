#include <doctest/doctest.h>

#include <string>

#include "filter/fake_call.h"

using lictor::Failure;
using lictor::FakeCall;
using lictor::make;
using lictor::problem_of;
using lictor::Step;

using Texts = std::vector<std::string>;

TEST_CASE("external_auth asks its service, with what the client may show it") {
  FakeCall call;
  call.target("/users/7?x=1").authority("api.example.com");
  call.field("Authorization", "Bearer t").field("Cookie", "a=1").field("X-Other", "secret");
  call.field("X-Forwarded-For", "192.0.2.7").field("X-Request-Id", "id-1");
  call.request().body = lictor::BodyKind::kLength;
  call.request().length = 10;
  call.request().method_name = "POST";
  CHECK(call.run(make(R"({"external_auth": {"service": "authz", "path": "/check?a=b"}})")) ==
        Step::kWait);
  auto& asked = call.subrequests().back();
  CHECK(asked.service() == "authz");
  CHECK(asked.attended());
  CHECK(asked.state() == "sent 1000");
  CHECK(asked.head().method_name == "GET");
  CHECK(asked.head().target == "/check?a=b");
  CHECK(asked.head().authority == "api.example.com");
  CHECK(asked.head().body == lictor::BodyKind::kNone);
  CHECK(FakeCall::list(asked.head().fields) ==
        Texts{"Authorization: Bearer t", "Cookie: a=1", "X-Forwarded-For: 192.0.2.7",
              "X-Request-Id: id-1", "X-Forwarded-Method: POST", "X-Forwarded-Uri: /users/7?x=1"});
}

TEST_CASE("request_headers says which of the client's fields are shown") {
  FakeCall call;
  call.field("Authorization", "a").field("X-Token", "1").field("x-token", "2");
  call.run(make(R"({"external_auth": {"service": "a", "request_headers": ["X-Token"]}})"));
  CHECK(FakeCall::list(call.subrequests().back().head().fields) ==
        Texts{"X-Token: 1", "x-token: 2", "X-Forwarded-Method: GET", "X-Forwarded-Uri: /"});
}

TEST_CASE("2xx lets the request through, with fields of the answer and none of the client's") {
  FakeCall call;
  call.field("X-User", "root").field("x_user", "root").field("X-Kept", "1");
  const auto filter =
      make(R"({"external_auth": {"service": "a", "response_headers": ["X-User", "X-Role"]}})");
  CHECK(call.run(filter) == Step::kWait);
  CHECK(FakeCall::list(call.request().fields) == Texts{"X-Kept: 1"});
  call.subrequests().back().answer(
      204, {{"x-user", "ada"}, {"X-Role", "a"}, {"X-Role", "b"}, {"X-Other", "no"}});
  CHECK(call.resumes() == 1);
  CHECK(call.replies() == 0);
  CHECK(FakeCall::list(call.request().fields) ==
        Texts{"X-Kept: 1", "X-User: ada", "X-Role: a", "X-Role: b"});
  filter->on_done(call);
  CHECK(call.subrequests().back().state() == "sent 1000");  // not cancelled: it has ended
}

TEST_CASE("401, 403 and 3xx go to the client as they are") {
  for (const uint16_t status : {401, 403, 302, 307}) {
    CAPTURE(status);
    FakeCall call;
    call.run(make(R"({"external_auth": {"service": "a", "on_error": "allow"}})"));
    call.subrequests().back().answer(
        status, {{"Location", "/login"}, {"Date", "then"}, {"WWW-Authenticate", "Basic"}}, "who?");
    CHECK(call.resumes() == 1);
    CHECK(call.replied().status == status);
    CHECK(call.replied().body == "who?");
    CHECK(call.replied().field("Location") == "/login");
    CHECK(call.replied().field("WWW-Authenticate") == "Basic");
    CHECK(call.replied().field("Date").empty());  // the gateway puts its own on
    CHECK(call.auth_failures() == Texts{"external_denied"});
  }
}

TEST_CASE("any other answer, or none, is on_error") {
  struct Case {
    uint16_t answer;  // 0: none
    Failure failure;
    uint16_t status;
    std::string reason;
  };
  for (const Case& one : {Case{404, Failure::kNone, 403, "external_odd"},
                          Case{418, Failure::kNone, 403, "external_odd"},
                          Case{500, Failure::kNone, 503, "external_failed"},
                          Case{503, Failure::kNone, 503, "external_failed"},
                          Case{0, Failure::kUpstreamTimeout, 503, "external_failed"},
                          Case{0, Failure::kConnectRefused, 503, "external_failed"},
                          Case{0, Failure::kOverloaded, 503, "external_failed"}}) {
    for (const bool allow : {false, true}) {
      CAPTURE(one.answer);
      FakeCall call;
      call.run(make(allow ? R"({"external_auth": {"service": "a", "on_error": "allow"}})"
                          : R"({"external_auth": {"service": "a"}})"));
      auto& asked = call.subrequests().back();
      one.answer == 0 ? asked.fail(one.failure) : asked.answer(one.answer);
      CHECK(call.resumes() == 1);
      CHECK(call.replies() == (allow ? 0 : 1));
      CHECK(call.replied().status == (allow ? 0 : one.status));
      CHECK(call.auth_failures() == (allow ? Texts{} : Texts{one.reason}));
    }
  }
}

TEST_CASE("too many questions at once are an error, too, and the client's fields still go") {
  FakeCall call;
  call.subrequests_full = true;
  call.field("X-User", "root");
  SUBCASE("deny") {
    CHECK(call.run(make(R"({"external_auth": {"service": "a"}})")) == Step::kStop);
    CHECK(call.replied().status == 503);
  }
  SUBCASE("allow") {
    CHECK(call.run(make(R"({"external_auth": {"service": "a", "on_error": "allow",
                           "response_headers": ["X-User"]}})")) == Step::kNext);
    CHECK(FakeCall::list(call.request().fields).empty());
  }
}

TEST_CASE("a question is cancelled when its request dies") {
  FakeCall call;
  const auto filter = make(R"({"external_auth": {"service": "a", "timeout": "0s"}})");
  call.run(filter);
  CHECK(call.subrequests().back().state() == "sent 0");
  filter->on_done(call);
  CHECK(call.subrequests().back().state() == "cancelled");
}

TEST_CASE("external_auth: what is wrong with a document") {
  CHECK(problem_of(R"({"external_auth": {}})") == "$.external_auth: service is missing");
  CHECK(problem_of(R"({"external_auth": {"service": "a/b"}})")
            .starts_with("$.external_auth.service: a service name has"));
  CHECK(problem_of(R"({"external_auth": {"service": "a", "path": "check"}})") ==
        R"($.external_auth.path: "check" is not a path such as "/check")");
  CHECK(problem_of(R"({"external_auth": {"service": "a", "path": "/a b"}})").find(".path: ") !=
        std::string::npos);
  CHECK(problem_of(R"({"external_auth": {"service": "a", "response_headers": ["Host"]}})")
            .starts_with("$.external_auth.response_headers[0]: Host"));
  CHECK(problem_of(R"({"external_auth": {"service": "a", "request_headers": ["Connection"]}})")
            .starts_with("$.external_auth.request_headers[0]: "));
  CHECK(problem_of(R"({"external_auth": {"service": "a", "on_error": "block"}})")
            .starts_with("$.external_auth.on_error: "));
  CHECK(problem_of(R"({"external_auth": {"service": "a", "on_errors": "deny"}})")
            .find("did you mean \"on_error\"") != std::string::npos);
  CHECK(make(R"({"external_auth": {"service": "authz"}})")->services() == Texts{"authz"});
}
