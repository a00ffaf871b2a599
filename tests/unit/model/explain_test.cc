#include "model/explain.h"

#include <doctest/doctest.h>

#include "model/compiler.h"

using namespace lictor;  // NOLINT: many names, one test

namespace {

using Texts = std::map<std::string, std::string>;

class Bench {
 public:
  explicit Bench(const Texts& texts) {
    std::vector<Document> documents;
    for (const auto& [key, text] : texts) documents.push_back({key, text, 1});
    outcome_ = compiler_.compile(documents);
    for (const auto& status : outcome_.documents) {
      if (!status.error.empty()) FAIL(status.key, ": ", status.error);
    }
  }
  Explanation ask(const std::string& url, const std::string& method = "GET",
                  std::vector<std::pair<std::string, std::string>> headers = {}) {
    auto found = explain(*outcome_.snapshot, {method, url, std::move(headers)});
    if (!found) FAIL(found.error());
    return std::move(*found);
  }
  std::string wrong(const std::string& url, const std::string& method = "GET",
                    std::vector<std::pair<std::string, std::string>> headers = {}) {
    auto found = explain(*outcome_.snapshot, {method, url, std::move(headers)});
    return found ? "fine" : found.error();
  }

 private:
  Compiler compiler_;
  Compiler::Outcome outcome_;
};

std::string why(const Explanation& found, const std::string& route) {
  for (const auto& one : found.passed_over) {
    if (one.route == route) return one.why;
  }
  return "not passed over";
}

std::string to(const std::string& members) { return "{" + members + R"(, "service": "s"})"; }

}  // namespace

TEST_CASE("the route, its captures, and the path behind the filters") {
  Bench bench(Texts{{"routes/user",
                     R"({"hosts": ["api.example"], "path": "/user/{id}/*", "service": "users",
                    "filters": [{"rewrite": {"strip_prefix": "/user", "prefix": "/v2"}},
                                {"request_headers": {"set": {"X-A": "${path.id}"}}}]})"},
                    {"gateway", R"({"filters": [{"response_headers": {"remove": ["Server"]}}]})"}});
  const auto found = bench.ask("http://API.example:8080/user/7/./x?a=1");
  REQUIRE(found.route != nullptr);
  CHECK(found.route->name == "user");
  CHECK(found.captures == std::vector<std::pair<std::string, std::string>>{{"id", "7"}});
  CHECK(found.upstream_path == "/v2/7/x?a=1");
  CHECK(found.filters ==
        std::vector<std::string>{"response_headers", "rewrite", "request_headers"});
  CHECK(found.not_run.empty());
  CHECK(found.passed_over.empty());
  CHECK(bench.ask("/user/7/x", "GET", {{"Host", "api.example"}}).route != nullptr);
  CHECK(bench.ask("/user/7/x").route == nullptr);
}

TEST_CASE("a filter that answers ends the way") {
  Bench bench(Texts{{"routes/old", R"({"path": "/old", "service": "s",
                 "filters": [{"redirect": {"path": "/new", "status": 301}}, {"rewrite": {"prefix": "/x"}}]})"}});
  const auto found = bench.ask("http://h/old");
  CHECK(found.answered_by == "redirect");
  CHECK(found.status == 301);
  CHECK(found.upstream_path.empty());
  CHECK(found.filters.size() == 2);
}

TEST_CASE("filters that go by more than the request are not run") {
  Bench bench(
      {{"routes/r", to(R"("path": "/*", "filters": [{"ip_access": {"deny": ["127.0.0.1"]}}])")}});
  const auto found = bench.ask("/x");
  CHECK(found.answered_by.empty());
  CHECK(found.not_run == std::vector<std::string>{"ip_access"});
  CHECK(found.upstream_path == "/x");
}

TEST_CASE("why the others were passed over, the nearest first") {
  Bench bench(
      {{"routes/chosen", to(R"("hosts": ["a.example"], "path": "/x/y", "priority": 1)")},
       {"routes/low", to(R"("hosts": ["a.example"], "path": "/x/y")")},
       {"routes/post", to(R"("path": "/x/*", "methods": ["POST", "PUT"], "priority": 2)")},
       {"routes/beta", to(R"("path": "/x/*", "headers": {"x-env": "beta"}, "priority": 2)")},
       {"routes/host", to(R"("hosts": ["b.example", "*.c.example"], "path": "/x/y")")},
       {"routes/path", to(R"("hosts": ["*.example"], "path": "/z")")},
       {"routes/like", to(R"("path": "/x-files/*")")},
       {"routes/other", to(R"("path": "/other/*")")}});
  const auto found = bench.ask("http://a.example/x/y");
  REQUIRE(found.route != nullptr);
  CHECK(found.route->name == "chosen");
  CHECK(why(found, "low") == "priority 0 is below 1 of chosen");
  CHECK(why(found, "post") == "method GET is not POST or PUT");
  CHECK(why(found, "beta") == "header x-env is absent");
  CHECK(why(found, "host") == "host a.example is not b.example or *.c.example");
  CHECK(why(found, "path") == "path /x/y is not /z");
  CHECK(why(found, "like") == "path /x/y is not /x-files/*");
  CHECK(why(found, "other") == "not passed over");
  std::vector<std::string> order;
  for (const auto& one : found.passed_over) order.push_back(one.route);
  CHECK(order == std::vector<std::string>{"low", "beta", "post", "host", "like", "path"});
}

TEST_CASE("each step of the precedence is told") {
  Bench bench(Texts{{"routes/exact", to(R"("hosts": ["a.example"], "path": "/h")")},
                    {"routes/wild", to(R"("hosts": ["*.example"], "path": "/h")")},
                    {"routes/literal", to(R"("path": "/p/me")")},
                    {"routes/capture", to(R"("path": "/p/{id}")")},
                    {"routes/regex", to(R"("path": "~^/p/")")},
                    {"routes/one", to(R"("path": "/c", "methods": ["GET"])")},
                    {"routes/two", to(R"("path": "/c", "methods": ["GET"], "query": {"v": "1"})")},
                    {"routes/tie-a", to(R"("path": "/t")")},
                    {"routes/tie-b", to(R"("path": "/t")")}});
  CHECK(why(bench.ask("http://a.example/h"), "wild") == "less specific host than that of exact");
  const auto path = bench.ask("/p/me");
  CHECK(why(path, "capture") == "less specific path than that of literal");
  CHECK(why(path, "regex") == "less specific path than that of literal");
  CHECK(path.passed_over[0].route == "capture");
  CHECK(why(bench.ask("/c?v=1"), "one") == "fewer conditions (1) than those of two (2)");
  CHECK(why(bench.ask("/c?v=2"), "two") == R"(query parameter v is "2", not "1")");
  CHECK(why(bench.ask("/t"), "tie-b") == "its name comes after tie-a, and nothing else decides");
}

TEST_CASE("no route, and the reasons") {
  Bench bench(Texts{{"routes/get", to(R"("path": "/x", "methods": ["GET"])")},
                    {"routes/users", to(R"("path": "/users/*")")}});
  const auto found = bench.ask("/x", "POST");
  CHECK(found.route == nullptr);
  CHECK(found.allow == std::vector<std::string>{"GET"});
  CHECK(why(found, "get") == "method POST is not GET");
  CHECK(found.upstream_path.empty());
  const auto none = bench.ask("/user/1");
  CHECK(none.allow.empty());
  CHECK(why(none, "users") == "path /user/1 is not /users/*");
}

TEST_CASE("at most twenty are listed, all are counted") {
  std::map<std::string, std::string> texts;
  for (int i = 0; i < 50; ++i) {
    texts["routes/r" + std::to_string(100 + i)] = to(R"("path": "/x")");
  }
  const auto found = Bench(texts).ask("/x");
  CHECK(found.passed_over.size() == 20);
  CHECK(found.passed_over_total == 49);
  CHECK(found.passed_over[0].route == "r101");
}

TEST_CASE("what is no request") {
  Bench bench(Texts{{"routes/r", to(R"("path": "/*")")}});
  CHECK(bench.wrong("/", "get").find("capitals") != std::string::npos);
  CHECK(bench.wrong("example.com/x").find("is not a URL") != std::string::npos);
  CHECK(bench.wrong("/a\\b").find("is not a URL") != std::string::npos);
  CHECK(bench.wrong("/../x").find("the gateway refuses this path") != std::string::npos);
  CHECK(bench.wrong("http://a/", "GET", {{"Host", "b"}}).find("differs") != std::string::npos);
  CHECK(bench.wrong("/", "GET", {{"a b", "c"}}).find("is no header") != std::string::npos);
  CHECK(bench.wrong("/", "GET", {{"a", "b\nc"}}).find("is no header") != std::string::npos);
}

TEST_CASE("explain and the table agree on random requests") {
  // The winner by the plain ranks must be the one that the table found, or why_later would lie.
  std::map<std::string, std::string> texts;
  const char* paths[] = {"/a/*", "/a/{x}", "/a/b", "/{x}/b", "~^/a/", "/*"};
  int number = 0;
  for (const char* path : paths) {
    for (const char* host : {"", "h.example", "*.example"}) {
      for (int priority : {0, 1}) {
        std::string text =
            R"("path": ")" + std::string(path) + "\", \"priority\": " + std::to_string(priority);
        if (*host != 0) text += R"(, "hosts": [")" + std::string(host) + "\"]";
        if (number % 3 == 0) text += R"(, "query": {"v": "1"})";
        texts["routes/r" + std::to_string(number++)] = to(text);
      }
    }
  }
  Bench bench(texts);
  for (const char* path : {"/a/b", "/a/c", "/c/b", "/a", "/z", "/a/b?v=1", "/a/c?v=1"}) {
    for (const char* host : {"http://h.example", "http://x.example", "http://other"}) {
      const auto found = bench.ask(std::string(host) + path);
      REQUIRE(found.route != nullptr);
      for (const auto& one : found.passed_over) {
        CAPTURE(one.route);
        CAPTURE(found.route->name);
        const bool lower =
            one.why.find("comes after") == std::string::npos || found.route->name < one.route;
        CHECK(lower);
      }
    }
  }
}

TEST_CASE("a preflight goes where the method that it asks about would") {
  const std::vector<std::pair<std::string, std::string>> asks_put{
      {"Origin", "https://a.example"}, {"Access-Control-Request-Method", "PUT"}};
  Bench bench(
      Texts{{"routes/read", to(R"("path": "/x", "methods": ["GET"])")},
            {"routes/write",
             to(R"("path": "/x", "methods": ["PUT"], "filters": [{"cors": {"origins": ["*"]}}])")},
            {"routes/options", to(R"("path": "/y", "methods": ["OPTIONS"])")}});
  const auto found = bench.ask("/x", "OPTIONS", asks_put);
  REQUIRE(found.route != nullptr);
  CHECK(found.route->name == "write");
  CHECK(found.answered_by == "cors");
  CHECK(found.status == 204);
  CHECK(why(found, "read") == "method PUT is not GET");
  // Without a route for that method, and without what makes a preflight, it is any OPTIONS.
  CHECK(bench.ask("/y", "OPTIONS", asks_put).route->name == "options");
  const auto plain = bench.ask("/x", "OPTIONS", {asks_put[0]});
  CHECK(plain.route == nullptr);
  CHECK(plain.allow == std::vector<std::string>{"GET", "PUT"});
}
