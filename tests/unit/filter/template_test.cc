#include "filter/template.h"

#include <doctest/doctest.h>

#include "filter/fake_call.h"

using lictor::FakeCall;
using lictor::FilterContext;
using lictor::Problems;
using lictor::Template;

namespace {

const std::vector<std::string> kCaptures{"id", "name"};

std::string expand(std::string_view text, FakeCall& call) {
  const std::string document = R"({"t": 0})";
  std::string out;
  const Problems problems =
      lictor::read_json(document, lictor::JsonComments::kNo, [&](const lictor::JsonValue& at) {
        Template made;
        REQUIRE(made.parse(at, text, FilterContext{&kCaptures}));
        out = made.expand(call, call.arena());
      });
  CHECK(problems.empty());
  return out;
}

std::string problem(std::string_view text, const FilterContext& context) {
  const Problems problems =
      lictor::read_json("{}", lictor::JsonComments::kNo, [&](const lictor::JsonValue& at) {
        Template made;
        const bool good = made.parse(at, text, context);
        CHECK(good == at.problems().empty());
      });
  return problems.empty() ? "valid" : problems.front().to_string();
}

}  // namespace

TEST_CASE("variables become values") {
  FakeCall call;
  call.capture("id", "a%20b").client("2001:db8::1");
  call.set_user("alice");
  struct Case {
    const char* text;
    const char* value;
  };
  for (const auto& [text, value] : {
           Case{"", ""},
           Case{"plain", "plain"},
           Case{"${client_ip}", "2001:db8::1"},
           Case{"${request_id}", "id-1"},
           Case{"${route}", "users"},
           Case{"${service}", ""},
           Case{"${user}", "alice"},
           Case{"${claim.sub}", ""},
           Case{"${path.id}", "a%20b"},
           Case{"${path.name}", ""},
           Case{"<${route}/${path.id}>", "<users/a%20b>"},
           Case{"${route}${route}", "usersusers"},
           Case{"$", "$"},
           Case{"$$", "$$"},
           Case{"a$b", "a$b"},
           Case{"{route}", "{route}"},
           Case{"$${route}", "${route}"},
           Case{"$${${route}", "${users"},
           Case{"${route}}", "users}"},
       }) {
    CAPTURE(text);
    CHECK(expand(text, call) == value);
  }
}

TEST_CASE("unknown variables are problems when the document is read") {
  const FilterContext route{&kCaptures};
  CHECK(problem("${rout}", route) == R"($: unknown variable "${rout}" (did you mean "route"?))");
  CHECK(problem("${}", route) == R"($: unknown variable "${}")");
  CHECK(problem("${ route}", route) ==
        R"($: unknown variable "${ route}" (did you mean "route"?))");
  CHECK(problem("${path.}", route).starts_with(R"($: unknown variable "${path.}")"));
  CHECK(
      problem("${path.nam}", route) ==
      R"($: unknown variable "${path.nam}": no path of this route captures {nam} (did you mean "name"?))");
  CHECK(problem("${claim.}", route).starts_with(R"($: unknown variable "${claim.}")"));
  CHECK(problem("${claim.sub}", route) == "valid");
  CHECK(problem("a${route", route) == R"($: "${" without "}" behind it)");
  CHECK(problem("a\nb", route) == "$: must not have control characters");
  // The gateway's filters and shared ones meet all routes.
  CHECK(problem("${path.anything}", FilterContext{}) == "valid");
  CHECK(problem("${path.anything}", route) != "valid");
}

TEST_CASE("what can't be a header value never leaves") {
  for (const std::string_view bytes : {"a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x01b", "a\x7f"}) {
    const std::string bad(bytes);
    FakeCall call;
    call.capture("id", bad).request_id(bad);
    CHECK(expand("${path.id}", call) == "");
    CHECK(expand("x-${path.id}-y", call) == "");
    CHECK(expand("${request_id}", call) == "");
    CHECK(expand("${route}", call) == "users");
  }
  FakeCall call;
  call.capture("id", std::string("a\0b", 3));
  CHECK(expand("${path.id}", call) == "");
}

TEST_CASE("the subject of the client's certificate, absent without one") {
  FakeCall call;
  CHECK(expand("<${client_cert.subject}>", call) == "<>");
  call.client_cert("CN=api,O=Example");
  CHECK(expand("<${client_cert.subject}>", call) == "<CN=api,O=Example>");
}
