#include "model/condition.h"

#include <doctest/doctest.h>

#include "model/documents.h"

using namespace lictor;  // NOLINT: many names, one test

namespace {

class Request {
 public:
  Request& field(std::string_view name, std::string_view value) {
    fields_.add(arena_, name, value);
    return *this;
  }
  Request& query(std::string_view text) {
    query_ = text;
    return *this;
  }
  RequestData data() const { return {&fields_, query_}; }

 private:
  Arena arena_;
  Fields fields_;
  std::string_view query_;
};

Conditions read(const std::string& members) {
  auto parsed = parse_route("r", R"({"path": "/", "service": "s", )" + members + "}");
  if (!parsed) FAIL(parsed.error().front().to_string());
  return parsed->route.conditions;
}

bool hold(const std::string& members, const Request& request) {
  return all_hold(read(members), request.data());
}

std::string why_not(const std::string& members, const Request& request) {
  return read(members).front().why_not(request.data());
}

}  // namespace

TEST_CASE("every way to compare a header") {
  Request request;
  request.field("X-Env", "beta-7");
  const auto header = [&request](const std::string& matcher) {
    return hold(R"("headers": {"x-env": )" + matcher + "}", request);
  };
  CHECK(header(R"("beta-7")"));
  CHECK_FALSE(header(R"("Beta-7")"));
  CHECK_FALSE(header(R"("beta")"));
  CHECK(header(R"({"exact": "beta-7"})"));
  CHECK(header(R"({"prefix": "beta"})"));
  CHECK_FALSE(header(R"({"prefix": "alpha"})"));
  CHECK(header(R"({"suffix": "-7"})"));
  CHECK_FALSE(header(R"({"suffix": "beta"})"));
  CHECK(header(R"({"regex": "-[0-9]$"})"));
  CHECK_FALSE(header(R"({"regex": "^[0-9]"})"));
  CHECK(header(R"({"present": true})"));
  CHECK_FALSE(header(R"({"present": false})"));
  CHECK_FALSE(header(R"({"exact": "beta-7", "not": true})"));
  CHECK(header(R"({"exact": "prod", "not": true})"));
  CHECK(header(R"({"exact": "beta-7", "not": false})"));
  CHECK_FALSE(header(R"({"present": true, "not": true})"));
  CHECK(header(R"({"present": false, "not": true})"));
}

TEST_CASE("a header that is absent fails every condition but a negated one") {
  const Request request;
  const auto header = [&request](const std::string& matcher) {
    return hold(R"("headers": {"x-env": )" + matcher + "}", request);
  };
  CHECK_FALSE(header(R"("")"));
  CHECK_FALSE(header(R"({"present": true})"));
  CHECK(header(R"({"present": false})"));
  CHECK(header(R"({"exact": "x", "not": true})"));
  CHECK_FALSE(all_hold(read(R"("headers": {"a": "b"})"), {}));
}

TEST_CASE("of repeated fields any value may fit, and none may for a not") {
  Request request;
  request.field("Accept", "text/html").field("accept", "image/png");
  CHECK(hold(R"("headers": {"ACCEPT": "image/png"})", request));
  CHECK(hold(R"("headers": {"accept": {"prefix": "text/"}})", request));
  CHECK_FALSE(hold(R"("headers": {"accept": {"exact": "image/png", "not": true}})", request));
  CHECK_FALSE(hold(R"("headers": {"accept": "text/html, image/png"})", request));
}

TEST_CASE("headers that the gateway knows are found too") {
  Request request;
  request.field("User-Agent", "curl/8");
  CHECK(hold(R"("headers": {"user-agent": {"prefix": "curl/"}})", request));
  CHECK_FALSE(hold(R"("headers": {"referer": {"present": true}})", request));
}

TEST_CASE("queries are compared decoded") {
  Request request;
  request.query("v=2&q=a%20b+c&empty=&flag&na%6De=x&v=3&bad=%zz%4");
  const auto query = [&request](const std::string& name, const std::string& matcher) {
    return hold("\"query\": {\"" + name + "\": " + matcher + "}", request);
  };
  CHECK(query("v", R"("2")"));
  CHECK(query("v", R"("3")"));
  CHECK_FALSE(query("v", R"("4")"));
  CHECK_FALSE(query("V", R"("2")"));
  CHECK(query("q", R"("a b c")"));
  CHECK(query("q", R"({"suffix": " c"})"));
  CHECK(query("q", R"({"regex": "^a b"})"));
  CHECK(query("empty", R"("")"));
  CHECK(query("flag", R"({"present": true})"));
  CHECK(query("flag", R"("")"));
  CHECK(query("name", R"("x")"));
  CHECK(query("bad", R"("%zz%4")"));
  CHECK(query("none", R"({"present": false})"));
  const std::string value = std::string(3'000, 'a') + "%62";
  request.query(value);
  CHECK_FALSE(query("b", R"({"present": true})"));
  const std::string pair = "long=" + value;
  request.query(pair);
  CHECK(query("long", R"({"suffix": "ab"})"));
}

TEST_CASE("cookies are compared as they came, in every Cookie field") {
  Request request;
  request.field("Cookie", "a=1; beta=yes").field("Cookie", "c=\"q\"");
  CHECK(hold(R"("cookies": {"beta": "yes"})", request));
  CHECK(hold(R"("cookies": {"c": "\"q\""})", request));
  CHECK_FALSE(hold(R"("cookies": {"Beta": "yes"})", request));
  CHECK_FALSE(hold(R"("cookies": {"d": {"present": true}})", request));
  CHECK(hold(
      R"("cookies": {"a": "1", "beta": {"prefix": "y"}}, "headers": {"x": {"present": false}})",
      request));
  CHECK_FALSE(hold(R"("cookies": {"a": "1", "beta": "no"})", request));
}

TEST_CASE("what speaks against a request") {
  Request request;
  request.field("x-env", "prod").query("v=1");
  CHECK(why_not(R"("headers": {"X-Env": "beta"})", request) ==
        R"(header X-Env is "prod", not "beta")");
  CHECK(why_not(R"("headers": {"x-b": "beta"})", request) == "header x-b is absent");
  CHECK(why_not(R"("headers": {"x-env": {"present": false}})", request) ==
        "header x-env is present");
  CHECK(why_not(R"("query": {"v": {"regex": "^2"}})", request) ==
        R"(query parameter v is "1", not like "^2")");
  CHECK(why_not(R"("query": {"v": {"exact": "1", "not": true}})", request) ==
        R"(query parameter v is "1")");
  CHECK(why_not(R"("cookies": {"c": "1"})", request) == "cookie c is absent");
}

TEST_CASE("conditions that no request meets together") {
  const auto together = [](const std::string& a, const std::string& b) {
    return read(a).front().goes_with(read(b).front());
  };
  const std::string beta = R"("headers": {"x-env": "beta"})";
  CHECK_FALSE(together(beta, R"("headers": {"X-Env": "prod"})"));
  CHECK(together(beta, R"("headers": {"X-Env": {"prefix": "b"}})"));
  CHECK(together(beta, R"("headers": {"x-other": "prod"})"));
  CHECK(together(beta, R"("cookies": {"x-env": "prod"})"));
  CHECK(together(beta, beta));
  CHECK_FALSE(together(beta, R"("headers": {"x-env": {"present": false}})"));
  CHECK_FALSE(together(R"("headers": {"x-env": {"exact": "beta", "not": true}})", beta));
  CHECK(together(R"("headers": {"x-env": {"exact": "prod", "not": true}})", beta));
}
