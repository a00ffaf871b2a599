#include "model/documents.h"

#include <doctest/doctest.h>

using namespace lictor;  // NOLINT: many names, one test

namespace {

RouteDocument good_route(std::string_view text) {
  auto parsed = parse_route("r", text);
  if (parsed) return std::move(*parsed);
  FAIL(parsed.error().front().to_string());
  return {};
}

template <class T>
std::string first_error(const Parsed<T>& parsed) {
  return parsed ? "valid" : parsed.error().front().to_string();
}

std::string bad_route(std::string_view text) { return first_error(parse_route("r", text)); }
std::string bad_upstream(std::string_view text) { return first_error(parse_upstream(text, {})); }
std::string bad_gateway(std::string_view text) { return first_error(parse_gateway(text)); }
std::string bad_filter(std::string_view text) { return first_error(parse_filter("f", text)); }

struct Case {
  const char* text;
  const char* error;
};

}  // namespace

TEST_CASE("the short form is a whole route") {
  const auto document = good_route(R"({"path": "/user/*", "service": "user-service"})");
  const Route& route = document.route;
  CHECK(route.name == "r");
  CHECK(route.paths == std::vector<std::string>{"/user/*"});
  CHECK(route.hosts.empty());
  CHECK(route.methods.empty());
  REQUIRE(route.backends.size() == 1);
  CHECK(route.backends[0].service == "user-service");
  CHECK(route.total_weight == 1);
  CHECK(route.timeout == Millis{15'000});
  CHECK(route.retries.attempts == 1);
  CHECK(route.retries.on_connect);
  CHECK_FALSE(route.retries.on_reset);
  CHECK_FALSE(route.retries.on_timeout);
  CHECK(route.retries.on_status.empty());
  CHECK(document.filters.empty());
}

TEST_CASE("every key of a route") {
  const auto document = good_route(R"({
    "hosts": ["API.example.com", "*.example.org"], "paths": ["/a/{id}", "/b/*"], "methods": ["GET", "PURGE"],
    "priority": -3, "backends": [{"service": "a", "weight": 90}, {"service": "b", "weight": 0}],
    "filters": [{"use": "shared"}, {"respond": {"status": 503}}], "timeout": "0s",
    "retries": {"attempts": 2, "on": ["connect", "reset", "503", 502, "refused_stream"],
                "per_try_timeout": "2s", "methods": ["GET"]}})");
  const Route& route = document.route;
  CHECK(route.hosts == std::vector<std::string>{"api.example.com", "*.example.org"});
  CHECK(route.paths.size() == 2);
  CHECK(route.methods == std::vector<std::string>{"GET", "PURGE"});
  CHECK(route.priority == -3);
  REQUIRE(route.backends.size() == 2);
  CHECK(route.total_weight == 90);
  CHECK(route.timeout == Millis{0});
  CHECK(route.retries.attempts == 2);
  CHECK(route.retries.on_reset);
  CHECK(route.retries.on_refused_stream);
  CHECK_FALSE(route.retries.on_timeout);  // `on` leaves it out
  CHECK(route.retries.on_status == std::vector<uint16_t>{503, 502});
  CHECK(route.retries.per_try_timeout == Millis{2'000});
  CHECK(route.retries.methods == std::vector<std::string>{"GET"});
  REQUIRE(document.filters.size() == 2);
  CHECK(document.filters[0].use == "shared");
  CHECK(document.filters[0].path == "$.filters[0]");
  CHECK(document.filters[1].filter->name() == "respond");
}

TEST_CASE("a try that times out is tried again by default when tries have a timeout") {
  const auto retries = [](const char* text) {
    return good_route(R"({"path": "/", "service": "s", "retries": )" + std::string(text) + "}")
        .route.retries;
  };
  CHECK_FALSE(retries("{}").on_timeout);
  CHECK(retries("{}").on_connect);
  CHECK(retries("{}").attempts == 1);
  CHECK(retries(R"({"per_try_timeout": "1s"})").on_timeout);
  CHECK(retries(R"({"per_try_timeout": "1s"})").on_connect);
  CHECK_FALSE(retries(R"({"per_try_timeout": "0s"})").on_timeout);
  CHECK_FALSE(retries(R"({"per_try_timeout": "1s", "on": ["reset"]})").on_timeout);
  CHECK_FALSE(retries(R"({"on": ["timeout"]})").on_connect);
  CHECK(retries(R"({"on": ["timeout"]})").on_timeout);
  CHECK(retries(R"({"attempts": 0})").attempts == 0);
}

TEST_CASE("what is wrong with a route is told with its place") {
  for (
      const auto& [text, error] : {
          Case{"[]", "$: must be an object, not an array"},
          Case{R"({"service": "s"})", R"($: path is missing ("/*" takes every path))"},
          Case{R"({"path": "/x", "paths": ["/y"], "service": "s"})",
               "$: has path and paths: give one of them"},
          Case{R"({"path": "x", "service": "s"})", "$.path: a path begins with '/'"},
          Case{R"({"paths": [], "service": "s"})", "$.paths: must have 1 to 64 elements, not 0"},
          Case{R"({"paths": ["/a", "/a"], "service": "s"})", R"($.paths[1]: "/a" is listed twice)"},
          Case{R"({"paths": ["/a", "/b*"], "service": "s"})",
               R"($.paths[1]: "*" stands alone, as the last segment: "/files/*")"},
          Case{R"({"path": "~^/v[", "service": "s"})",
               "$.path: not a regular expression in RE2's syntax: missing ]: ["},
          Case{R"({"path": "~", "service": "s"})", "$.path: an empty regular expression"},
          Case{R"({"path": "/x", "servise": "s"})",
               R"($.servise: unknown key (did you mean "service"?))"},
          Case{
              R"({"path": "/x", "service": "a b"})",
              R"($.service: a service name has printable ASCII characters only, and no space, '/', '"' or '\')"},
          Case{R"({"path": "/x", "service": "s", "backends": [{"service": "t"}]})",
               "$: has service and backends: give one of them"},
          Case{R"({"path": "/x", "backends": []})",
               "$.backends: must have 1 to 64 elements, not 0"},
          Case{R"({"path": "/x", "backends": [{}]})", "$.backends[0]: service is missing"},
          Case{R"({"path": "/x", "backends": [{"service": "a"}, {"service": "a"}]})",
               R"($.backends[1]: service "a" is listed twice)"},
          Case{R"({"path": "/x", "backends": [{"service": "a", "weight": -1}]})",
               "$.backends[0].weight: must be a whole number from 0 to 1000000"},
          Case{R"({"path": "/x", "backends": [{"service": "a", "weight": 0}]})",
               "$.backends: every weight is 0"},
          Case{R"({"path": "/", "backends": [{"service": "a", "tags": []}]})",
               "$.backends[0].tags: must have 1 to 32 elements, not 0"},
          Case{R"({"path": "/", "backends": [{"service": "a", "failover": [{}]}]})",
               "$.backends[0].failover[0]: service is missing"},
          Case{R"({"path": "/x", "service": "s", "hosts": ["*"]})",
               R"($.hosts[0]: any host: leave "hosts" out instead)"},
          Case{R"({"path": "/x", "service": "s", "hosts": ["a.example:80"]})",
               "$.hosts[0]: a host has no port here: the port of a request is ignored"},
          Case{R"({"path": "/x", "service": "s", "hosts": ["a.example", "A.example."]})",
               R"($.hosts[1]: "a.example" is listed twice)"},
          Case{R"({"path": "/x", "service": "s", "methods": ["get"]})",
               "$.methods[0]: methods are case-sensitive: write it in capitals"},
          Case{R"({"path": "/x", "service": "s", "methods": ["GET POST"]})",
               R"($.methods[0]: must be a method such as "GET")"},
          Case{R"({"path": "/x", "service": "s", "methods": []})",
               "$.methods: must have 1 to 32 elements, not 0"},
          Case{R"({"path": "/x", "service": "s", "priority": 1.5})",
               "$.priority: must be a whole number from -1000000 to 1000000"},
          Case{R"({"path": "/x", "service": "s", "timeout": "5 parsecs"})",
               R"($.timeout: must be a duration such as "250ms", "10s" or "1m30s")"},
          Case{R"({"path": "/x", "service": "s", "headers": {"a": 1}})",
               R"($.headers.a: must be a string, or an object such as {"prefix": "v"})"},
          Case{R"({"path": "/x", "service": "s", "headers": {"a": {}}})",
               "$.headers.a: must have one of exact, prefix, suffix, regex and present"},
          Case{R"({"path": "/x", "service": "s", "query": {"a": {"exact": "1", "prefix": "2"}}})",
               "$.query.a: must have one of exact, prefix, suffix, regex and present"},
          Case{R"({"path": "/x", "service": "s", "query": {"a": {"prefx": "2"}}})",
               R"($.query.a.prefx: unknown key (did you mean "prefix"?))"},
          Case{R"({"path": "/x", "service": "s", "cookies": {"a": {"regex": "("}}})",
               "$.cookies.a.regex: not a regular expression in RE2's syntax: missing ): ("},
          Case{R"({"path": "/x", "service": "s", "cookies": {"a b": "c"}})",
               R"($.cookies["a b"]: "a b" is not a cookie's name)"},
          Case{R"({"path": "/x", "service": "s", "headers": {"Host": "h"}})",
               R"($.headers.Host: the host is matched with "hosts")"},
          Case{R"({"path": "/x", "service": "s", "headers": {"X-A": "h", "x-a": "i"}})",
               R"($.headers["x-a"]: "x-a" is there twice: case doesn't matter)"},
          Case{R"({"path": "/x", "service": "s", "retries": {"attempts": 11}})",
               "$.retries.attempts: must be a whole number from 0 to 10"},
          Case{
              R"({"path": "/x", "service": "s", "retries": {"on": ["conect"]}})",
              R"($.retries.on[0]: must be "connect", "reset", "timeout", "refused_stream" or a status from 400 to 599 (did you mean "connect"?))"},
          Case{
              R"({"path": "/x", "service": "s", "retries": {"on": ["200"]}})",
              R"($.retries.on[0]: must be "connect", "reset", "timeout", "refused_stream" or a status from 400 to 599)"},
          Case{
              R"({"path": "/x", "service": "s", "retries": {"on": [{}]}})",
              R"($.retries.on[0]: must be "connect", "reset", "timeout", "refused_stream" or a status from 400 to 599)"},
          Case{R"({"path": "/x", "service": "s", "filters": {}})",
               "$.filters: must be an array, not an object"},
          Case{
              R"({"path": "/x", "service": "s", "filters": [{}]})",
              R"($.filters[0]: must have one key, the filter's name: {"respond": {"status": 503}})"},
          Case{
              R"({"path": "/x", "service": "s", "filters": [{"respond": {}, "use": "x"}]})",
              R"($.filters[0]: must have one key, the filter's name: {"respond": {"status": 503}})"},
          Case{R"({"path": "/x", "service": "s", "filters": [{"use": 5}]})",
               "$.filters[0].use: must be a string, not a number"},
          Case{R"({"path": "/x", "service": "s", "filters": [{"jwt": {}}]})",
               "$.filters[0].jwt: must have one of jwks_uri, jwks and secret_file"},
          Case{R"({"path": "/x", "service": "s", "filters": [{"respnd": {}}]})",
               R"($.filters[0].respnd: unknown filter (did you mean "respond"?))"},
          Case{
              R"({"path": "/o/{id}", "service": "s", "filters": [{"rewrite": {"path": "/${path.di}"}}]})",
              R"($.filters[0].rewrite.path: unknown variable "${path.di}": no path of this route captures {di} (did you mean "id"?))"},
      }) {
    CAPTURE(text);
    CHECK(bad_route(text) == error);
  }
}

TEST_CASE("an upstream says what it changes of the defaults") {
  UpstreamPolicy defaults;
  defaults.connect_timeout = Millis{5'000};
  defaults.ejection.max_percent = 10;
  const auto parsed = parse_upstream(R"({"ejection": {"consecutive_failures": 2}})", defaults);
  REQUIRE(parsed);
  CHECK(parsed->connect_timeout == Millis{5'000});
  CHECK(parsed->ejection.max_percent == 10);
  CHECK(parsed->ejection.consecutive_failures == 2);
  CHECK(*parse_upstream("{}", defaults) == defaults);
}

TEST_CASE("every key of an upstream") {
  const auto parsed = parse_upstream(R"({
    "balance": "round_robin", "health": "passing",
    "endpoints": [{"address": "10.0.0.7:80", "weight": 3}, {"address": "[2001:DB8::1]:80", "weight": 0}],
    "ejection": {"consecutive_failures": 0, "base_time": "1s", "max_time": "2s", "max_percent": 100,
                 "failure_status": [500, 429]},
    "connect_timeout": "250ms", "idle_timeout": "0s", "host": "internal.example:8080",
    "protocol": "http1", "tls": null, "connect": false})",
                                     {});
  REQUIRE(parsed);
  CHECK(parsed->balance == Balance::kRoundRobin);
  CHECK(parsed->health == HealthFloor::kPassing);
  REQUIRE(parsed->endpoints.size() == 2);
  CHECK(parsed->endpoints[0].weight == 3);
  CHECK(parsed->endpoints[1].address == "[2001:db8::1]:80");
  CHECK(parsed->ejection.consecutive_failures == 0);
  CHECK(parsed->ejection.failure_status == std::vector<uint16_t>{500, 429});
  CHECK(parsed->host == HostMode::kLiteral);
  CHECK(parsed->host_literal == "internal.example:8080");
  CHECK(parse_upstream(R"({"host": "instance"})", *parsed)->host == HostMode::kInstance);
  CHECK(parse_upstream(R"({"host": "preserve"})", *parsed)->host_literal.empty());
  CHECK(parse_upstream(R"({"ejection": {"failure_status": []}})", {})
            ->ejection.failure_status.empty());
}

TEST_CASE("an ejection time that is written counts over one that is inherited") {
  CHECK(parse_upstream(R"({"ejection": {"base_time": "10m"}})", {})->ejection.max_time ==
        Millis{600'000});
  CHECK(parse_upstream(R"({"ejection": {"max_time": "1s"}})", {})->ejection.base_time ==
        Millis{1'000});
  CHECK(bad_upstream(R"({"ejection": {"base_time": "2s", "max_time": "1s"}})") ==
        "$.ejection.max_time: must not be shorter than base_time");
}

TEST_CASE("what is wrong with an upstream is told with its place") {
  for (
      const auto& [text, error] : {
          Case{
              R"({"balance": "weighted_round_robbin"})",
              R"($.balance: "weighted_round_robbin" is not one of "weighted_round_robin", "round_robin", "random", "least_request", "ring_hash" (did you mean "weighted_round_robin"?))"},
          Case{
              R"({"hash_on": "ip"})",
              R"($.hash_on: must be "client_ip" or an object with one of header, cookie and query)"},
          Case{
              R"({"hash_on": {"header": "a", "cookie": "b"}})",
              "$.hash_on: must be \"client_ip\" or an object with one of header, cookie and query"},
          Case{R"({"hash_on": {"header": "a", "set": true}})",
               "$.hash_on.set: goes with cookie alone"},
          Case{R"({"panic_percent": 101})",
               "$.panic_percent: must be a whole number from 0 to 100"},
          Case{R"({"max_requests": -1})",
               "$.max_requests: must be a whole number from 0 to 1000000"},
          Case{R"({"protocol": "http2"})", "$.protocol: not supported in this version"},
          Case{R"({"tls": {"cafile": "x"}})",
               "$.tls.cafile: unknown key (did you mean \"ca_file\"?)"},
          Case{R"({"tls": {"ca_file": "/nowhere/ca.pem"}})",
               "$.tls.ca_file: /nowhere/ca.pem: No such file or directory"},
          Case{R"({"tls": {"ca_file": "/dev/null"}})", "$.tls.ca_file: /dev/null: not a file"},
          Case{R"({"tls": {"cert_file": "x"}})",
               "$.tls: cert_file and key_file go together: one is missing"},
          Case{
              R"({"tls": {"server_name": "a b"}})",
              "$.tls.server_name: \"a b\" is not a name such as \"web.internal\" or an IP address"},
          Case{R"({"connect": true})", "$.connect: not supported in this version"},
          Case{R"({"endpoints": []})", "$.endpoints: must have 1 to 1024 elements, not 0"},
          Case{R"({"endpoints": [{}]})", "$.endpoints[0]: address is missing"},
          Case{
              R"({"endpoints": [{"address": "10.0.0.300:80"}]})",
              R"($.endpoints[0].address: "10.0.0.300:80" is not an address with a port, such as "10.0.0.7:80" or "backend.internal:80")"},
          Case{
              R"({"endpoints": [{"address": "db.example"}]})",
              R"($.endpoints[0].address: "db.example" is not an address with a port, such as "10.0.0.7:80" or "backend.internal:80")"},
          Case{
              R"({"endpoints": [{"address": "a..b:80"}]})",
              R"($.endpoints[0].address: "a..b:80" is not an address with a port, such as "10.0.0.7:80" or "backend.internal:80")"},
          Case{R"({"endpoints": [{"address": "db.example:0"}]})",
               "$.endpoints[0].address: port 0 can't be connected to"},
          Case{R"({"endpoints": [{"address": "DB.example:80"}, {"address": "db.example:80"}]})",
               "$.endpoints[1]: db.example:80 is listed twice"},
          Case{R"({"endpoints": [{"address": "10.0.0.7:0"}]})",
               "$.endpoints[0].address: port 0 can't be connected to"},
          Case{R"({"endpoints": [{"address": "[::1]:1"}, {"address": "[0::1]:1"}]})",
               "$.endpoints[1]: [::1]:1 is listed twice"},
          Case{R"({"ejection": {"max_percent": 101}})",
               "$.ejection.max_percent: must be a whole number from 0 to 100"},
          Case{R"({"ejection": {"failure_status": [200]}})",
               "$.ejection.failure_status[0]: must be a whole number from 400 to 599"},
          Case{R"({"ejection": {"base_time": "0s"}})",
               "$.ejection.base_time: must be a duration of 1ms or more"},
          Case{R"({"ejection": {"bse_time": "1s"}})",
               R"($.ejection.bse_time: unknown key (did you mean "base_time"?))"},
          Case{
              R"({"host": "presrve"})",
              R"($.host: "presrve" is not "preserve", "instance" or a host such as "example.com" (did you mean "preserve"?))"},
          Case{R"({"host": "a b"})",
               R"($.host: "a b" is not "preserve", "instance" or a host such as "example.com")"},
          Case{R"({"health": "critical"})",
               R"($.health: "critical" is not one of "passing", "warning")"},
      }) {
    CAPTURE(text);
    CHECK(bad_upstream(text) == error);
  }
}

TEST_CASE("the gateway's document") {
  const auto parsed = parse_gateway(R"({"filters": [{"response_headers": {"remove": ["Server"]}}],
                                        "upstream_defaults": {"connect_timeout": "3s"}})");
  REQUIRE(parsed);
  CHECK(parsed->filters.size() == 1);
  CHECK(parsed->upstream_defaults.connect_timeout == Millis{3'000});
  CHECK(parse_gateway("{}"));
  CHECK(bad_gateway(R"({"upstream_defaults": {"endpoints": [{"address": "10.0.0.1:1"}]}})") ==
        "$.upstream_defaults.endpoints: belong to one service: write them to upstreams/<service>");
  CHECK(bad_gateway(R"({"upstream_defaults": {"balance": "x"}})")
            .starts_with("$.upstream_defaults.balance: "));
  CHECK(bad_gateway(R"({"filter": []})") == R"($.filter: unknown key (did you mean "filters"?))");
}

TEST_CASE("shared filters") {
  const auto parsed = parse_filter("f", R"({"request_headers": {"set": {"X-Id": "${path.id}"}}})");
  REQUIRE(parsed);
  CHECK((*parsed)->name() == "request_headers");
  CHECK(bad_filter(R"({"use": "other"})") == "$: a shared filter can't use another one");
  CHECK(bad_filter("{}") ==
        R"($: must have one key, the filter's name: {"respond": {"status": 503}})");
  CHECK(bad_filter("[]") == "$: must be an object, not an array");
  CHECK(bad_filter(R"({"rate_limit": {"rate": 0}})") ==
        "$.rate_limit.rate: must be a whole number from 1 to 1000000");
}

TEST_CASE("keys tell kinds and names") {
  CHECK(parse_document_key("gateway")->kind == DocumentKind::kGateway);
  CHECK(parse_document_key("routes/a.b-c_1")->kind == DocumentKind::kRoute);
  CHECK(parse_document_key("routes/a.b-c_1")->name == "a.b-c_1");
  CHECK(parse_document_key("upstreams/odd:name@x")->kind == DocumentKind::kUpstream);
  CHECK(parse_document_key("filters/f")->kind == DocumentKind::kFilter);
  CHECK(parse_document_key("consumers/c")->kind == DocumentKind::kConsumer);
  const auto error = [](std::string_view key) {
    return parse_document_key(key).error().to_string();
  };
  CHECK(error("route/a") ==
        R"($: unknown kind of document "route/a" (did you mean "routes"?): there are gateway, )"
        "routes/<name>, upstreams/<service>, filters/<name> and consumers/<name>");
  for (const std::string_view key :
       {"", "/", "routes", "routes/", "gateway/x", "routes/a/b", "routes/.a", "routes/a b",
        "routes/\xff", "filters/-x", "upstreams/a/b", "upstreams/a b", "gateways", "x"}) {
    CAPTURE(key);
    CHECK_FALSE(parse_document_key(key));
  }
  CHECK(parse_document_key("routes/" + std::string(128, 'a')));
  CHECK_FALSE(parse_document_key("routes/" + std::string(129, 'a')));
  CHECK_FALSE(parse_document_key("upstreams/" + std::string(256, 'a')));
}
