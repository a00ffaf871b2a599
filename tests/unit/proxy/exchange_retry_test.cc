#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "proxy/exchange.h"
#include "proxy/proxy_bench.h"

using lictor::make_local;
using lictor::Millis;
using lictor::testing::FakeTransport;
using lictor::testing::Far;
using lictor::testing::get;
using lictor::testing::kOk;
using lictor::testing::Machine;
using lictor::testing::ProxyBench;
using lictor::testing::send_with;
using lictor::testing::turn_until;

namespace {

// The machine that was asked, and its connection.
struct Asked {
  Machine* machine;
  Far far;
};
Asked asked(ProxyBench& bench) {
  for (int rounds = 0; rounds < 1'000; ++rounds) {
    bench.turn();
    for (const auto& machine : bench.machines) {
      const int fd = ::accept4(machine->fd(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) return {machine.get(), Far(bench.loop, fd)};
    }
  }
  FAIL("no machine was asked");
  return {nullptr, Far(bench.loop, -1)};
}

size_t visitors(ProxyBench& bench) {
  bench.turn();
  size_t count = 0;
  for (const auto& machine : bench.machines) count += machine->has_visitor() ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("a refused connection is tried on another instance") {
  ProxyBench bench(2);
  bench.publish();
  bench.machines[0]->stop();
  // Whichever is first in turn, both requests arrive.
  for (int i = 0; i < 2; ++i) {
    bench.ask(send_with("POST", "body"));
    Far service = asked(bench).far;
    CHECK(service.read("body").ends_with("\r\n\r\nbody"));
    service.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
    CHECK(bench.answer("hi").starts_with("HTTP/1.1 200 "));
  }
}

TEST_CASE("a connection that nobody takes is 502 after as many tries as the route allows") {
  for (const uint32_t attempts : {0, 1, 3}) {
    ProxyBench bench(3);
    bench.route.retries.attempts = attempts;
    bench.publish();
    for (const auto& machine : bench.machines) machine->stop();
    bench.ask(get());
    const std::string got = bench.answer("}\n");
    CHECK(got.starts_with("HTTP/1.1 502 "));
    CHECK(got.find("error=connection_refused") != std::string::npos);
    CHECK(bench.metrics.upstream(0, "s")->retries_connect.get() == attempts);
  }
}

TEST_CASE("no retry of connections when the route does not want it") {
  ProxyBench bench(2);
  bench.route.retries.on_connect = false;
  bench.publish();
  for (const auto& machine : bench.machines) machine->stop();
  bench.ask(get());
  CHECK(bench.answer("}\n").starts_with("HTTP/1.1 502 "));
  CHECK(bench.metrics.upstream(0, "s")->retries_connect.get() == 0);
}

TEST_CASE("a reset is retried only where the route says so and the method allows") {
  struct Case {
    bool on_reset;
    const char* method;
    bool retried;
  };
  for (const auto& [on_reset, method, retried] :
       {Case{true, "GET", true}, Case{true, "PUT", true}, Case{true, "POST", false},
        Case{true, "PATCH", false}, Case{false, "GET", false}}) {
    CAPTURE(method);
    ProxyBench bench(2);
    bench.route.retries.on_reset = on_reset;
    bench.ask(send_with(method, "body"));
    Asked first = asked(bench);
    first.far.read("body");
    first.far.reset();
    if (!retried) {
      CHECK(bench.answer("}\n").starts_with("HTTP/1.1 502 "));
      CHECK(visitors(bench) == 0);
      continue;
    }
    Asked second = asked(bench);
    CHECK(second.machine != first.machine);
    CHECK(second.far.read("body").ends_with("\r\n\r\nbody"));
    second.far.send(kOk);
    CHECK(bench.answer("hi").starts_with("HTTP/1.1 200 "));
    CHECK(bench.metrics.upstream(0, "s")->retries_reset.get() == 1);
  }
}

TEST_CASE("a request that was never sent is retried whatever its method") {
  ProxyBench bench(2);
  bench.publish();
  bench.machines[0]->stop();
  bench.machines[1]->stop();
  bench.add_machine();
  bench.route.retries.attempts = 3;
  bench.publish();
  bench.ask(send_with("POST", "body"));
  Asked last = asked(bench);
  CHECK(last.far.read("body").ends_with("\r\n\r\nbody"));
}

TEST_CASE("statuses are retried where the route lists them") {
  ProxyBench bench(2);
  bench.route.retries.on_status = {503, 429};
  bench.route.retries.attempts = 1;
  SUBCASE("and the second answer counts") {
    bench.ask(get());
    Asked first = asked(bench);
    first.far.read();
    first.far.send("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno");
    Asked second = asked(bench);
    CHECK(second.machine != first.machine);
    second.far.read();
    second.far.send(kOk);
    CHECK(bench.answer("hi").starts_with("HTTP/1.1 200 "));
  }
  SUBCASE("the last answer goes to the client") {
    bench.ask(get());
    for (int i = 0; i < 2; ++i) {
      Far far = asked(bench).far;
      far.read();
      far.send("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno");
    }
    CHECK(bench.answer("no").starts_with("HTTP/1.1 503 "));
  }
  SUBCASE("other statuses are answers") {
    bench.ask(get());
    Far far = asked(bench).far;
    far.read();
    far.send("HTTP/1.1 502 No\r\nContent-Length: 2\r\n\r\nno");
    CHECK(bench.answer("no").starts_with("HTTP/1.1 502 "));
    CHECK(visitors(bench) == 0);
  }
  SUBCASE("POST is not sent twice") {
    bench.ask(send_with("POST", "x"));
    Far far = asked(bench).far;
    far.read("\r\n\r\nx");
    far.send("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno");
    CHECK(bench.answer("no").starts_with("HTTP/1.1 503 "));
  }
}

TEST_CASE("a body is sent again only when all of it is still here") {
  for (const size_t size : {60'000, 65'536, 65'537, 200'000}) {
    CAPTURE(size);
    ProxyBench bench(2);
    bench.route.retries.on_reset = true;
    const std::string body = std::string(size - 3, 'x') + "end";
    bench.ask(send_with("PUT", body));
    Asked first = asked(bench);
    turn_until(bench.loop, [&] {
      bench.client.deliver();
      return bench.client.held() == 0;
    });
    first.far.read("end");
    first.far.reset();
    if (size > 65'536) {
      CHECK(bench.answer("}\n").starts_with("HTTP/1.1 502 "));
      CHECK(visitors(bench) == 0);
    } else {
      Asked second = asked(bench);
      CHECK(second.far.read("end").ends_with("\r\n\r\n" + body));
      second.far.send(kOk);
      bench.answer("hi");
    }
  }
}

TEST_CASE("a body that is still coming goes on to the second instance") {
  ProxyBench bench(2);
  bench.route.retries.on_reset = true;
  bench.ask("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  Asked first = asked(bench);
  first.far.read("abc\r\n");
  first.far.reset();
  Asked second = asked(bench);
  second.far.read("abc\r\n");
  bench.ask("3\r\ndef\r\n0\r\nT: x\r\n\r\n");
  CHECK(second.far.read("x\r\n\r\n") == "3\r\ndef\r\n0\r\nT: x\r\n\r\n");
}

TEST_CASE("per_try_timeout moves a request to another instance, and is 504 at the end") {
  ProxyBench bench(2);
  bench.route.retries.per_try_timeout = Millis(100);
  bench.route.retries.on_timeout = true;
  bench.ask(get());
  Asked first = asked(bench);
  first.far.read();
  bench.pass(120);
  Asked second = asked(bench);
  CHECK(second.machine != first.machine);
  CHECK(first.far.sees_end());
  second.far.read();
  SUBCASE("when the second is quick") {
    second.far.send(kOk);
    CHECK(bench.answer("hi").starts_with("HTTP/1.1 200 "));
    bench.pass(500);
    CHECK(bench.client.open());
  }
  SUBCASE("when it is not") {
    bench.pass(120);
    CHECK(bench.answer("}\n").starts_with("HTTP/1.1 504 "));
  }
}

// --- connections that the service had just closed ------------------------------------------------

namespace {

// A pooled connection that the service closes in the moment in which a request is sent on it.
void meet_stale(ProxyBench& bench, std::string_view request) {
  bench.ask(get("/first"));
  Far service = asked(bench).far;
  service.read();
  service.send(kOk);
  bench.answer("hi");
  bench.turn();
  service.close();
  bench.ask(request);
}

}  // namespace

TEST_CASE("a request that meets a stale connection is replayed, beyond the route's tries") {
  ProxyBench bench;
  bench.route.retries.attempts = 0;
  meet_stale(bench, get("/second"));
  Far service = asked(bench).far;
  CHECK(service.read().starts_with("GET /second "));
  service.send(kOk);
  CHECK(bench.answer("hi").starts_with("HTTP/1.1 200 "));
  CHECK(bench.metrics.upstream(0, "s")->retries_stale.get() == 1);
}

TEST_CASE("a request with a body that meets a stale connection is replayed with it") {
  ProxyBench bench;
  bench.route.retries.attempts = 0;
  meet_stale(bench, send_with("PUT", "body"));
  CHECK(asked(bench).far.read("body").ends_with("\r\n\r\nbody"));
}

TEST_CASE("a POST that meets a stale connection is not sent twice") {
  ProxyBench bench;
  meet_stale(bench, send_with("POST", "x"));
  CHECK(bench.answer("}\n").starts_with("HTTP/1.1 502 "));
  CHECK(visitors(bench) == 0);
}

TEST_CASE("a stale connection is no failure of its instance") {
  ProxyBench bench;
  bench.policy.ejection.consecutive_failures = 1;
  bench.add_machine();
  meet_stale(bench, get("/second"));
  asked(bench);
  for (const auto& instance : bench.list->instances) {
    CHECK(instance.state->consecutive_failures == 0);
  }
}

// --- ejection ------------------------------------------------------------------------------------

TEST_CASE("an instance that fails in a row is left out, and comes back") {
  ProxyBench bench(2);
  bench.policy.ejection.consecutive_failures = 3;
  bench.policy.ejection.base_time = Millis(10'000);
  bench.publish();
  const auto round = [&] {
    bench.ask(get());
    Asked who = asked(bench);
    who.far.read();
    const bool bad = who.machine == bench.machines[0].get();
    who.far.send(std::string("HTTP/1.1 ") + (bad ? "500" : "200") +
                 " X\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
    bench.answer("hi");
    bench.turn();
    return bad;
  };
  int failures = 0;
  for (int i = 0; i < 20; ++i) failures += round() ? 1 : 0;
  CHECK(failures == 3);
  bench.pass(11'000);
  failures = 0;
  for (int i = 0; i < 20; ++i) failures += round() ? 1 : 0;
  CHECK(failures == 3);
}

TEST_CASE("an instance that breaks off its responses is left out, however well they begin") {
  ProxyBench bench(2);
  bench.policy.ejection.consecutive_failures = 3;
  bench.publish();
  int broken = 0;
  for (int i = 0; i < 20; ++i) {
    FakeTransport& client = bench.ask_too(get());
    Asked who = asked(bench);
    who.far.read();
    const bool bad = who.machine == bench.machines[0].get();
    broken += bad ? 1 : 0;
    who.far.send("HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: 4\r\n\r\nhi");
    if (!bad) who.far.send("ya");
    who.far.close();
    REQUIRE(
        turn_until(bench.loop, [&] { return !client.open() || client.sent().ends_with("hiya"); }));
    bench.turn();
  }
  CHECK(broken == 3);
}

TEST_CASE("refused connections eject, too, without a request being lost") {
  ProxyBench bench(2);
  bench.policy.ejection.consecutive_failures = 2;
  bench.publish();
  bench.machines[0]->stop();
  for (int i = 0; i < 10; ++i) {
    bench.ask(get());
    Far far = asked(bench).far;
    far.read();
    far.send("HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
    CHECK(bench.answer("hi").starts_with("HTTP/1.1 200 "));
    bench.turn();
  }
  CHECK(bench.list->instances[0].state->ejected() != bench.list->instances[1].state->ejected());
  CHECK(bench.metrics.upstream(0, "s")->retries_connect.get() == 2);
}
TEST_CASE("a replay does not use up the route's tries") {
  ProxyBench bench(1);
  bench.route.retries.attempts = 1;
  bench.route.retries.on_reset = true;
  meet_stale(bench, get("/second"));
  Far replay = asked(bench).far;
  replay.read();
  replay.reset();
  Far retry = asked(bench).far;
  retry.read();
  retry.send(kOk);
  CHECK(bench.answer("hi").starts_with("HTTP/1.1 200 "));
}

// --- limits --------------------------------------------------------------------------------------

TEST_CASE("a request waits for a connection, and is served when one is free") {
  ProxyBench bench;
  bench.policy.max_connections = 1;
  bench.ask(get("/first"));
  Far service = asked(bench).far;
  service.read();
  FakeTransport& other = bench.ask_too(send_with("POST", "body"));
  bench.turn();
  CHECK(other.sent().empty());
  SUBCASE("in time") {
    bench.pass(500);
    service.send(kOk);
    bench.answer("hi");
    CHECK(service.read("body").starts_with("POST / "));
    // Its time for waiting is over and done with.
    bench.pass(10'000);
    service.send(kOk);
    bench.turn();
    CHECK(other.sent().starts_with("HTTP/1.1 200 "));
  }
  SUBCASE("not in time") {
    bench.pass(1'100);
    const std::string got = other.sent();
    CHECK(got.starts_with("HTTP/1.1 503 "));
    CHECK(got.find("\"overloaded\"") != std::string::npos);
    service.send(kOk);
    CHECK(bench.answer("hi").starts_with("HTTP/1.1 200 "));
  }
  SUBCASE("when the first connection breaks") {
    service.reset();
    CHECK(bench.answer("}\n").starts_with("HTTP/1.1 502 "));
    Far next = asked(bench).far;
    CHECK(next.read("body").starts_with("POST / "));
  }
  CHECK(bench.list->state->pending == 0);
}

TEST_CASE("beyond max_requests and max_pending the answer is 503 overloaded at once") {
  ProxyBench bench;
  bench.policy.max_requests = 1;
  bench.ask(get("/first"));
  Far service = asked(bench).far;
  service.read();
  FakeTransport* waiting = nullptr;
  SUBCASE("requests") {}
  SUBCASE("waiting") {
    bench.policy.max_requests = 0;
    bench.policy.max_connections = 1;
    bench.policy.max_pending = 1;
    bench.publish();
    waiting = &bench.ask_too(get("/waits"));
  }
  FakeTransport& other = bench.ask_too(get("/second"));
  CHECK(other.sent().find("\"overloaded\"") != std::string::npos);
  if (waiting != nullptr) waiting->eof();
  service.send(kOk);
  bench.answer("hi");
  bench.turn();
  other.receive(get("/third"));
  CHECK(service.read().starts_with("GET /third "));
}

TEST_CASE("failover takes over when the service has no usable instance") {
  ProxyBench bench;
  bench.machines.clear();
  auto second = make_local<lictor::LocalUpstream>(*bench.loop, bench.metrics, 0, "t");
  lictor::testing::Machine machine(bench.loop);
  lictor::Instance instance;
  instance.id = "t0";
  instance.socket_address = machine.address();
  second->set_instances(lictor::make_instance_list({instance}, nullptr));
  second->set_policy(std::make_shared<lictor::Upstream>());
  lictor::Destination failover;
  failover.service = "t";
  failover.upstream = 1;
  bench.route.backends[0].failover = {failover};
  bench.publish();
  bench.context.pin->upstreams.push_back(second);
  bench.ask(get());
  Far service = machine.accept();
  service.read();
  service.send(kOk);
  CHECK(bench.answer("hi").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("a sticky cookie is given to who has none, and leads back to the same instance") {
  ProxyBench bench(4);
  bench.policy.balance = lictor::Balance::kRingHash;
  bench.policy.hash_on = {lictor::HashOn::Kind::kCookie, "lb", true};
  std::string cookie;
  Machine* home = nullptr;
  for (int i = 0; i < 6; ++i) {
    bench.ask(get("/", cookie.empty() ? "" : "Cookie: " + cookie + "\r\n"));
    Asked who = asked(bench);
    if (home == nullptr) home = who.machine;
    CHECK(who.machine == home);
    who.far.read();
    who.far.send("HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
    const std::string got = bench.answer("hi");
    const size_t at = got.find("Set-Cookie: lb=");
    CHECK((at == std::string::npos) == !cookie.empty());
    if (cookie.empty()) cookie = got.substr(at + 12, got.find(';', at) - at - 12);
    bench.turn();
  }
}
