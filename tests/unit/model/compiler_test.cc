#include "model/compiler.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "io/test_authority.h"

using lictor::Compiler;
using lictor::Document;
using lictor::DocumentState;
using lictor::DocumentStatus;
using lictor::Match;
using lictor::Millis;
using lictor::SnapshotPtr;

namespace {

using Keys = std::vector<std::string>;

// A set of documents that changes step by step.
class Fixture {
 public:
  const Compiler::Outcome& put(const std::string& key, const std::string& text) {
    texts_[key] = text;
    return compile();
  }
  const Compiler::Outcome& remove(const std::string& key) {
    texts_.erase(key);
    return compile();
  }
  const Compiler::Outcome& compile() {
    std::vector<Document> documents;
    ++index_;
    for (const auto& [key, text] : texts_) documents.push_back({key, text, index_});
    last_ = compiler_.compile(documents);
    return last_;
  }
  void reread_files() {
    compiler_.reread_files();
    compile();
  }
  DocumentStatus status(const std::string& key) const {
    for (const auto& status : last_.documents) {
      if (status.key == key) return status;
    }
    FAIL("no document ", key);
    return {};
  }
  DocumentState state(const std::string& key) const { return status(key).state; }
  const Compiler::Outcome& last() const { return last_; }
  const SnapshotPtr& snapshot() const { return last_.snapshot; }
  std::string taken_by(const std::string& path) const {
    Match match;
    snapshot()->table.match({"GET", "", path}, match);
    return match.route == nullptr ? "" : match.route->name;
  }
  size_t filters_of(const std::string& route) const {
    return snapshot()->find_route(route)->filters.size();
  }

 private:
  std::map<std::string, std::string> texts_;
  uint64_t index_ = 0;
  Compiler compiler_;
  Compiler::Outcome last_;
};

std::string route(const std::string& path, const std::string& service = "s",
                  const std::string& more = "") {
  return R"({"path": ")" + path + R"(", "service": ")" + service + "\"" + more + "}";
}

}  // namespace

TEST_CASE("no documents give an empty snapshot, once") {
  Fixture f;
  f.compile();
  REQUIRE(f.snapshot());
  CHECK(f.snapshot()->revision == 1);
  CHECK(f.snapshot()->routes.empty());
  const SnapshotPtr before = f.snapshot();
  CHECK(f.compile().snapshot == before);
  CHECK(f.last().changed.empty());
}

TEST_CASE("routes and the services that they refer to") {
  Fixture f;
  f.put("routes/b", route("/b", "two"));
  f.put(
      "routes/a",
      R"({"path": "/a", "backends": [{"service": "two", "weight": 1}, {"service": "one", "weight": 0}]})");
  f.put("upstreams/two", R"({"connect_timeout": "2s"})");
  f.put("upstreams/unused", R"({"connect_timeout": "2s"})");
  const auto& snapshot = *f.snapshot();
  REQUIRE(snapshot.routes.size() == 2);
  CHECK(snapshot.routes[0]->name == "a");
  CHECK(snapshot.routes[0]->index == 0);
  CHECK(snapshot.routes[1]->index == 1);
  REQUIRE(snapshot.upstreams.size() == 2);
  CHECK(snapshot.upstreams[0]->service == "one");
  CHECK(snapshot.upstreams[1]->service == "two");
  CHECK(snapshot.upstreams[1]->index == 1);
  CHECK(snapshot.upstreams[1]->policy.connect_timeout == Millis{2'000});
  CHECK(snapshot.upstreams[0]->policy.connect_timeout == Millis{1'000});
  CHECK(snapshot.routes[0]->backends[0].upstream == 1);
  CHECK(snapshot.routes[0]->backends[1].upstream == 0);
  CHECK(f.taken_by("/b") == "b");
  CHECK(f.state("upstreams/unused") == DocumentState::kActive);
}

TEST_CASE("a bad document is left out, and harms no other") {
  Fixture f;
  f.put("routes/good", route("/good"));
  f.put("routes/bad", "{");
  CHECK(f.state("routes/bad") == DocumentState::kRejected);
  CHECK(f.status("routes/bad").error.starts_with("$: line 1, column 2: syntax error"));
  CHECK(f.state("routes/good") == DocumentState::kActive);
  CHECK(f.status("routes/good").error.empty());
  CHECK(f.taken_by("/good") == "good");
  CHECK(f.snapshot()->routes.size() == 1);
}

TEST_CASE("the last good version stays in force, until the document is deleted") {
  Fixture f;
  f.put("routes/r", route("/one"));
  const SnapshotPtr before = f.snapshot();
  f.put("routes/r", R"({"path": "/two", "servise": "s"})");
  CHECK(f.state("routes/r") == DocumentState::kStale);
  CHECK(f.status("routes/r").error == R"($.servise: unknown key (did you mean "service"?))");
  CHECK(f.snapshot() == before);
  CHECK(f.taken_by("/one") == "r");

  // Another document changes: the stale one stays as it was.
  f.put("routes/other", route("/other"));
  CHECK(f.taken_by("/one") == "r");
  CHECK(f.state("routes/r") == DocumentState::kStale);

  f.put("routes/r", route("/two"));
  CHECK(f.state("routes/r") == DocumentState::kActive);
  CHECK(f.taken_by("/one") == "");
  CHECK(f.taken_by("/two") == "r");

  f.put("routes/r", "{");
  f.remove("routes/r");
  CHECK(f.taken_by("/two") == "");
  CHECK(f.last().documents.size() == 1);
  // It comes back bad: the version from before the deletion is gone.
  f.put("routes/r", "{");
  CHECK(f.state("routes/r") == DocumentState::kRejected);
  CHECK(f.taken_by("/two") == "");
}

TEST_CASE("the revision moves only when something takes effect") {
  Fixture f;
  f.put("routes/r", route("/r"));
  CHECK(f.snapshot()->revision == 1);
  f.put("routes/bad", "{");
  CHECK(f.snapshot()->revision == 1);
  f.put("upstreams/unused", R"({"host": "instance"})");
  CHECK(f.snapshot()->revision == 1);
  f.put("upstreams/s", "{}");
  CHECK(f.snapshot()->revision == 1);
  f.put("upstreams/s", R"({"host": "instance"})");
  CHECK(f.snapshot()->revision == 2);
  f.put("gateway", R"({"upstream_defaults": {"health": "passing"}})");
  CHECK(f.snapshot()->revision == 3);
  f.remove("routes/bad");
  CHECK(f.snapshot()->revision == 3);
  f.remove("routes/r");
  CHECK(f.snapshot()->revision == 4);
}

TEST_CASE("what changed, and what is newly bad, is told once") {
  Fixture f;
  f.put("routes/a", route("/a"));
  CHECK(f.last().changed == Keys{"routes/a"});
  CHECK(f.last().newly_bad.empty());
  f.put("routes/b", "{");
  CHECK(f.last().changed == Keys{"routes/b"});
  CHECK(f.last().newly_bad == Keys{"routes/b"});
  f.compile();
  CHECK(f.last().changed.empty());
  CHECK(f.last().newly_bad.empty());
  f.put("routes/b", "{\n");
  CHECK(f.last().newly_bad == Keys{"routes/b"});
  f.put("routes/b", route("/b"));
  CHECK(f.last().newly_bad.empty());
  f.put("routes/b", "{\n");
  CHECK(f.last().newly_bad == Keys{"routes/b"});
  f.remove("routes/a");
  CHECK(f.last().changed == Keys{"routes/a"});
}

TEST_CASE("statuses are sorted by key and carry the index of the version that was read") {
  Fixture f;
  for (const auto* key : {"upstreams/s", "routes/r", "gateway", "filters/f", "what/x"})
    f.put(key, "{}");
  Keys keys;
  for (const auto& status : f.last().documents) {
    keys.push_back(status.key);
    CHECK(status.modify_index == 5);
  }
  CHECK(keys == Keys{"filters/f", "gateway", "routes/r", "upstreams/s", "what/x"});
  CHECK(f.state("what/x") == DocumentState::kRejected);
  CHECK(lictor::document_state_name(f.state("gateway")) == "active");
}

TEST_CASE("folders of Consul's UI are no documents") {
  Fixture f;
  f.put("routes/", "");
  f.put("", "");
  CHECK(f.last().documents.empty());
  CHECK(f.last().changed.empty());
}

namespace {

std::string with_key(char digit) {
  return R"({"api_keys": ["sha256:)" + std::string(64, digit) + R"("]})";
}
lictor::Digest digest(uint8_t byte) {
  lictor::Digest out;
  out.fill(byte);
  return out;
}

}  // namespace

TEST_CASE("consumers are part of the snapshot; those of others stay the same object") {
  Fixture f;
  CHECK(f.compile().snapshot->consumers == nullptr);
  f.put("consumers/alice", with_key('a'));
  const auto first = f.snapshot();
  REQUIRE(first->consumers);
  CHECK(first->consumers->find_key(digest(0xaa))->name == "alice");
  CHECK(first->consumers->find_key(digest(0xbb)) == nullptr);
  f.put("routes/r", R"({"path": "/", "service": "s"})");
  CHECK(f.snapshot() != first);
  CHECK(f.snapshot()->consumers == first->consumers);
  f.put("consumers/alice", R"({"api_keys": ["secret"]})");
  CHECK(f.status("consumers/alice").state == DocumentState::kStale);
  CHECK(f.snapshot()->consumers == first->consumers);
  f.remove("consumers/alice");
  CHECK(f.snapshot()->consumers == nullptr);
}

TEST_CASE("a key that two consumers have stays with the first by name") {
  Fixture f;
  f.put("consumers/bob", with_key('b'));
  f.put("consumers/carol", with_key('b'));
  CHECK(f.status("consumers/carol").state == DocumentState::kRejected);
  CHECK(f.status("consumers/carol").error == "$.api_keys[0]: consumers/bob has the same key");
  f.put("consumers/carol", with_key('c'));
  CHECK(f.status("consumers/carol").state == DocumentState::kActive);
  // One that comes before takes it over.
  f.put("consumers/alice", with_key('b'));
  CHECK(f.status("consumers/alice").state == DocumentState::kActive);
  CHECK(f.status("consumers/bob").error == "$.api_keys[0]: consumers/alice has the same key");
  CHECK(f.snapshot()->consumers->find_key(digest(0xbb))->name == "alice");
  CHECK(f.snapshot()->consumers->find_key(digest(0xcc))->name == "carol");
  f.remove("consumers/alice");
  CHECK(f.status("consumers/bob").state == DocumentState::kActive);
  CHECK(f.snapshot()->consumers->find_key(digest(0xbb))->name == "bob");
}

TEST_CASE("upstreams inherit the gateway's defaults, also those that were there before") {
  Fixture f;
  f.put("routes/r", R"({"path": "/", "backends": [{"service": "own"}, {"service": "none"}]})");
  f.put("upstreams/own", R"({"idle_timeout": "9s"})");
  f.put("gateway", R"({"upstream_defaults": {"idle_timeout": "1s", "connect_timeout": "2s"}})");
  const auto policy = [&f](const char* service) {
    return f.snapshot()->find_upstream(service)->policy;
  };
  CHECK(policy("own").idle_timeout == Millis{9'000});
  CHECK(policy("own").connect_timeout == Millis{2'000});
  CHECK(policy("none").idle_timeout == Millis{1'000});
  // A bad gateway document: its last good version stays.
  f.put("gateway", R"({"upstream_defaults": {"idle_timeout": 1}})");
  CHECK(f.state("gateway") == DocumentState::kStale);
  CHECK(policy("none").idle_timeout == Millis{1'000});
  f.remove("gateway");
  CHECK(policy("none").idle_timeout == Millis{60'000});
  CHECK(policy("own").connect_timeout == Millis{1'000});
  // A bad upstream: likewise, over the new defaults.
  f.put("upstreams/own", "[]");
  f.put("gateway", R"({"upstream_defaults": {"connect_timeout": "7s"}})");
  CHECK(f.state("upstreams/own") == DocumentState::kStale);
  CHECK(policy("own").idle_timeout == Millis{9'000});
  CHECK(policy("own").connect_timeout == Millis{7'000});
}

TEST_CASE("parts that stay the same stay the same objects") {
  Fixture f;
  f.put("routes/a", route("/a", "sa"));
  f.put("routes/b", route("/b", "sb"));
  const SnapshotPtr before = f.snapshot();
  f.put("upstreams/sb", R"({"host": "instance"})");
  const SnapshotPtr after = f.snapshot();
  CHECK(after != before);
  CHECK(after->routes == before->routes);
  CHECK(after->upstreams[0] == before->upstreams[0]);
  CHECK(after->upstreams[1] != before->upstreams[1]);
  // A new route in front moves the indexes of those behind it.
  f.put("routes/aa", route("/aa", "saa"));
  CHECK(f.snapshot()->routes[0] == after->routes[0]);
  CHECK(f.snapshot()->routes[2]->index == 2);
  CHECK(f.snapshot()->routes[2]->backends[0].upstream == 2);
  // The old snapshot is as it was.
  CHECK(after->routes[1]->index == 1);
}

TEST_CASE("a service that no route refers to any more goes") {
  Fixture f;
  f.put("routes/a", route("/a", "x"));
  f.put("routes/a", route("/a", "y"));
  CHECK(f.snapshot()->find_upstream("x") == nullptr);
  CHECK(f.snapshot()->find_upstream("y") != nullptr);
}

TEST_CASE("a route that leads nowhere is refused, one that answers itself is not") {
  Fixture f;
  f.put("routes/none", R"({"path": "/none"})");
  f.put("routes/headers", R"({"path": "/h", "filters": [{"request_headers": {"remove": ["x"]}}]})");
  f.put("routes/answers", R"({"path": "/a", "filters": [{"respond": {"status": 204}}]})");
  f.put("routes/moved", R"({"path": "/m", "filters": [{"redirect": {"path": "/n"}}]})");
  f.put("filters/stop", R"({"respond": {"status": 503}})");
  f.put("routes/shared", R"({"path": "/s", "filters": [{"use": "stop"}]})");
  const char* error =
      "$: leads nowhere: needs service, backends, or a filter that answers (redirect, respond)";
  CHECK(f.status("routes/none").error == error);
  CHECK(f.status("routes/headers").error == error);
  CHECK(f.taken_by("/a") == "answers");
  CHECK(f.taken_by("/m") == "moved");
  CHECK(f.taken_by("/s") == "shared");
}

TEST_CASE("shared filters") {
  Fixture f;
  f.put("routes/r", route("/r", "s", R"(, "filters": [{"use": "limit"}])"));
  CHECK(f.state("routes/r") == DocumentState::kRejected);
  CHECK(f.status("routes/r").error == "$.filters[0].use: there is no filters/limit");

  f.put("filters/limits", R"({"respond": {"status": 429}})");
  CHECK(f.status("routes/r").error ==
        R"($.filters[0].use: there is no filters/limit (did you mean "limits"?))");

  f.put("filters/limit", "{");
  CHECK(f.status("routes/r").error ==
        R"($.filters[0].use: filter "limit" is not valid: see filters/limit)");

  f.put("filters/limit", R"({"respond": {"status": 429}})");
  CHECK(f.state("routes/r") == DocumentState::kActive);
  const auto first = f.snapshot()->find_route("r")->filters;
  REQUIRE(first.size() == 1);

  // A bad version of the filter: its last good one stays in use, and the route is fine.
  f.put("filters/limit", "[]");
  CHECK(f.state("filters/limit") == DocumentState::kStale);
  CHECK(f.state("routes/r") == DocumentState::kActive);
  CHECK(f.snapshot()->find_route("r")->filters == first);

  f.put("filters/limit", R"({"respond": {"status": 503}})");
  CHECK(f.snapshot()->find_route("r")->filters != first);
  const auto second = f.snapshot()->find_route("r")->filters;

  // Deleted under a route that uses it: the route goes on as it was, and says so.
  f.remove("filters/limit");
  CHECK(f.state("routes/r") == DocumentState::kStale);
  CHECK(f.last().newly_bad == Keys{"routes/r"});
  CHECK(f.snapshot()->find_route("r")->filters == second);
  f.put("filters/limit", R"({"respond": {"status": 418}})");
  CHECK(f.state("routes/r") == DocumentState::kActive);
}

TEST_CASE("a stale route still gets the newest of the filters that it shares") {
  Fixture f;
  f.put("filters/f", R"({"respond": {"status": 429}})");
  f.put("routes/r", route("/r", "s", R"(, "filters": [{"use": "f"}])"));
  const auto first = f.snapshot()->find_route("r")->filters;
  f.put("routes/r", "{");
  CHECK(f.state("routes/r") == DocumentState::kStale);
  f.put("filters/f", R"({"respond": {"status": 503}})");
  CHECK(f.state("routes/r") == DocumentState::kStale);
  CHECK(f.snapshot()->find_route("r")->filters != first);
}

TEST_CASE("a change of links can't hide a change of text") {
  Fixture f;
  f.put("routes/r", route("/one"));
  // The new version is fine but for its filter: the old one stays, whole.
  f.put("routes/r", route("/two", "s", R"(, "filters": [{"use": "f"}])"));
  CHECK(f.state("routes/r") == DocumentState::kStale);
  CHECK(f.taken_by("/one") == "r");
  CHECK(f.taken_by("/two") == "");
  f.put("filters/f", R"({"request_headers": {}})");
  CHECK(f.state("routes/r") == DocumentState::kActive);
  CHECK(f.taken_by("/one") == "");
  CHECK(f.taken_by("/two") == "r");
}

TEST_CASE("the gateway's own filters") {
  Fixture f;
  f.put("gateway", R"({"filters": [{"response_headers": {"remove": ["Server"]}}, {"use": "f"}]})");
  CHECK(f.state("gateway") == DocumentState::kRejected);
  CHECK(f.status("gateway").error == "$.filters[1].use: there is no filters/f");
  CHECK(f.snapshot()->filters.empty());
  f.put("filters/f", R"({"request_headers": {"set": {"X-Route": "${route}"}}})");
  CHECK(f.snapshot()->filters.size() == 2);
  const auto revision = f.snapshot()->revision;
  f.put("gateway", "{}");
  CHECK(f.snapshot()->filters.empty());
  CHECK(f.snapshot()->revision == revision + 1);
}

TEST_CASE("of routes that tie to the name the loser is warned of") {
  Fixture f;
  f.put("routes/a", route("/t/{x}"));
  f.put("routes/b", route("/t/{y}"));
  f.put("routes/c", route("/t/{y}", "s", R"(, "priority": 1)"));
  f.put("routes/d", route("/t/{y}", "s", R"(, "methods": ["GET"])"));
  f.put("routes/e", route("/t/{y}", "s", R"(, "methods": ["POST"])"));
  f.put("routes/f", route("/t/{y}", "s", R"(, "methods": ["POST", "PUT"])"));
  f.put("routes/g", route("/t/{y}", "s", R"(, "hosts": ["a.example"])"));
  CHECK(f.status("routes/a").warning == "");
  CHECK(f.status("routes/b").warning ==
        R"(route "a" takes the same requests (host *, path /t/{y}) and wins by its name)");
  for (const auto* name : {"routes/c", "routes/d", "routes/e", "routes/g"}) {
    CHECK(f.status(name).warning == "");
  }
  CHECK(f.status("routes/f").warning.find(R"(route "e")") != std::string::npos);
  CHECK(f.state("routes/b") == DocumentState::kActive);
  f.remove("routes/a");
  CHECK(f.status("routes/b").warning == "");
}

TEST_CASE("hostile documents are rejected, and nothing else happens") {
  Fixture f;
  f.put("routes/good", route("/good"));
  const SnapshotPtr before = f.snapshot();
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "[";
  for (const std::string& text :
       {std::string(), std::string("null"), std::string("\0", 1), std::string("\xff\xfe"), deep,
        std::string((1 << 20) + 1, ' '), std::string(R"({"path": "/x", "service": "\u0000"})"),
        std::string(R"({"path": "/x", "service": "s", "priority": 1e400})"),
        std::string(R"({"path": "/x", "service": "s", "timeout": "99999999999999999999h"})")}) {
    f.put("routes/bad", text);
    CHECK(f.state("routes/bad") == DocumentState::kRejected);
    CHECK(f.snapshot() == before);
  }
}

TEST_CASE("thousands of routes compile, and one more costs little") {
  Fixture f;
  std::vector<Document> documents;
  for (int i = 0; i < 5'000; ++i) {
    const std::string n = std::to_string(i);
    documents.push_back({"routes/r" + n, route("/r/" + n + "/*", "s" + n), 1});
  }
  Compiler compiler;
  const auto first = compiler.compile(documents);
  CHECK(first.snapshot->routes.size() == 5'000);
  CHECK(compiler.compile(documents).snapshot == first.snapshot);
  documents.push_back({"routes/zz", route("/zz", "s1"), 2});
  const auto second = compiler.compile(documents);
  CHECK(second.snapshot->revision == 2);
  CHECK(second.snapshot->upstreams == first.snapshot->upstreams);
  CHECK(std::equal(first.snapshot->routes.begin(), first.snapshot->routes.end(),
                   second.snapshot->routes.begin()));
}

namespace {

// What a fresh compiler makes of what the old one knew.
struct Restored {
  explicit Restored(const Compiler& old) { outcome = compiler.restore(old.versions()); }
  DocumentState state(const std::string& key) const {
    for (const auto& status : outcome.documents) {
      if (status.key == key) return status.state;
    }
    FAIL("no document ", key);
    return {};
  }
  std::string service_of(const std::string& name) const {
    const auto* found = outcome.snapshot->find_route(name);
    return found == nullptr ? "none" : found->backends[0].service;
  }

  Compiler compiler;
  Compiler::Outcome outcome;
};

}  // namespace

TEST_CASE("restored: what was stale is so again, with its last good version in force") {
  Compiler old;
  old.compile({{"routes/a", route("/a", "one"), 3}, {"routes/b", route("/b", "one"), 4}});
  old.compile({{"routes/a", "{", 5},
               {"routes/b", route("/b", "two"), 6},
               {"routes/never", "[", 7},
               {"what/ever", "{}", 8}});
  old.compile({{"routes/a", "{}", 9},
               {"routes/b", route("/b", "two"), 6},
               {"routes/never", "[", 7},
               {"what/ever", "{}", 8}});
  Restored fresh(old);
  CHECK(fresh.state("routes/a") == DocumentState::kStale);
  CHECK(fresh.state("routes/b") == DocumentState::kActive);
  CHECK(fresh.state("routes/never") == DocumentState::kRejected);
  CHECK(fresh.state("what/ever") == DocumentState::kRejected);
  CHECK(fresh.service_of("a") == "one");
  CHECK(fresh.service_of("b") == "two");
  CHECK(fresh.outcome.newly_bad == Keys{"routes/a", "routes/never", "what/ever"});
  CHECK(fresh.outcome.documents[0].modify_index == 9);
  // The same documents once more are no change.
  const auto revision = fresh.outcome.snapshot->revision;
  const auto again = fresh.compiler.compile({{"routes/a", "{}", 9},
                                             {"routes/b", route("/b", "two"), 6},
                                             {"routes/never", "[", 7},
                                             {"what/ever", "{}", 8}});
  CHECK(again.snapshot->revision == revision);
  CHECK(again.changed.empty());
}

TEST_CASE("restored: a stale upstream, gateway and shared filter keep their last good versions") {
  Compiler old;
  const std::string use = route("/a", "web", R"(, "filters": [{"use": "f"}])");
  const std::string filter = R"({"request_headers": {"set": {"x": "1"}}})";
  old.compile({{"filters/f", filter, 1},
               {"gateway", R"({"filters": [{"use": "f"}]})", 1},
               {"routes/a", use, 1},
               {"upstreams/web", R"({"slow_start": "7s"})", 1}});
  old.compile({{"filters/f", "{", 2},
               {"gateway", "{", 2},
               {"routes/a", use, 1},
               {"upstreams/web", "{", 2}});
  Restored fresh(old);
  for (const auto* key : {"filters/f", "gateway", "upstreams/web"}) {
    CHECK(fresh.state(key) == DocumentState::kStale);
  }
  CHECK(fresh.outcome.snapshot->filters.size() == 1);
  CHECK(fresh.outcome.snapshot->find_route("a")->filters.size() == 1);
  CHECK(fresh.outcome.snapshot->find_upstream("web")->policy.slow_start == Millis(7'000));
}

TEST_CASE("restored: a route goes on with a shared filter that is deleted") {
  Compiler old;
  const std::string use = route("/a", "web", R"(, "filters": [{"use": "f"}])");
  old.compile(
      {{"filters/f", R"({"request_headers": {"set": {"x": "1"}}})", 1}, {"routes/a", use, 1}});
  old.compile({{"routes/a", use, 1}});
  Restored once(old);
  CHECK(once.state("routes/a") == DocumentState::kStale);
  Restored twice(once.compiler);
  CHECK(twice.state("routes/a") == DocumentState::kStale);
  CHECK(twice.outcome.snapshot->find_route("a")->filters.size() == 1);
  CHECK(twice.outcome.documents.size() == 1);
  // Nobody needs it any more: forgotten.
  twice.compiler.compile({{"routes/a", route("/a", "web"), 2}});
  CHECK(twice.compiler.versions().size() == 1);
}

TEST_CASE("an upstream whose file is gone goes on as it was, and never without TLS") {
  const std::string ca =
      (std::filesystem::temp_directory_path() / ("lictor-ca-" + std::to_string(getpid()))).string();
  const lictor::testing::TestAuthority authority;
  std::filesystem::copy_file(authority.ca, ca);
  Fixture f;
  f.put("routes/a", R"({"path": "/a", "service": "web"})");
  f.put("upstreams/web", R"({"tls": {"ca_file": ")" + ca + R"("}})");
  const auto before = f.snapshot()->find_upstream("web")->policy;
  REQUIRE(before.tls.client != nullptr);
  f.put("gateway", R"({"upstream_defaults": {"max_pending": 7}})");
  CHECK(f.snapshot()->find_upstream("web")->policy.tls == before.tls);  // the same files
  CHECK(f.snapshot()->find_upstream("web")->policy.max_pending == 7);
  std::filesystem::remove(ca);
  f.put("gateway", R"({"upstream_defaults": {"max_pending": 8}})");
  CHECK(f.snapshot()->find_upstream("web")->policy.tls == before.tls);
  f.put("upstreams/web", R"({"connect_timeout": "3s", "tls": {"ca_file": ")" + ca + R"("}})");
  CHECK(f.state("upstreams/web") == DocumentState::kStale);
  CHECK(f.status("upstreams/web").error.starts_with("$.tls.ca_file: " + ca));
  CHECK(f.snapshot()->find_upstream("web")->policy.tls == before.tls);
}

TEST_CASE("files that documents name are read again when asked for, and nothing else is") {
  const lictor::testing::TestAuthority authority;
  const lictor::testing::TestAuthority other;
  Fixture f;
  f.put("routes/a", R"({"path": "/a", "service": "web"})");
  f.put("upstreams/web", R"({"tls": {"ca_file": ")" + authority.ca + R"("}})");
  const SnapshotPtr before = f.snapshot();
  f.reread_files();
  CHECK(f.snapshot() == before);  // the same content
  std::filesystem::copy_file(other.ca, authority.ca,
                             std::filesystem::copy_options::overwrite_existing);
  CHECK(f.compile().snapshot == before);
  f.reread_files();
  CHECK(f.snapshot()->revision == before->revision + 1);
  CHECK_FALSE(f.snapshot()->upstreams[0]->policy.tls == before->upstreams[0]->policy.tls);
  CHECK(f.snapshot()->routes == before->routes);
  const SnapshotPtr now = f.snapshot();
  std::filesystem::remove(authority.ca);
  f.reread_files();
  CHECK(f.snapshot() == now);
  CHECK(f.state("upstreams/web") == DocumentState::kStale);
}
