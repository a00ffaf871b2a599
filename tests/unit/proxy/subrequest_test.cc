#include "proxy/subrequest.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "proxy/proxy_bench.h"

using lictor::Failure;
using lictor::LocalPtr;
using lictor::Millis;
using lictor::Outcome;
using lictor::Subrequest;
using lictor::testing::Far;
using lictor::testing::kOk;
using lictor::testing::ProxyBench;

namespace {

// Asks the bench's service, and keeps what it hears.
struct Asker final : lictor::SubrequestUser {
  explicit Asker(ProxyBench& its_bench) : bench(its_bench) {
    if (!bench.published) bench.publish();
  }
  Subrequest& make() {
    request = bench.context.subrequests.make(bench.upstream, this);
    REQUIRE(request != nullptr);
    name(*request, "GET");
    return *request;
  }
  static void name(Subrequest& request, std::string_view method) {
    request.head().method = lictor::parse_method(method);
    request.head().method_name = method;
    request.head().target = "/check";
    request.head().authority = "h";
  }
  void ask(Millis timeout = Millis(1'000)) {
    make().send(timeout);
    CHECK(heard.empty());  // never inside
  }
  void on_answer(const lictor::SubrequestAnswer& answer) override {
    heard += std::to_string(answer.head.status) + " " + std::string(answer.body);
    if (!answer.whole) heard += "(cut)";
    for (const auto& field : answer.head.fields) heard += " " + std::string(field.name);
  }
  void on_failure(const lictor::Error& error) override {
    heard += "failed " + std::string(error.code());
  }
  std::string wait() {
    lictor::testing::turn_until(bench.loop, [&] { return !heard.empty(); });
    return std::exchange(heard, {});
  }

  ProxyBench& bench;
  Subrequest* request = nullptr;
  std::string heard;
};

uint64_t count(ProxyBench& bench, Outcome outcome) {
  uint64_t sum = 0;
  for (const auto& instance : bench.list->instances) {
    sum +=
        bench.metrics.instance(0, "s", instance.id)->outcomes[static_cast<size_t>(outcome)].get();
  }
  return sum;
}

uint64_t active(ProxyBench& bench) { return bench.metrics.instance(0, "s", "i0")->active.get(); }

}  // namespace

TEST_CASE("a subrequest is asked over a connection that the next one uses again") {
  ProxyBench bench;
  Asker asker(bench);
  asker.ask();
  Far service = bench.machines[0]->accept();
  CHECK(service.read() == "GET /check HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(active(bench) == 1);
  service.send(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\nX-A: 1\r\nConnection: x-b\r\nX-B: "
      "1\r\n\r\n");
  CHECK(asker.wait() == "204  X-A");
  CHECK(active(bench) == 0);
  CHECK(count(bench, Outcome::kOk) == 1);
  asker.ask();
  service.read();
  service.send("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\nT: 1\r\n\r\n");
  CHECK(asker.wait() == "403 no");
  CHECK_FALSE(bench.machines[0]->has_visitor());
}

TEST_CASE("a subrequest's host is its upstream's business") {
  ProxyBench bench;
  bench.policy.host = lictor::HostMode::kLiteral;
  bench.policy.host_literal = "auth.example";
  Asker asker(bench);
  asker.ask();
  CHECK(bench.machines[0]->accept().read().find("Host: auth.example\r\n") != std::string::npos);
}

TEST_CASE("a subrequest sends its body whole, and again when it must") {
  ProxyBench bench;
  Asker asker(bench);
  const std::string body(65'536, 'x');
  CHECK(asker.make().append(body));
  CHECK_FALSE(asker.request->append("y"));
  Asker::name(*asker.request, "PUT");
  asker.request->head().body = lictor::BodyKind::kUnknown;
  asker.request->send(Millis(0));
  {
    Far service = bench.machines[0]->accept();
    CHECK(service.read().find("Content-Length: 65536\r\n") != std::string::npos);
    CHECK(service.read(body) == body);
    service.send(kOk);
    CHECK(asker.wait() == "200 hi");
    // The next one finds the connection, and meets its end.
    asker.make().append("again");
    Asker::name(*asker.request, "PUT");
    asker.request->send(Millis(0));
    service.close();
  }
  Far other = bench.machines[0]->accept();
  other.read("again");
  other.send(kOk);
  CHECK(asker.wait() == "200 hi");
  CHECK(bench.metrics.upstream(0, "s")->retries_stale.get() == 1);
}

TEST_CASE("a stale connection is no reason to send a POST twice") {
  ProxyBench bench;
  Asker asker(bench);
  asker.ask();
  Far service = bench.machines[0]->accept();
  service.read();
  service.send(kOk);
  CHECK(asker.wait() == "200 hi");
  Asker::name(asker.make(), "POST");
  asker.request->send(Millis(0));
  service.close();
  CHECK(asker.wait() == "failed upstream_failed");
}

TEST_CASE("an instance that refuses is tried once, and another after it") {
  ProxyBench bench(2);
  bench.machines[0]->stop();
  Asker asker(bench);
  SUBCASE("which answers") {
    for (int i = 0; i < 2; ++i) {
      asker.ask();
      Far service = bench.machines[1]->accept();
      service.read();
      service.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      CHECK(asker.wait() == "200 ");
    }
    CHECK(count(bench, Outcome::kConnectError) >= 1);
  }
  SUBCASE("or not") {
    bench.machines[1]->stop();
    asker.ask();
    CHECK(asker.wait() == "failed upstream_failed");
    CHECK(count(bench, Outcome::kConnectError) == 2);
  }
}

TEST_CASE("a subrequest without an answer fails in time, and counts against its instance") {
  ProxyBench bench;
  Asker asker(bench);
  asker.ask(Millis(100));
  Far service = bench.machines[0]->accept();
  service.read();
  bench.pass(200);
  CHECK(asker.wait() == "failed upstream_timeout");
  CHECK(service.sees_end());
  CHECK(count(bench, Outcome::kTimeout) == 1);
  CHECK(bench.list->instances[0].state->consecutive_failures == 1);
}

TEST_CASE("a service's failure status counts against it") {
  ProxyBench bench;
  Asker asker(bench);
  asker.ask();
  Far service = bench.machines[0]->accept();
  service.read();
  service.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
  CHECK(asker.wait() == "503 ");
  CHECK(count(bench, Outcome::k5xx) == 1);
  CHECK(bench.list->instances[0].state->consecutive_failures == 1);
  asker.ask();
  service.read();
  service.send(kOk);
  CHECK(asker.wait() == "200 hi");
  CHECK(bench.list->instances[0].state->consecutive_failures == 0);
}

TEST_CASE("an answer's body is kept to 64 KiB, and not waited for beyond") {
  ProxyBench bench;
  Asker asker(bench);
  asker.ask(Millis(0));
  Far service = bench.machines[0]->accept();
  service.read();
  SUBCASE("all of it") {
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + std::string(65'536, 'x'));
    CHECK((asker.wait() == "200 " + std::string(65'536, 'x')));
  }
  SUBCASE("or nothing") {
    service.send("HTTP/1.1 200 OK\r\n\r\n" + std::string(65'537, 'x'));
    CHECK(asker.wait() == "200 (cut)");
    CHECK(service.sees_end());
  }
}

TEST_CASE("a switch that nobody asked for is no answer") {
  ProxyBench bench;
  Asker asker(bench);
  asker.ask();
  Far service = bench.machines[0]->accept();
  service.read();
  service.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
  CHECK(asker.wait() == "failed upstream_failed");
  CHECK(service.sees_end());
}

TEST_CASE("a subrequest that is cancelled leaves nothing behind") {
  ProxyBench bench;
  Asker asker(bench);
  SUBCASE("before it was sent") { asker.make().cancel(); }
  SUBCASE("while connecting") {
    asker.ask();
    asker.request->cancel();
  }
  SUBCASE("while it waits for its answer") {
    asker.ask();
    Far service = bench.machines[0]->accept();
    service.read();
    asker.request->cancel();
    CHECK(service.sees_end());
  }
  SUBCASE("when it has failed already") {
    bench.policy.max_requests = 1;
    bench.publish();
    Asker first(bench);
    first.ask();
    asker.ask();
    asker.request->cancel();
    first.request->cancel();
  }
  bench.turn();
  CHECK(asker.heard.empty());
  CHECK(active(bench) == 0);
  CHECK(bench.list->state->connections == 0);
  CHECK(bench.list->state->requests == 0);
}

TEST_CASE("subrequests keep to the limits of their upstream") {
  ProxyBench bench;
  Asker first(bench);
  Asker second(bench);
  SUBCASE("max_requests") {
    bench.policy.max_requests = 1;
    bench.publish();
    first.ask();
    second.ask();
    CHECK(second.wait() == "failed overloaded");
  }
  SUBCASE("max_pending") {
    bench.policy.max_connections = 1;
    bench.policy.max_pending = 1;
    bench.publish();
    first.ask();
    second.ask();
    Asker third(bench);
    third.ask();
    CHECK(third.wait() == "failed overloaded");
    second.request->cancel();
  }
  SUBCASE("max_connections: who waits has its turn") {
    bench.policy.max_connections = 1;
    bench.publish();
    first.ask();
    second.ask();
    Far service = bench.machines[0]->accept();
    service.read();
    service.send(kOk);
    CHECK(first.wait() == "200 hi");
    service.read();
    service.send(kOk);
    CHECK(second.wait() == "200 hi");
  }
  SUBCASE("or its time ends") {
    bench.policy.max_connections = 1;
    bench.publish();
    first.ask(Millis(0));
    second.ask(Millis(100));
    bench.pass(200);
    CHECK(second.wait() == "failed upstream_timeout");
  }
  bench.context.subrequests.close_all();
  CHECK(bench.list->state->pending == 0);
}

TEST_CASE("subrequests are bounded, those that nobody waits for by a bound of their own") {
  ProxyBench bench;
  Asker asker(bench);
  auto& all = bench.context.subrequests;
  std::vector<Subrequest*> made;
  for (size_t i = 0; i < lictor::Subrequests::kMostUnattended; ++i) {
    made.push_back(all.make(bench.upstream, nullptr));
    REQUIRE(made.back() != nullptr);
  }
  CHECK(all.make(bench.upstream, nullptr) == nullptr);
  CHECK(all.make(bench.upstream, &asker) != nullptr);
  made.back()->cancel();
  CHECK(all.make(bench.upstream, nullptr) != nullptr);
}

TEST_CASE("one without a user goes on when its exchange has ended, and nobody hears of it") {
  ProxyBench bench;
  Asker asker(bench);
  Subrequest* request = bench.context.subrequests.make(bench.upstream, nullptr);
  Asker::name(*request, "POST");
  request->append("copy");
  request->send(Millis(1'000));
  Far service = bench.machines[0]->accept();
  service.read("copy");
  service.send(kOk);
  bench.turn();
  CHECK(count(bench, Outcome::kOk) == 1);
  CHECK(active(bench) == 0);
}
