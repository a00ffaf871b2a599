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
  const char* location;  // empty = goes on
};

}  // namespace

TEST_CASE("a part that is absent stays, and the query too unless the path has one") {
  for (const auto& [config, target, location] : {
           Case{R"({"scheme": "https"})", "/a?b=c", "https://example.com/a?b=c"},
           Case{R"({"scheme": "http"})", "/a?b=c", ""},
           Case{R"({"host": "www.example.org"})", "/a?b", "http://www.example.org/a?b"},
           Case{R"({"host": "EXAMPLE.com:8080"})", "/a", ""},
           Case{R"({"host": "www.example.org:8443", "scheme": "https"})", "/",
                "https://www.example.org:8443/"},
           Case{R"({"path": "/new"})", "/a?b=c", "http://example.com:8080/new?b=c"},
           Case{R"({"path": "/new?x=1"})", "/a?b=c", "http://example.com:8080/new?x=1"},
           Case{R"({"path": "/new?"})", "/a?b=c", "http://example.com:8080/new?"},
           Case{R"({"path": "/items/${path.id}"})", "/a", "http://example.com:8080/items/7"},
           Case{R"({"path": "/a"})", "/a", ""},
           Case{R"({"path": "/a"})", "/a?b", ""},
       }) {
    CAPTURE(config);
    FakeCall call;
    call.authority("example.com:8080").target(target).capture("id", "7");
    const auto filter = make(R"({"redirect": )" + std::string(config) + "}");
    if (*location == '\0') {
      CHECK(filter->on_request(call) == Step::kNext);
      CHECK(call.replies() == 0);
    } else {
      CHECK(filter->on_request(call) == Step::kStop);
      CHECK(call.replied().status == 308);
      CHECK(call.replied().field("Location") == location);
      CHECK(call.replied().body.empty());
    }
  }
}

TEST_CASE("TLS already: https redirects let it through") {
  FakeCall call;
  call.scheme("https");
  CHECK(call.run(make(R"({"redirect": {"scheme": "https"}})")) == Step::kNext);
}

TEST_CASE("IPv6 hosts keep their brackets when the port goes") {
  FakeCall call;
  call.authority("[2001:db8::1]:8080").target("/x");
  call.run(make(R"({"redirect": {"scheme": "https"}})"));
  CHECK(call.replied().field("Location") == "https://[2001:db8::1]/x");
  FakeCall bare;
  bare.authority("[2001:db8::1]").target("/x");
  bare.run(make(R"({"redirect": {"scheme": "https"}})"));
  CHECK(bare.replied().field("Location") == "https://[2001:db8::1]/x");
}

TEST_CASE("each redirect status") {
  for (const int status : {301, 302, 303, 307, 308}) {
    FakeCall call;
    call.run(make(R"({"redirect": {"path": "/x", "status": )" + std::to_string(status) + "}}"));
    CHECK(call.replied().status == status);
  }
  for (const auto* status : {"300", "304", "305", "306", "309", "200", "\"301\""}) {
    CHECK(problem_of(R"({"redirect": {"path": "/x", "status": )" + std::string(status) + "}}")
              .starts_with("$.redirect.status: must be "));
  }
}

TEST_CASE("a request without a host can't be redirected") {
  FakeCall call;
  call.authority("");
  CHECK(call.run(make(R"({"redirect": {"scheme": "https"}})")) == Step::kStop);
  CHECK(call.replied().status == 400);
}

TEST_CASE("a value with a line break never gets into Location") {
  FakeCall call;
  call.capture("id", "a\r\nSet-Cookie: x");
  CHECK(call.run(make(R"({"redirect": {"path": "/x/${path.id}"}})")) == Step::kStop);
  CHECK(call.replied().field("Location") == "");
  CHECK(call.replied().status == 400);
}

TEST_CASE("what is wrong with redirect") {
  CHECK(problem_of(R"({"redirect": {}})") ==
        "$.redirect: leads nowhere: give it a scheme, host or path");
  CHECK(problem_of(R"({"redirect": {"scheme": "ftp"}})") ==
        R"($.redirect.scheme: "ftp" is not one of "http", "https")");
  CHECK(problem_of(R"({"redirect": {"host": "http://x"}})").starts_with("$.redirect.host: "));
  CHECK(problem_of(R"({"redirect": {"host": ""}})").starts_with("$.redirect.host: "));
  CHECK(problem_of(R"({"redirect": {"path": "x"}})") == "$.redirect.path: must begin with '/'");
  CHECK(problem_of(R"({"redirect": {"path": "//evil.example"}})") ==
        "$.redirect.path: must begin with one '/'");
  CHECK(problem_of(R"({"redirect": {"path": "/a b"}})").find("percent-encode") !=
        std::string::npos);
  CHECK(problem_of(R"({"redirect": {"path": "/${path.x}"}})").find("unknown variable") !=
        std::string::npos);
}
