#include "filter/cors.h"

#include <doctest/doctest.h>

#include <string>

#include "filter/fake_call.h"

using lictor::FakeCall;
using lictor::FilterPtr;
using lictor::make;
using lictor::Method;
using lictor::problem_of;
using lictor::Step;

namespace {

using Lines = std::vector<std::string>;

constexpr const char* kShop =
    R"({"cors": {"origins": ["https://shop.example", "https://*.example.com"],
    "methods": ["GET", "PUT"], "headers": ["X-A", "Content-Type"], "expose": ["X-B"], "max_age": "1h"}})";

FilterPtr from(const std::string& members) { return make(R"({"cors": {)" + members + "}}"); }

// The fields of the answer to a request of this origin.
Lines answer(const FilterPtr& cors, std::string_view origin, const Lines& of_service = {}) {
  FakeCall call;
  if (!origin.empty()) call.field("Origin", origin);
  CHECK(call.run(cors) == Step::kNext);
  // What later filters do changes nothing.
  call.request().fields.remove("Origin");
  call.response().status = 200;
  for (const auto& line : of_service) {
    const size_t colon = line.find(": ");
    call.response_field(std::string_view(line).substr(0, colon),
                        std::string_view(line).substr(colon + 2));
  }
  cors->on_response(call);
  return FakeCall::list(call.response().fields);
}

// The same of a preflight.
Lines preflight(const FilterPtr& cors, std::string_view origin, std::string_view method,
                std::string_view headers = {}) {
  FakeCall call;
  call.request().method = Method::kOptions;
  call.request().method_name = "OPTIONS";
  call.field("Origin", origin).field("Access-Control-Request-Method", method);
  if (!headers.empty()) call.field("Access-Control-Request-Headers", headers);
  CHECK(call.run(cors) == Step::kStop);
  CHECK(call.replied().status == 204);
  CHECK(call.replied().body.empty());
  call.reply_as_response();
  cors->on_response(call);
  return FakeCall::list(call.response().fields);
}

constexpr const char* kVaryAll =
    "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

}  // namespace

TEST_CASE("cors: an allowed origin may read the answer, another gets no fields") {
  const auto cors = make(kShop);
  CHECK(answer(cors, "https://shop.example") ==
        Lines{"Vary: Origin", "Access-Control-Allow-Origin: https://shop.example",
              "Access-Control-Expose-Headers: X-B"});
  CHECK(answer(cors, "https://evil.example") == Lines{"Vary: Origin"});
  CHECK(answer(cors, "") == Lines{"Vary: Origin"});
}

TEST_CASE("cors: the fields are the gateway's alone, what the service says of them goes") {
  const auto cors = make(kShop);
  const Lines own{"Access-Control-Allow-Origin: *", "access-control-allow-credentials: true",
                  "Access-Control-Expose-Headers: X-Z", "Access-Control-Max-Age: 1", "X-Mine: 1"};
  CHECK(answer(cors, "https://shop.example", own) ==
        Lines{"X-Mine: 1", "Vary: Origin", "Access-Control-Allow-Origin: https://shop.example",
              "Access-Control-Expose-Headers: X-B"});
  CHECK(answer(cors, "https://evil.example", own) == Lines{"X-Mine: 1", "Vary: Origin"});
}

TEST_CASE("cors: Vary is said once") {
  const auto cors = from(R"("origins": ["https://a.example"])");
  CHECK(answer(cors, "", {"Vary: Accept, origin"}) == Lines{"Vary: Accept, origin"});
  CHECK(answer(cors, "", {"Vary: *"}) == Lines{"Vary: *"});
  CHECK(answer(cors, "", {"Vary: Accept"}) == Lines{"Vary: Accept", "Vary: Origin"});
}

TEST_CASE("cors: everybody") {
  const auto cors = from(R"("origins": ["*"])");
  CHECK(answer(cors, "https://any.example") == Lines{"Access-Control-Allow-Origin: *"});
  CHECK(answer(cors, "null") == Lines{"Access-Control-Allow-Origin: *"});
  CHECK(answer(cors, "").empty());
}

TEST_CASE("cors: with credentials the origin is named") {
  const auto cors = from(R"("origins": ["https://*.example.com"], "credentials": true)");
  CHECK(answer(cors, "https://a.example.com") ==
        Lines{"Vary: Origin", "Access-Control-Allow-Origin: https://a.example.com",
              "Access-Control-Allow-Credentials: true"});
  CHECK(answer(cors, "https://a.example.org") == Lines{"Vary: Origin"});
}

TEST_CASE("cors: which origins match") {
  const auto cors = from(R"("origins": ["https://*.example.com", "http://LOCALHOST:3000",
      "https://port.example:443", "https://*.dev.example:8443", "https://[::1]:80"])");
  const auto allowed = [&](std::string_view origin) { return answer(cors, origin).size() == 2; };
  for (const auto* origin :
       {"https://a.example.com", "https://a.b.example.com", "https://a-1_x.example.com",
        "http://localhost:3000", "https://port.example", "https://x.dev.example:8443",
        "https://[::1]:80"}) {
    CHECK_MESSAGE(allowed(origin), origin);
  }
  for (const auto* origin : {"https://example.com",
                             "https://.example.com",
                             "http://a.example.com",
                             "https://a.example.com:8443",
                             "https://a.example.com.evil.net",
                             "https://evilexample.com",
                             "https://evil.net/.example.com",
                             "https://evil.net?.example.com",
                             "https://evil.net#.example.com",
                             "https://u@evil.net\\.example.com",
                             "https://evil.net:80.example.com",
                             "https://evil.net%2f.example.com",
                             "https://a.example.com ",
                             "https://A.example.com",
                             "https://a.example.com, https://b",
                             "http://localhost",
                             "http://localhost:30000",
                             "https://port.example:443",
                             "https://dev.example:8443",
                             "https://x.dev.example",
                             "null",
                             "*",
                             "https://*.example.com",
                             "example.com",
                             "https://"}) {
    CHECK_MESSAGE(!allowed(origin), origin);
  }
}

TEST_CASE("cors: null is an origin that must be named") {
  CHECK(answer(from(R"("origins": ["null"])"), "null").size() == 2);
  CHECK(answer(from(R"("origins": ["https://a.example"])"), "null").size() == 1);
}

TEST_CASE("cors: preflights are answered") {
  const auto cors = make(kShop);
  CHECK(preflight(cors, "https://shop.example", "PUT", "x-a") ==
        Lines{kVaryAll, "Access-Control-Allow-Methods: GET, PUT",
              "Access-Control-Allow-Headers: X-A, Content-Type", "Access-Control-Max-Age: 3600",
              "Access-Control-Allow-Origin: https://shop.example"});
  CHECK(preflight(cors, "https://evil.example", "PUT") == Lines{kVaryAll});
}

TEST_CASE("cors: without methods those of the route, with \"*\" whatever is asked for") {
  const auto cors = from(R"("origins": ["https://a.example"], "credentials": true,
                            "headers": ["*"], "max_age": "0s")");
  CHECK(preflight(cors, "https://a.example", "PATCH", "x-a, Authorization") ==
        Lines{kVaryAll, "Access-Control-Allow-Methods: PATCH",
              "Access-Control-Allow-Headers: x-a, Authorization", "Access-Control-Max-Age: 0",
              "Access-Control-Allow-Origin: https://a.example",
              "Access-Control-Allow-Credentials: true"});
  // What is no list of names is not said back.
  CHECK(preflight(cors, "https://a.example", "PATCH", "x-a, <script>").size() == 5);
  CHECK(preflight(cors, "https://a.example", "PATCH").size() == 5);
  const auto plain = from(R"("origins": ["*"])");
  CHECK(preflight(plain, "https://a.example", "PUT", "X-A") ==
        Lines{kVaryAll, "Access-Control-Allow-Methods: PUT", "Access-Control-Max-Age: 600",
              "Access-Control-Allow-Origin: *"});
}

TEST_CASE("cors: what is no preflight goes on") {
  using Fields = std::vector<std::pair<const char*, const char*>>;
  const auto method = [](const Fields& fields, Method of = Method::kOptions) {
    FakeCall call;
    call.request().method = of;
    for (const auto& [name, value] : fields) call.field(name, value);
    return std::string(lictor::preflight_method(call.request()));
  };
  constexpr const char* kAsked = "Access-Control-Request-Method";
  CHECK(method({{"Origin", "https://a"}, {kAsked, "PUT"}}) == "PUT");
  CHECK(method({{"Origin", "https://a"}, {kAsked, "PUT"}}, Method::kGet).empty());
  CHECK(method({{"Origin", "https://a"}}).empty());
  CHECK(method({{kAsked, "PUT"}}).empty());
  CHECK(method({{"Origin", "https://a"}, {kAsked, ""}}).empty());
  CHECK(method({{"Origin", "https://a"}, {kAsked, "PUT, GET"}}).empty());
  CHECK(method({{"Origin", "https://a"}, {kAsked, "PUT"}, {kAsked, "GET"}}).empty());
  CHECK(method({{"Origin", "https://a"}, {"Origin", "https://b"}, {kAsked, "PUT"}}).empty());
}

TEST_CASE("what is wrong with cors") {
  const auto wrong = [](const std::string& members) {
    return problem_of(R"({"cors": {)" + members + "}}");
  };
  CHECK(wrong("") == "$.cors: origins is missing: who may read the answers?");
  CHECK(wrong(R"("origins": [])").starts_with("$.cors.origins: must have 1 to 256 elements"));
  CHECK(
      wrong(R"("origins": ["*"], "credentials": true)") ==
      R"($.cors.credentials: goes with named origins alone: with "*" every site could act as its visitors)");
  CHECK(wrong(R"("origins": ["*", "https://a.example"])") ==
        R"($.cors.origins: "*" stands for all: leave out the others)");
  const auto origin = [&](const std::string& text) {
    return wrong(R"("origins": [")" + text + "\"]");
  };
  CHECK(
      origin("https://a.example/") ==
      R"($.cors.origins[0]: "https://a.example/" is not an origin such as "https://example.com": it has no path, and no '/' at its end)");
  CHECK(origin("a.example").ends_with("it needs a scheme"));
  CHECK(origin("https://a.*.example").ends_with(R"(as in "https://*.example.com")"));
  CHECK(origin("https://*").ends_with(R"(as in "https://*.example.com")"));
  CHECK(origin("https://*.").ends_with("it needs a host"));
  CHECK(origin("https://").ends_with("it needs a host"));
  CHECK(origin("https://u@a.example").ends_with("it needs a host"));
  CHECK(wrong(R"("origins": ["*"], "methods": ["GET POST"])").starts_with("$.cors.methods[0]: "));
  CHECK(wrong(R"("origins": ["*"], "headers": ["*", "X-A"])").starts_with("$.cors.headers: "));
  CHECK(wrong(R"("origins": ["https://a.example"], "expose": ["*"], "credentials": true)")
            .starts_with("$.cors.expose: "));
  CHECK(wrong(R"("origins": ["*"], "max_age": "25h")").starts_with("$.cors.max_age: "));
  CHECK(wrong(R"("origin": ["*"])") == R"($.cors.origin: unknown key (did you mean "origins"?))");
}
