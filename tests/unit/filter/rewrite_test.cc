#include <doctest/doctest.h>

#include "filter/fake_call.h"

using lictor::FakeCall;
using lictor::make;
using lictor::problem_of;
using lictor::Step;

namespace {

struct Case {
  const char* config;
  const char* target;
  const char* sent;
  const char* prefix;  // X-Forwarded-Prefix, empty = none
};

std::string forwarded_prefix(FakeCall& call) {
  return std::string(call.request().fields.get(lictor::FieldId::kXForwardedPrefix));
}

}  // namespace

TEST_CASE("paths are rewritten, and the query stays") {
  for (const auto& [config, target, sent, prefix] : {
           Case{R"({"strip_prefix": "/user"})", "/user/1?q=/user", "/1?q=/user", "/user"},
           Case{R"({"strip_prefix": "/user"})", "/user", "/", "/user"},
           Case{R"({"strip_prefix": "/user"})", "/user?q", "/?q", "/user"},
           Case{R"({"strip_prefix": "/user"})", "/user/", "/", "/user"},
           Case{R"({"strip_prefix": "/user"})", "/users/1", "/users/1", ""},
           Case{R"({"strip_prefix": "/user"})", "/", "/", ""},
           Case{R"({"strip_prefix": "/user/"})", "/user/1", "/1", "/user"},
           Case{R"({"strip_prefix": "/a/b"})", "/a/b/c", "/c", "/a/b"},
           Case{R"({"prefix": "/v2"})", "/x?y", "/v2/x?y", ""},
           Case{R"({"prefix": "/v2"})", "/", "/v2/", ""},
           Case{R"({"strip_prefix": "/user", "prefix": "/v2"})", "/user/1", "/v2/1", "/user"},
           Case{R"({"strip_prefix": "/user", "prefix": "/v2"})", "/user", "/v2", "/user"},
           Case{R"({"strip_prefix": "/user", "prefix": "/v2"})", "/other", "/v2/other", ""},
           Case{R"({"path": "/orders/${path.id}"})", "/o/7?x=1", "/orders/7?x=1", ""},
           Case{R"({"path": "/fixed"})", "/o", "/fixed", ""},
           Case{R"({"path": "/o/${path.name}"})", "/o", "/o/", ""},
       }) {
    CAPTURE(config);
    CAPTURE(target);
    FakeCall call;
    call.target(target).capture("id", "7");
    CHECK(call.run(make(R"({"rewrite": )" + std::string(config) + "}")) == Step::kNext);
    CHECK(call.request().target == sent);
    CHECK(forwarded_prefix(call) == prefix);
    CHECK(call.replies() == 0);
  }
}

TEST_CASE("the host is rewritten where it stands") {
  FakeCall call;
  call.field("host", "old.example").field("Accept", "*/*").target("/x");
  call.run(make(R"({"rewrite": {"host": "new.example:8080"}})"));
  CHECK(call.request().authority == "new.example:8080");
  CHECK(call.request().target == "/x");
  CHECK(FakeCall::list(call.request().fields) ==
        std::vector<std::string>{"host: new.example:8080", "Accept: */*"});
}

TEST_CASE("a value that can't be in a path leaves the path as it is") {
  FakeCall call;
  call.target("/o?q").capture("id", "a\r\nb");
  call.run(make(R"({"rewrite": {"path": "/x/${path.id}"}})"));
  CHECK(call.request().target == "/o?q");
}

TEST_CASE("what is wrong with rewrite") {
  CHECK(problem_of(R"({"rewrite": {}})") ==
        "$.rewrite: changes nothing: give it strip_prefix, prefix, path or host");
  CHECK(problem_of(R"({"rewrite": {"path": "/x", "prefix": "/y"}})") ==
        "$.rewrite.path: replaces the whole path: it doesn't go with strip_prefix or prefix");
  for (const auto* bad :
       {"", "/", "user", "/a?b", "/a b", "/a/../b", "//a", "/a//b", "/%2e", "/{id}", "/a#b"}) {
    CAPTURE(bad);
    CHECK(problem_of(R"({"rewrite": {"strip_prefix": ")" + std::string(bad) + R"("}})")
              .starts_with("$.rewrite.strip_prefix: "));
    CHECK(problem_of(R"({"rewrite": {"prefix": ")" + std::string(bad) + R"("}})")
              .starts_with("$.rewrite.prefix: "));
  }
  CHECK(problem_of(R"({"rewrite": {"path": "x"}})") == "$.rewrite.path: must begin with '/'");
  CHECK(problem_of(R"({"rewrite": {"path": "/a?b=c"}})").find("the query stays") !=
        std::string::npos);
  CHECK(problem_of(R"({"rewrite": {"path": "/${path.other}"}})").find("unknown variable") !=
        std::string::npos);
  CHECK(problem_of(R"({"rewrite": {"host": "a b"}})").starts_with("$.rewrite.host: "));
  CHECK(problem_of(R"({"rewrite": {"host": "a\r\nb"}})").starts_with("$.rewrite.host: "));
}
