#include "model/route_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "model/path_pattern.h"

using lictor::Condition;
using lictor::Match;
using lictor::Regex;
using lictor::RequestData;
using lictor::Route;
using lictor::RouteKey;
using lictor::RouteTable;

namespace {

using Routes = std::vector<std::shared_ptr<const Route>>;

struct Spec {
  std::string name;
  std::vector<std::string> paths = {"/*"};
  std::vector<std::string> hosts = {};
  std::vector<std::string> methods = {};
  int32_t priority = 0;
  lictor::Conditions conditions = {};
};

Condition query_is(const std::string& name, const std::string& value) {
  Condition condition;
  condition.source = Condition::Source::kQuery;
  condition.kind = Condition::Kind::kExact;
  condition.name = name;
  condition.text = value;
  return condition;
}

Routes make_routes(const std::vector<Spec>& specs) {
  Routes routes;
  for (const auto& spec : specs) {
    auto route = std::make_shared<Route>();
    route->name = spec.name;
    route->paths = spec.paths;
    route->hosts = spec.hosts;
    route->methods = spec.methods;
    route->priority = spec.priority;
    route->conditions = spec.conditions;
    for (const auto& path : spec.paths) {
      if (path.starts_with('~')) route->regexes.push_back(*Regex::compile(path.substr(1)));
    }
    routes.push_back(route);
  }
  return routes;
}

class Table {
 public:
  explicit Table(const std::vector<Spec>& specs) : routes_(make_routes(specs)) {
    table_.build(routes_);
  }
  std::string taken_by(std::string_view path, std::string_view host = "",
                       std::string_view method = "GET", std::string_view query = "") {
    table_.match({method, host, path, {nullptr, query}}, match_);
    if (match_.route == nullptr) return match_.method_mismatch ? "405" : "404";
    return match_.route->name;
  }
  const Match& match() const { return match_; }
  const RouteTable& table() const { return table_; }
  const Routes& routes() const { return routes_; }

 private:
  Routes routes_;
  RouteTable table_;
  Match match_;
};

}  // namespace

TEST_CASE("an empty table matches nothing") {
  Table table({});
  CHECK(table.taken_by("/") == "404");
  CHECK(table.table().allowed_methods({"GET", "", "/"}).empty());
  RouteTable unbuilt;
  Match match;
  unbuilt.match({"GET", "h", "/"}, match);
  CHECK(match.route == nullptr);
}

TEST_CASE("paths match whole segments") {
  Table table({{"user", {"/user/*"}},
               {"exact", {"/exact"}},
               {"slash", {"/slash/"}},
               {"root", {"/"}},
               {"items", {"/orders/{id}/items"}},
               {"two", {"/first", "/second/*"}}});
  struct Case {
    const char* path;
    const char* route;
  };
  for (const auto& [path, route] : {
           Case{"/user", "user"},
           Case{"/user/", "user"},
           Case{"/user/1", "user"},
           Case{"/user/1/2/3", "user"},
           Case{"/users", "404"},
           Case{"/use", "404"},
           Case{"/User", "404"},
           Case{"/exact", "exact"},
           Case{"/exact/", "404"},
           Case{"/exact/x", "404"},
           Case{"/slash/", "slash"},
           Case{"/slash", "404"},
           Case{"/", "root"},
           Case{"/orders/7/items", "items"},
           Case{"/orders/7", "404"},
           Case{"/orders/7/items/", "404"},
           Case{"/orders//items", "404"},
           Case{"/orders/7/8/items", "404"},
           Case{"/first", "two"},
           Case{"/second", "two"},
           Case{"/second/x", "two"},
           Case{"", "404"},
           Case{"*", "404"},
           Case{"user", "404"},
           Case{"/*", "404"},
           Case{"/orders/{id}", "404"},
       }) {
    CAPTURE(path);
    CHECK(table.taken_by(path) == route);
  }
}

TEST_CASE("literal before capture before *, segment by segment") {
  Table table({{"me", {"/p/me"}},
               {"someone", {"/p/{id}"}},
               {"anything", {"/p/*"}},
               {"deep", {"/p/me/settings"}},
               {"early", {"/q/a/{x}"}},
               {"late", {"/q/{x}/b"}},
               {"a-rest", {"/s/a/*"}},
               {"x-b", {"/s/{x}/b"}},
               {"prefix-exact", {"/r/a"}},
               {"prefix", {"/r/a/*"}},
               {"wide", {"/r/*"}}});
  CHECK(table.taken_by("/p/me") == "me");
  CHECK(table.taken_by("/p/you") == "someone");
  CHECK(table.taken_by("/p/") == "anything");
  CHECK(table.taken_by("/p/me/other") == "anything");
  CHECK(table.taken_by("/p/me/settings") == "deep");
  CHECK(table.taken_by("/q/a/b") == "early");
  CHECK(table.taken_by("/q/c/b") == "late");
  CHECK(table.taken_by("/s/a/b") == "a-rest");
  CHECK(table.taken_by("/s/c/b") == "x-b");
  CHECK(table.taken_by("/r/a") == "prefix-exact");
  CHECK(table.taken_by("/r/a/") == "prefix");
  CHECK(table.taken_by("/r/b") == "wide");
}

TEST_CASE("a literal that leads nowhere falls back to captures") {
  Table table(
      {{"long", {"/a/b/c/d"}}, {"captures", {"/{x}/{y}/{z}/e"}}, {"mixed", {"/a/{y}/c/f"}}});
  CHECK(table.taken_by("/a/b/c/d") == "long");
  CHECK(table.taken_by("/a/b/c/e") == "captures");
  CHECK(table.match().captures[2].value == "c");
  CHECK(table.taken_by("/a/b/c/f") == "mixed");
  CHECK(table.match().capture_count == 1);
  CHECK(table.match().captures[0].value == "b");
}

TEST_CASE("captures carry their route's names") {
  Table table({{"one", {"/orders/{order}/items/{item}"}, {}, {"GET"}},
               {"two", {"/orders/{id}/items/{n}"}, {}, {"POST"}},
               {"rest", {"/files/{bucket}/*"}}});
  CHECK(table.taken_by("/orders/7/items/a%20b") == "one");
  REQUIRE(table.match().capture_count == 2);
  CHECK(table.match().captures[0].name == "order");
  CHECK(table.match().captures[0].value == "7");
  CHECK(table.match().captures[1].name == "item");
  CHECK(table.match().captures[1].value == "a%20b");
  CHECK(table.taken_by("/orders/7/items/8", "", "POST") == "two");
  CHECK(table.match().captures[0].name == "id");
  CHECK(table.taken_by("/files/photos/2024/1.jpg") == "rest");
  REQUIRE(table.match().capture_count == 1);
  CHECK(table.match().captures[0].value == "photos");
  CHECK(table.taken_by("/nothing") == "404");
  CHECK(table.match().capture_count == 0);
}

TEST_CASE("exact host before wildcards, the longest first, before none") {
  Table table({{"any", {"/h"}},
               {"exact", {"/h"}, {"api.example.org"}},
               {"wildcard", {"/h"}, {"*.example.org"}},
               {"longer", {"/h"}, {"*.b.example.org"}},
               {"several", {"/s"}, {"one.example", "two.example", "[::1]"}},
               {"host-first", {"/hp/*"}, {"api.example.org"}},
               {"path-only", {"/hp/x"}}});
  CHECK(table.taken_by("/h", "api.example.org") == "exact");
  CHECK(table.taken_by("/h", "www.example.org") == "wildcard");
  CHECK(table.taken_by("/h", "a.b.example.org") == "longer");
  CHECK(table.taken_by("/h", "b.example.org") == "wildcard");
  CHECK(table.taken_by("/h", "x.y.z.example.org") == "wildcard");
  CHECK(table.taken_by("/h", "example.org") == "any");
  CHECK(table.taken_by("/h", "badexample.org") == "any");
  CHECK(table.taken_by("/h", ".example.org") == "any");
  CHECK(table.taken_by("/h", "") == "any");
  CHECK(table.taken_by("/h", ".") == "any");
  CHECK(table.taken_by("/h", std::string(10'000, '.')) == "any");
  CHECK(table.taken_by("/s", "two.example") == "several");
  CHECK(table.taken_by("/s", "[::1]") == "several");
  CHECK(table.taken_by("/s", "three.example") == "404");
  CHECK(table.taken_by("/hp/x", "api.example.org") == "host-first");
  CHECK(table.taken_by("/hp/x", "other") == "path-only");
}

TEST_CASE("priority comes before host and path") {
  Table table({{"wide", {"/prio/*"}, {}, {}, 10},
               {"narrow", {"/prio/x"}},
               {"with-host", {"/prio/x"}, {"api.example.org"}},
               {"last", {"/low/x"}, {}, {}, -1},
               {"before-last", {"/low/*"}},
               {"capture", {"/c/{x}"}, {}, {}, 5},
               {"literal", {"/c/x"}, {"*.example.org"}, {}, 4}});
  CHECK(table.taken_by("/prio/x") == "wide");
  CHECK(table.taken_by("/prio/x", "api.example.org") == "wide");
  CHECK(table.taken_by("/low/x") == "before-last");
  CHECK(table.taken_by("/low") == "before-last");
  CHECK(table.taken_by("/c/x", "a.example.org") == "capture");
  CHECK(table.match().captures[0].value == "x");
}

TEST_CASE("methods are exactly those listed") {
  Table table({{"reads", {"/m"}, {}, {"GET", "HEAD"}},
               {"writes", {"/m"}, {}, {"POST"}},
               {"only-get", {"/f/x"}, {}, {"GET"}},
               {"fallback", {"/f/*"}},
               {"all", {"/z"}},
               {"b-get", {"/z"}, {}, {"GET"}},
               {"purge", {"/purge"}, {}, {"PURGE"}},
               {"get-high", {"/hi"}, {}, {"GET"}, 9},
               {"any-low", {"/hi"}}});
  CHECK(table.taken_by("/m") == "reads");
  CHECK(table.taken_by("/m", "", "HEAD") == "reads");
  CHECK(table.taken_by("/m", "", "POST") == "writes");
  CHECK(table.taken_by("/m", "", "DELETE") == "405");
  CHECK(table.taken_by("/m", "", "get") == "405");
  CHECK(table.taken_by("/f/x", "", "HEAD") == "fallback");
  CHECK(table.taken_by("/z") == "b-get");
  CHECK(table.taken_by("/z", "", "PUT") == "all");
  CHECK(table.taken_by("/purge", "", "PURGE") == "purge");
  CHECK(table.taken_by("/purge", "", "") == "405");
  CHECK(table.taken_by("/hi", "", "POST") == "any-low");
  CHECK(table.taken_by("/none", "", "DELETE") == "404");
}

TEST_CASE("allowed methods are those of every route that fits host and path") {
  Table table({{"a", {"/m"}, {}, {"POST", "GET"}},
               {"b", {"/{x}"}, {}, {"PUT", "GET"}},
               {"c", {"/m"}, {"h.example"}, {"DELETE"}},
               {"d", {"/other"}, {}, {"PATCH"}}});
  using Methods = std::vector<std::string>;
  CHECK(table.table().allowed_methods({"X", "", "/m"}) == Methods{"GET", "POST", "PUT"});
  CHECK(table.table().allowed_methods({"X", "h.example", "/m"}) ==
        Methods{"DELETE", "GET", "POST", "PUT"});
  CHECK(table.table().allowed_methods({"X", "", "/n"}) == Methods{"GET", "PUT"});
  CHECK(table.table().allowed_methods({"X", "", "/n/o"}).empty());
}

TEST_CASE("of two equal routes the first name wins, whatever the order of building") {
  CHECK(Table({{"b", {"/t"}}, {"a", {"/t"}}}).taken_by("/t") == "a");
  CHECK(Table({{"a", {"/t"}}, {"b", {"/t"}}}).taken_by("/t") == "a");
  CHECK(Table({{"b", {"/{x}"}}, {"a", {"/{y}"}}}).taken_by("/t") == "a");
}

TEST_CASE("regular expressions come after all other paths of their host") {
  Table table({{"regex", {"~^/v[0-9]+/"}},
               {"capture", {"/{version}/users"}},
               {"rest", {"/w/*"}},
               {"w-regex", {"~^/w/"}},
               {"suffix", {"~\\.png$"}},
               {"host-regex", {"~^/h"}, {"a.example"}},
               {"host-literal", {"/h"}},
               {"wildcard-regex", {"~^/h"}, {"*.example"}},
               {"high-regex", {"~^/high/"}, {}, {}, 1},
               {"high-literal", {"/high/x"}},
               {"named", {"~^/n/(?P<id>[0-9]+)(/(?P<rest>.*))?$"}},
               {"both", {"/both", "~^/or/this$"}},
               {"get", {"~^/m$"}, {}, {"GET"}},
               {"post", {"~^/m$"}, {}, {"POST"}}});
  CHECK(table.taken_by("/v1/x") == "regex");
  CHECK(table.taken_by("/v/x") == "404");
  CHECK(table.taken_by("/x/v1/") == "404");
  CHECK(table.taken_by("/v1/users") == "capture");
  CHECK(table.taken_by("/w/x") == "rest");
  CHECK(table.taken_by("/a/b.png") == "suffix");
  CHECK(table.taken_by("/a/b.png/") == "404");
  CHECK(table.taken_by("/h", "a.example") == "host-regex");
  CHECK(table.taken_by("/h", "b.example") == "wildcard-regex");
  CHECK(table.taken_by("/h", "other") == "host-literal");
  CHECK(table.taken_by("/high/x") == "high-regex");
  CHECK(table.taken_by("/both") == "both");
  CHECK(table.taken_by("/or/this") == "both");
  CHECK(table.taken_by("/m") == "get");
  CHECK(table.taken_by("/m", "", "POST") == "post");
  CHECK(table.taken_by("/m", "", "PUT") == "405");
  CHECK(table.table().allowed_methods({"PUT", "", "/m"}) ==
        std::vector<std::string>{"GET", "POST"});
  CHECK(table.taken_by("/n/42/a/b") == "named");
  REQUIRE(table.match().capture_count == 2);
  CHECK(table.match().captures[0].name == "id");
  CHECK(table.match().captures[0].value == "42");
  CHECK(table.match().captures[1].name == "rest");
  CHECK(table.match().captures[1].value == "a/b");
  CHECK(table.taken_by("/n/42") == "named");
  CHECK(table.match().captures[1].value.empty());
}

TEST_CASE("the more conditions, the earlier; methods are one") {
  Table table({{"a-plain", {"/c"}},
               {"b-one", {"/c"}, {}, {}, 0, {query_is("v", "1")}},
               {"c-two", {"/c"}, {}, {}, 0, {query_is("v", "1"), query_is("w", "2")}},
               {"d-method", {"/c"}, {}, {"GET", "POST"}},
               {"e-narrow", {"/d/x"}},
               {"f-wide", {"/d/*"}, {}, {}, 0, {query_is("v", "1")}},
               {"g-regex", {"~^/e"}},
               {"h-regex", {"~^/e"}, {}, {}, 0, {query_is("v", "1")}}});
  CHECK(table.taken_by("/c", "", "PUT") == "a-plain");
  CHECK(table.taken_by("/c", "", "PUT", "v=1") == "b-one");
  CHECK(table.taken_by("/c", "", "PUT", "w=2&v=1") == "c-two");
  CHECK(table.taken_by("/c", "", "GET", "w=2&v=1") == "c-two");
  CHECK(table.taken_by("/c", "", "GET", "v=1") == "b-one");  // by name
  CHECK(table.taken_by("/c") == "d-method");
  CHECK(table.taken_by("/d/x", "", "GET", "v=1") == "e-narrow");
  CHECK(table.taken_by("/d/y", "", "GET", "v=1") == "f-wide");
  CHECK(table.taken_by("/d/y") == "404");
  CHECK(table.taken_by("/e") == "g-regex");
  CHECK(table.taken_by("/e", "", "GET", "v=1") == "h-regex");
}

TEST_CASE("a route whose conditions fail is no reason for 405") {
  Table table({{"beta", {"/x"}, {}, {"POST"}, 0, {query_is("v", "1")}},
               {"put", {"/y"}, {}, {"PUT"}},
               {"post", {"/y"}, {}, {"POST"}, 0, {query_is("v", "1")}}});
  CHECK(table.taken_by("/x") == "404");
  CHECK(table.taken_by("/x", "", "POST") == "404");
  CHECK(table.taken_by("/x", "", "GET", "v=1") == "405");
  CHECK(table.taken_by("/x", "", "POST", "v=1") == "beta");
  using Methods = std::vector<std::string>;
  CHECK(table.table().allowed_methods({"GET", "", "/y"}) == Methods{"PUT"});
  CHECK(table.table().allowed_methods({"GET", "", "/y", {nullptr, "v=1"}}) ==
        Methods{"POST", "PUT"});
}

namespace {

// The order of SPEC 3 and 9, as plainly as it can be written.

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> parts;
  size_t at = 1;
  while (true) {
    const size_t slash = path.find('/', at);
    parts.emplace_back(path.substr(at, slash == std::string_view::npos ? slash : slash - at));
    if (slash == std::string_view::npos) return parts;
    at = slash + 1;
  }
}

bool fits(const lictor::PathPattern& pattern, const std::vector<std::string>& parts,
          std::vector<int>& kinds) {
  if (parts.size() < pattern.segments.size()) return false;
  if (!pattern.rest && parts.size() != pattern.segments.size()) return false;
  for (size_t i = 0; i < pattern.segments.size(); ++i) {
    const auto& segment = pattern.segments[i];
    if (segment.capture ? parts[i].empty() : parts[i] != segment.text) return false;
    kinds.push_back(segment.capture ? 1 : 0);
  }
  if (pattern.rest) kinds.push_back(2);
  return true;
}

std::string slow_match(const Routes& routes, const RouteKey& key) {
  std::vector<std::tuple<int64_t, size_t, std::vector<int>, int64_t, std::string>> found;
  bool mismatch = false;
  const auto parts = split(key.path);
  for (const auto& route : routes) {
    for (const auto& path : route->paths) {
      std::vector<int> kinds;
      if (path.starts_with('~')) {
        if (!(*Regex::compile(path.substr(1)))->matches(key.path)) continue;
        kinds = {9};
      } else if (!fits(*lictor::parse_path_pattern(path), parts, kinds)) {
        continue;
      }
      for (const auto& host : route->hosts.empty() ? std::vector<std::string>{""} : route->hosts) {
        size_t rank = 10'000;
        if (host.starts_with('*')) {
          const auto suffix = std::string_view(host).substr(1);
          if (!key.host.ends_with(suffix) || key.host.size() == suffix.size()) continue;
          rank = 1'000 - host.size();
        } else if (!host.empty()) {
          if (host != key.host) continue;
          rank = 0;
        }
        if (!all_hold(route->conditions, key.data)) continue;
        const auto& methods = route->methods;
        if (!methods.empty() &&
            std::find(methods.begin(), methods.end(), key.method) == methods.end()) {
          mismatch = true;
          continue;
        }
        const auto conditions =
            static_cast<int64_t>(route->conditions.size()) + (methods.empty() ? 0 : 1);
        found.emplace_back(-int64_t{route->priority}, rank, kinds, -conditions, route->name);
      }
    }
  }
  if (found.empty()) return mismatch ? "405" : "404";
  return std::get<4>(*std::min_element(found.begin(), found.end()));
}

}  // namespace

TEST_CASE("random tables agree with a plain search") {
  std::mt19937 random(1);
  const auto pick = [&random](std::initializer_list<const char*> words) {
    return std::string(*(words.begin() + random() % words.size()));
  };
  const auto random_path = [&](bool pattern) {
    std::string path;
    const size_t length = random() % 4;
    for (size_t i = 0; i < length; ++i) {
      path += "/" + (pattern && random() % 3 == 0 ? "{c" + std::to_string(i) + "}"
                                                  : pick({"a", "b", "c"}));
    }
    if (pattern && random() % 3 == 0) return path + "/*";
    if (path.empty() || random() % 8 == 0) path += "/";
    return path;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<Spec> specs;
    const size_t count = 1 + random() % 25;
    for (size_t i = 0; i < count; ++i) {
      Spec spec{"r" + std::to_string(random() % 1000), {random_path(true)}};
      if (random() % 4 == 0) spec.paths.push_back(random_path(true));
      if (random() % 3 == 0) spec.hosts = {pick({"x.y", "*.y", "*.x.y", "y"})};
      if (random() % 3 == 0) spec.methods = {pick({"GET", "PUT"})};
      if (random() % 3 == 0) spec.priority = static_cast<int32_t>(random() % 3) - 1;
      if (random() % 8 == 0) spec.paths.push_back(pick({"~^/a", "~b$", "~/c"}));
      if (random() % 4 == 0) spec.conditions.push_back(query_is("v", pick({"1", "2"})));
      if (random() % 6 == 0) spec.conditions.push_back(query_is("w", "1"));
      specs.push_back(spec);
    }
    Table table(specs);
    for (int i = 0; i < 60; ++i) {
      const std::string path = random_path(false);
      const std::string host = pick({"x.y", "a.x.y", "b.y", "y", "z", ""});
      const std::string method = pick({"GET", "PUT", "POST"});
      const std::string query = pick({"", "v=1", "v=2&w=1", "w=1"});
      CAPTURE(path);
      CAPTURE(host);
      CAPTURE(method);
      CAPTURE(query);
      REQUIRE(table.taken_by(path, host, method, query) ==
              slow_match(table.routes(), {method, host, path, {nullptr, query}}));
    }
  }
}

TEST_CASE("hostile paths against hostile tables end soon") {
  // Literal and capture at each of eight levels, and no route at the end of the path.
  std::vector<Spec> specs;
  for (int bits = 0; bits < 256; ++bits) {
    std::string path;
    for (int i = 0; i < 8; ++i)
      path += (bits >> i & 1) != 0 ? "/a" : "/{c" + std::to_string(i) + "}";
    specs.push_back({"r" + std::to_string(bits), {path + "/end"}, {}, {"GET"}});
  }
  std::string deep;
  for (int i = 0; i < 64; ++i) deep += i % 4 == 0 ? "/{d" + std::to_string(i) + "}" : "/a";
  specs.push_back({"deep", {deep}});
  Table table(specs);
  std::string path;
  for (int i = 0; i < 1'000; ++i) path += "/a";
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 1'000; ++i) {
    CHECK_MESSAGE(table.taken_by(path) == "404", "");
    CHECK_MESSAGE(table.taken_by("/a/a/a/a/a/a/a/a/end", "", "PUT") == "405", "");
  }
  CHECK(table.taken_by(std::string(1'000'000, '/')) == "404");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

TEST_CASE("building anew replaces the table, moving keeps it") {
  const auto first = make_routes({{"a", {"/a"}}});
  const auto second = make_routes({{"b", {"/b"}}});
  RouteTable table;
  table.build(first);
  table.build(second);
  RouteTable moved = std::move(table);
  Match match;
  moved.match({"GET", "", "/b"}, match);
  CHECK(match.route == second[0].get());
  moved.match({"GET", "", "/a"}, match);
  CHECK(match.route == nullptr);
}
