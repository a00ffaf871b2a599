#include "control/consul.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "control/monitor.h"
#include "control/support.h"

using namespace lictor;
using test::FakeFetcher;

namespace {

struct TokenFile {
  TokenFile() : path("/tmp/lictor-token-" + std::to_string(getpid())) {}
  ~TokenFile() { std::remove(path.c_str()); }
  TokenFile(const TokenFile&) = delete;
  TokenFile& operator=(const TokenFile&) = delete;
  void write(const std::string& text) const { std::ofstream(path) << text; }
  const std::string path;
};

std::vector<std::string> headers_of(Consul& consul, FakeFetcher& fetcher) {
  const auto fetch = consul.ask({"kv", "/v1/kv/x", {}, "", 0, Millis(0)}, [](ConsulAnswer) {});
  return fetcher.request().headers;
}

}  // namespace

TEST_CASE("the URL of a query has all that the configuration says") {
  FakeFetcher fetcher;
  ConsulConfig config;
  config.url = "https://consul.example:8501/prefix";
  config.datacenter = "dc 1";
  config.name_space = "a&b";
  config.partition = "p";
  config.consistency = Consistency::kStale;
  Consul consul(config, fetcher);
  ConsulQuery query{"health",       "/v1/health/service/" + escape_url("we b/ä?"), {}, "", 9,
                    Millis(300'000)};
  const auto fetch = consul.ask(query, [](ConsulAnswer) {});
  CHECK(fetcher.url() ==
        "https://consul.example:8501/prefix/v1/health/service/we%20b%2F%C3%A4%3F"
        "?dc=dc%201&ns=a%26b&partition=p&stale&index=9&wait=300s");
  CHECK(consul.queries() == 1);
}

TEST_CASE("a query without an index has no wait; consistency and a datacenter of its own") {
  FakeFetcher fetcher;
  ConsulConfig config;
  config.consistency = Consistency::kConsistent;
  config.datacenter = "dc1";
  Consul consul(config, fetcher);
  const auto fetch =
      consul.ask({"kv", "/v1/kv/l/", {{"recurse", ""}}, "dc2", 0, Millis(1)}, [](ConsulAnswer) {});
  CHECK(fetcher.url() == "http://127.0.0.1:8500/v1/kv/l/?recurse&dc=dc2&consistent");
}

TEST_CASE("what Consul says of its answer is read") {
  FakeFetcher fetcher;
  Consul consul(ConsulConfig{}, fetcher);
  ConsulAnswer answer;
  const auto fetch = consul.ask({}, [&](ConsulAnswer a) { answer = std::move(a); });
  auto response = FakeFetcher::ok(12, "[]", 200, false);
  response.headers["x-consul-lastcontact"] = "1500";
  fetcher.answer(response);
  CHECK(answer.index == 12);
  CHECK_FALSE(answer.known_leader);
  CHECK(answer.last_contact == Millis(1'500));
  CHECK(answer.error.empty());
}

TEST_CASE("an error has its status and what Consul said, cut to a length") {
  FakeFetcher fetcher;
  Consul consul(ConsulConfig{}, fetcher);
  ConsulAnswer answer;
  const auto done = [&](ConsulAnswer a) { answer = std::move(a); };
  auto fetch = consul.ask({}, done);
  fetcher.answer(FakeFetcher::status(500, "No cluster leader\n"));
  CHECK(answer.error == "HTTP 500: No cluster leader");
  CHECK_FALSE(answer.known_leader);
  fetch = consul.ask({}, done);
  fetcher.answer(FakeFetcher::status(403, std::string(10'000, 'x')));
  CHECK(answer.error.size() < 250);
  fetch = consul.ask({}, done);
  fetcher.answer(FakeFetcher::status(404));
  CHECK(answer.error.empty());
}

TEST_CASE("the token of the configuration, or of its file") {
  FakeFetcher fetcher;
  ConsulConfig config;
  Consul without(config, fetcher);
  CHECK(headers_of(without, fetcher).empty());
  config.token = "secret";
  Consul with(config, fetcher);
  CHECK(headers_of(with, fetcher) == std::vector<std::string>{"X-Consul-Token: secret"});
}

TEST_CASE("a token file is read again when it changes, and what it held stays when it goes") {
  const test::QuietLog quiet;
  FakeFetcher fetcher;
  TokenFile file;
  file.write("first\n");
  ConsulConfig config;
  config.token = "of the environment";
  config.token_file = file.path;
  Consul consul(config, fetcher);
  const auto token = [&] { return headers_of(consul, fetcher).at(0); };
  CHECK(token() == "X-Consul-Token: first");
  file.write("second\n");
  CHECK(token() == "X-Consul-Token: second");
  file.write("");
  CHECK(token() == "X-Consul-Token: second");
  file.write("two\nlines: x");  // would be a header of its own
  CHECK(token() == "X-Consul-Token: second");
  std::remove(file.path.c_str());
  CHECK(token() == "X-Consul-Token: second");
  file.write("third");
  CHECK(token() == "X-Consul-Token: third");
}

TEST_CASE("a refused token is read again at once") {
  FakeFetcher fetcher;
  TokenFile file;
  file.write("old");
  ConsulConfig config;
  config.token_file = file.path;
  Consul consul(config, fetcher);
  CHECK(headers_of(consul, fetcher).at(0) == "X-Consul-Token: old");
  const auto fetch = consul.ask({}, [](ConsulAnswer) {});
  fetcher.answer(FakeFetcher::status(403, "ACL not found"));
  file.write("new");  // as long as the old one, maybe within the clock's grain
  CHECK(headers_of(consul, fetcher).at(0) == "X-Consul-Token: new");
}

TEST_CASE("the monitor: lost while any watch fails for the agent's sake, then back") {
  test::ManualScheduler scheduler;
  ConsulMonitor monitor(scheduler, "http://a");
  const int a = 0;
  const int b = 0;
  CHECK_FALSE(monitor.connected());
  scheduler.advance(Millis(3'000));
  CHECK(monitor.staleness() == Millis(3'000));  // nothing was ever read
  monitor.succeeded(&a, "a", {});
  CHECK(monitor.connected());
  CHECK(monitor.staleness() == Millis(0));

  using Fault = ConsulMonitor::Fault;
  monitor.failed(&a, "kv lictor", Fault::kAgent, "refused");
  monitor.failed(&b, "service b", Fault::kAgent, "refused");
  CHECK_FALSE(monitor.connected());
  scheduler.advance(Millis(5'000));
  monitor.failed(&a, "kv lictor", Fault::kAgent, "refused");
  CHECK(monitor.staleness() == Millis(5'000));
  CHECK(monitor.errors_total() == 3);
  CHECK(monitor.last_error() == "kv lictor: refused");
  monitor.succeeded(&a, "a", {});
  CHECK_FALSE(monitor.connected());
  monitor.gone(&b);
  CHECK(monitor.connected());
  CHECK(monitor.staleness() == Millis(0));
}

TEST_CASE("the monitor: a refused query makes its data old, but the agent is there") {
  test::ManualScheduler scheduler;
  ConsulMonitor monitor(scheduler, "http://a");
  const int a = 0;
  using Fault = ConsulMonitor::Fault;
  monitor.succeeded(&a, "a", {});
  monitor.failed(&a, "a", Fault::kQuery, "HTTP 403");
  scheduler.advance(Millis(2'000));
  CHECK(monitor.connected());
  CHECK(monitor.staleness() == Millis(2'000));
  monitor.failed(&a, "a", Fault::kAgent, "refused");
  CHECK_FALSE(monitor.connected());
  monitor.failed(&a, "a", Fault::kQuery, "HTTP 403");
  CHECK(monitor.connected());
}
