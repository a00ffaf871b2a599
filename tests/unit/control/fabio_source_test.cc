#include "control/fabio_source.h"

#include <doctest/doctest.h>

#include "control/control.h"
#include "control/parts.h"
#include "control/support.h"

using namespace lictor;
using test::FakeFetcher;
using test::kv;
using test::list;

namespace {

const std::string kRoute = R"({"path":"/user/*","service":"user"})";

struct Bench final {
  explicit Bench(const std::vector<Document>& restored = {}) {
    if (!restored.empty()) source.restore(restored);
    source.start();
  }
  std::string keys() const {
    std::string out;
    for (const auto& document : last.documents) out += document.key + " ";
    return out;
  }

  test::ManualScheduler scheduler;
  FakeFetcher fetcher;
  ConsulConfig config;
  Agent agent{config, scheduler, fetcher};
  int sets = 0;
  DocumentSet last;
  FabioSource source{agent, "lictor", [this](DocumentSet set) {
                       ++sets;
                       last = std::move(set);
                     }};
};

}  // namespace

TEST_CASE("the catalog's services with their tags, sorted") {
  const auto parsed = parse_services(R"({"consul":[],"web":["b","a"],"old":null})");
  REQUIRE(parsed);
  CHECK(parsed->size() == 3);
  CHECK(parsed->at("web") == std::vector<std::string>{"a", "b"});
  CHECK(parsed->at("old").empty());
  for (const char* text : {"", "[]", "null", R"({"a":1})", R"({"a":[1]})", R"({"a":["b"])"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_services(text));
  }
}

TEST_CASE("documents come when keys and tags were both read, then with each change of either") {
  Bench b;
  b.fetcher.answer(5, list({kv("lictor/routes/user", kRoute)}), "/v1/kv/");
  CHECK(b.sets == 0);
  b.fetcher.answer(6, R"({"web":["urlprefix-/web","urlprefix-:80"]})", "/v1/catalog/services");
  CHECK(b.sets == 1);
  REQUIRE(b.last.documents.size() == 2);
  CHECK(b.last.documents[0].key.starts_with("fabio/web/"));
  CHECK(b.last.documents[1].key == "routes/user");
  REQUIRE(b.last.unreadable.size() == 1);
  CHECK(b.last.unreadable[0].key.starts_with("fabio/web/"));
  CHECK(b.last.unreadable[0].error.find("HTTP only") != std::string::npos);

  b.scheduler.advance(Millis(100));
  b.fetcher.answer(7, R"({"web":["v2"]})", "/v1/catalog/services");
  CHECK(b.sets == 2);
  CHECK(b.keys() == "routes/user ");
  // Another service, no tag of ours: nothing new.
  b.scheduler.advance(Millis(100));
  b.fetcher.answer(8, R"({"web":["v2"],"db":[]})", "/v1/catalog/services");
  CHECK(b.sets == 2);
  b.scheduler.advance(Millis(100));
  b.fetcher.answer(9, list({kv("lictor/routes/a", kRoute, 9), kv("lictor/fabio/web/1", kRoute)}),
                   "/v1/kv/");
  CHECK(b.keys() == "routes/a ");
  // Those keys are taken, and nobody wonders why nothing happens.
  REQUIRE(b.last.unreadable.size() == 1);
  CHECK(b.last.unreadable[0].key == "fabio/web/1");
  CHECK(b.last.unreadable[0].error.find("source.fabio_tags") != std::string::npos);
}

TEST_CASE("an answer without a leader takes no routes away") {
  Bench b;
  b.fetcher.answer(5, list({}), "/v1/kv/");
  b.fetcher.answer(6, R"({"web":["urlprefix-/web"]})", "/v1/catalog/services");
  REQUIRE(b.sets == 1);
  b.scheduler.advance(Millis(100));
  b.fetcher.answer(FakeFetcher::ok(7, R"({"web":[]})", 200, false), "/v1/catalog/services");
  CHECK(b.sets == 1);
  b.scheduler.advance(Millis(2'000));
  b.fetcher.answer(7, R"({"web":[]})", "/v1/catalog/services");
  CHECK(b.sets == 2);
  CHECK(b.last.documents.empty());
}

TEST_CASE("what was restored is replaced piece by piece, and only by an answer with a leader") {
  Bench b({{"fabio/web/1", kRoute, 0}, {"routes/user", kRoute, 7}});
  b.fetcher.answer(FakeFetcher::ok(5, "{}", 200, false), "/v1/catalog/services");
  b.fetcher.answer(FakeFetcher::ok(5, "[]", 200, false), "/v1/kv/");
  CHECK(b.sets == 0);
  b.scheduler.advance(Millis(300));
  b.fetcher.answer(9, list({kv("lictor/routes/other", kRoute, 9)}), "/v1/kv/");
  CHECK(b.keys() == "fabio/web/1 routes/other ");
  b.fetcher.answer(9, R"({"web":["v1"]})", "/v1/catalog/services");
  CHECK(b.keys() == "routes/other ");
}
