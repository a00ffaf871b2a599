#include "model/fabio.h"

#include <doctest/doctest.h>

#include "model/compiler.h"

using lictor::Compiler;
using lictor::DocumentState;
using lictor::FabioRoute;
using lictor::read_fabio_tags;

namespace {

FabioRoute only(const std::string& tag) {
  const auto routes = read_fabio_tags({{"web", {"v1", tag}}});
  REQUIRE(routes.size() == 1);
  return routes.front();
}

std::string text(const std::string& tag) {
  const auto route = only(tag);
  return route.error.empty() ? route.text : route.error;
}

}  // namespace

TEST_CASE("hosts and paths of tags") {
  CHECK(text("urlprefix-/foo") ==
        R"({"path":"/foo/*","backends":[{"service":"web","tags":["urlprefix-/foo"]}]})");
  CHECK(
      text("urlprefix-Example.com/") ==
      R"({"hosts":["example.com"],"path":"/*","backends":[{"service":"web","tags":["urlprefix-Example.com/"]}]})");
  CHECK(text("urlprefix-*.example.com/Foo/")
            .starts_with(R"({"hosts":["*.example.com"],"path":"/Foo/*",)"));
  CHECK(text(" urlprefix-/foo ").starts_with(R"({"path":"/foo/*")"));
  CHECK(read_fabio_tags({{"web", {"v1", "prefix-/x"}}, {"consul", {}}}).empty());
}

TEST_CASE("options of tags") {
  const auto filters = [](const std::string& options) {
    const std::string all = text("urlprefix-/foo " + options);
    const size_t at = all.find("\"filters\":");
    return at == std::string::npos ? all : all.substr(at + 10, all.size() - at - 11);
  };
  CHECK(filters("strip=/foo") == R"([{"rewrite":{"strip_prefix":"/foo"}}])");
  CHECK(filters("strip=/foo  prepend=/v2") ==
        R"([{"rewrite":{"strip_prefix":"/foo","prefix":"/v2"}}])");
  CHECK(filters("host=internal.example") == R"([{"rewrite":{"host":"internal.example"}}])");
  CHECK(filters("allow=ip:10.0.0.0/8,ip:fe80::/10") ==
        R"([{"ip_access":{"allow":["10.0.0.0/8","fe80::/10"],"deny":[]}}])");
  CHECK(filters("deny=ip:10.0.0.1") == R"([{"ip_access":{"allow":[],"deny":["10.0.0.1"]}}])");
  CHECK(filters("redirect=301,https://www.example.com$path") ==
        R"([{"redirect":{"status":301,"scheme":"https","host":"www.example.com"}}])");
  CHECK(
      filters("redirect=302,https://www.example.com/new$path") ==
      R"([{"rewrite":{"prefix":"/new"}},{"redirect":{"status":302,"scheme":"https","host":"www.example.com"}}])");
  CHECK(filters("redirect=308,https://www.example.com/$path") ==
        R"([{"redirect":{"status":308,"scheme":"https","host":"www.example.com"}}])");
  CHECK(filters("redirect=301,http://example.com/there") ==
        R"([{"redirect":{"status":301,"scheme":"http","host":"example.com","path":"/there"}}])");
  CHECK(text("urlprefix-/foo redirect=301,https://x$path").find("backends") == std::string::npos);
  CHECK(text("urlprefix-/foo host=dst").find(R"("host":"instance")") != std::string::npos);
  CHECK(text("urlprefix-/foo proto=http tlsskipverify=false").find("filters") == std::string::npos);
}

TEST_CASE("tags that can't be routes are told") {
  const auto error = [](const std::string& tag) {
    const auto route = only(tag);
    CHECK(route.text.empty());
    CHECK(route.key.starts_with("fabio/web/"));
    const std::string front = "tag \"" + tag + "\": ";
    CHECK(route.error.starts_with(front));
    return route.error.substr(std::min(front.size(), route.error.size()));
  };
  CHECK(error("urlprefix-:1234 proto=tcp") ==
        "a port (:1234) is a TCP route: lictor routes HTTP only");
  CHECK(error("urlprefix-foo") == "has no path: write urlprefix-host/path or urlprefix-/path");
  CHECK(error("urlprefix-") == "has no path: write urlprefix-host/path or urlprefix-/path");
  CHECK(error("urlprefix-$DC.example.com/").find("environment") != std::string::npos);
  CHECK(error("urlprefix-/a/*/b").find("prefixes") != std::string::npos);
  CHECK(error("urlprefix-/x proto=https") == "proto=https: not supported in this version");
  CHECK(error("urlprefix-/x proto=tcp").find("HTTP only") != std::string::npos);
  CHECK(error("urlprefix-/x tlsskipverify=true") == "tlsskipverify: not supported in this version");
  CHECK(error("urlprefix-/x weight=2") == "weight is a share from 0 to 1");
  CHECK(error("urlprefix-/x weight=nan") == "weight is a share from 0 to 1");
  CHECK(error("urlprefix-/x strip") == "option \"strip\" has no value");
  CHECK(error("urlprefix-/x stip=/x") ==
        R"(option "stip" is not known to lictor (did you mean "strip"?))");
  CHECK(error("urlprefix-/x auth=mine") == R"(option "auth" is not known to lictor)");
  CHECK(error("urlprefix-/x allow=10.0.0.0/8") ==
        R"("10.0.0.0/8" is not as in allow=ip:10.0.0.0/8)");
  CHECK(error("urlprefix-/x redirect=301") ==
        "redirect is as in redirect=301,https://example.com$path");
  CHECK(error("urlprefix-/x redirect=301,/x") ==
        "redirect is as in redirect=301,https://example.com$path");
  CHECK(error("urlprefix-/x redirect=301,https://h/$path/x") ==
        "$path stands at the end of a redirect");
}

TEST_CASE("services share a route, by their weights") {
  const auto routes = read_fabio_tags({{"blue", {"urlprefix-/foo weight=0.2"}},
                                       {"green", {"urlprefix-/foo", "urlprefix-/bar"}},
                                       {"red", {"urlprefix-/foo"}}});
  REQUIRE(routes.size() == 2);
  const auto& shared = routes[0].key.starts_with("fabio/blue/") ? routes[0] : routes[1];
  CHECK(shared.text == R"({"path":"/foo/*","backends":[)"
                       R"({"service":"blue","tags":["urlprefix-/foo weight=0.2"],"weight":2000},)"
                       R"({"service":"green","tags":["urlprefix-/foo"],"weight":4000},)"
                       R"({"service":"red","tags":["urlprefix-/foo"],"weight":4000}]})");
}

TEST_CASE("keys stay while weights and other tags change") {
  const auto key = [](std::vector<std::string> tags) {
    return read_fabio_tags({{"web", std::move(tags)}}).front().key;
  };
  CHECK(key({"urlprefix-/foo"}) == key({"urlprefix-/foo weight=0.5"}));
  CHECK(key({"urlprefix-/foo"}) == key({"urlprefix-/foo", "zone-b"}));
  CHECK(key({"urlprefix-/foo"}) != key({"urlprefix-/fop"}));
}

TEST_CASE("routes of tags stand beside documents, are quarantined alike, and lose a tie") {
  Compiler compiler;
  std::vector<lictor::Document> documents{
      {"routes/users", R"({"path": "/users/*", "service": "users"})", 1}};
  const auto add = [&documents](const std::string& service, const std::string& tag) {
    const auto routes = read_fabio_tags({{service, {tag}}});
    REQUIRE(routes.front().error.empty());
    documents.push_back({routes.front().key, routes.front().text, 0});
    return routes.front().key;
  };
  const std::string tie = add("web", "urlprefix-/users");
  const std::string good = add("web", "urlprefix-/web");
  const std::string bad = add("web", "urlprefix-host:80/web");
  const auto outcome = compiler.compile(documents);
  const auto taken_by = [&](const std::string& path) {
    lictor::Match match;
    outcome.snapshot->table.match({"GET", "host", path}, match);
    return match.route == nullptr ? "" : match.route->name;
  };
  CHECK(taken_by("/users/1") == "users");
  CHECK(taken_by("/web/1") == "~" + good);
  for (const auto& status : outcome.documents) {
    CAPTURE(status.key);
    CHECK((status.state == DocumentState::kRejected) == (status.key == bad));
    CHECK(status.warning.empty() == (status.key != tie));
    if (status.key == bad) CHECK(status.error.find("a host has no port") != std::string::npos);
  }
  REQUIRE(outcome.snapshot->find_route("~" + good) != nullptr);
  const auto& backend = outcome.snapshot->find_route("~" + good)->backends.front();
  CHECK(backend.subset.tags == std::vector<std::string>{"urlprefix-/web"});
  documents.pop_back();
  const auto next = compiler.compile(documents);
  CHECK(next.changed == std::vector<std::string>{bad});
}
