#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "proxy/exchange.h"
#include "proxy/proxy_bench.h"

using lictor::Millis;
using lictor::Outcome;
using lictor::testing::Far;
using lictor::testing::get;
using lictor::testing::kOk;
using lictor::testing::ProxyBench;

namespace {

constexpr std::string_view kSlowUpload =
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello";

uint64_t timeouts(ProxyBench& bench) {
  return bench.metrics.instance(0, "s", "i0")
      ->outcomes[static_cast<size_t>(Outcome::kTimeout)]
      .get();
}

}  // namespace

TEST_CASE("a response that does not come within the route's timeout is 504") {
  ProxyBench bench;
  bench.route.timeout = Millis(5'000);
  bench.ask(get());
  Far service = bench.machines[0]->accept();
  service.read();
  bench.pass(4'900);
  CHECK(bench.client.sent().empty());
  bench.pass(200);
  CHECK(bench.answer("}\n").starts_with("HTTP/1.1 504 "));
  CHECK(service.sees_end());
  CHECK(timeouts(bench) == 1);
  CHECK(bench.list->instances[0].state->consecutive_failures == 1);
  CHECK(bench.client.open());
}

TEST_CASE("the route's timeout counts all tries together") {
  ProxyBench bench;
  bench.route.timeout = Millis(5'000);
  bench.route.retries.per_try_timeout = Millis(3'000);
  bench.route.retries.on_timeout = true;
  bench.route.retries.attempts = 5;
  bench.ask(get());
  bench.machines[0]->accept().read();
  bench.pass(3'100);
  Far second = bench.machines[0]->accept();
  second.read();
  bench.pass(2'000);
  CHECK(bench.answer("}\n").starts_with("HTTP/1.1 504 "));
}

TEST_CASE("a response that is not complete within the route's timeout is cut off") {
  ProxyBench bench;
  bench.route.timeout = Millis(5'000);
  bench.ask(get());
  Far service = bench.machines[0]->accept();
  service.read();
  service.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
  bench.answer("hello");
  bench.pass(5'100);
  CHECK(bench.client_cut_off());
  CHECK(bench.client.aborted());
  CHECK(service.sees_end());
}

TEST_CASE("no timeout, no end") {
  ProxyBench bench;
  bench.route.timeout = Millis(0);
  bench.ask(get());
  Far service = bench.machines[0]->accept();
  service.read();
  for (int i = 0; i < 10; ++i) bench.pass(100'000);
  service.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
  bench.answer("a\r\n");
  for (int i = 0; i < 10; ++i) bench.pass(100'000);
  service.send("1\r\nb\r\n");
  bench.answer("b\r\n");
  CHECK(bench.client.open());
}

TEST_CASE("a client that does not send its body in time is 408, and the service not to blame") {
  ProxyBench bench;
  SUBCASE("within the route's timeout") {
    bench.route.timeout = Millis(5'000);
    bench.settings.body_timeout = Millis(0);
  }
  SUBCASE("within body_timeout of its last byte") {
    bench.route.timeout = Millis(0);
    bench.settings.body_timeout = Millis(5'000);
  }
  bench.ask(kSlowUpload);
  Far service = bench.machines[0]->accept();
  service.read("hello");
  bench.pass(4'900);
  CHECK(bench.client.sent().empty());
  bench.pass(300);
  CHECK(bench.answer("}\n").starts_with("HTTP/1.1 408 "));
  CHECK(service.sees_end());
  CHECK(timeouts(bench) == 0);
  CHECK(bench.list->instances[0].state->consecutive_failures == 0);
}

TEST_CASE("a body that trickles does not stall") {
  ProxyBench bench;
  bench.route.timeout = Millis(0);
  bench.settings.body_timeout = Millis(5'000);
  bench.ask(kSlowUpload);
  Far service = bench.machines[0]->accept();
  service.read("hello");
  for (const char* byte : {"w", "o", "r", "l", "d"}) {
    bench.pass(4'000);
    bench.ask(byte);
    bench.turn();
  }
  CHECK(service.read("world") == "world");
  service.send(kOk);
  CHECK(bench.answer("hi").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("a response that stalls is cut off after body_timeout") {
  ProxyBench bench;
  bench.route.timeout = Millis(100'000);
  bench.settings.body_timeout = Millis(5'000);
  bench.ask(get());
  Far service = bench.machines[0]->accept();
  service.read();
  service.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
  bench.answer("hello");
  for (int i = 0; i < 3; ++i) {
    bench.pass(4'000);
    service.send("more");
    bench.answer("more");
  }
  bench.pass(4'000);
  CHECK(bench.client.open());
  bench.pass(1'200);
  CHECK(bench.client_cut_off());
  CHECK(timeouts(bench) == 1);
}

TEST_CASE("a response whose body never begins stalls, too") {
  ProxyBench bench;
  bench.route.timeout = Millis(100'000);
  bench.settings.body_timeout = Millis(5'000);
  bench.ask(get());
  Far service = bench.machines[0]->accept();
  service.read();
  service.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
  bench.answer("\r\n\r\n");
  bench.pass(4'900);
  CHECK(bench.client.open());
  bench.pass(300);
  CHECK(bench.client_cut_off());
  CHECK(timeouts(bench) == 1);
}

TEST_CASE("a service that takes its time to answer does not stall") {
  ProxyBench bench;
  bench.route.timeout = Millis(100'000);
  bench.settings.body_timeout = Millis(5'000);
  bench.ask(kSlowUpload);
  Far service = bench.machines[0]->accept();
  service.read("hello");
  bench.ask("world");
  service.read("world");
  for (int i = 0; i < 9; ++i) bench.pass(10'000);
  service.send(kOk);
  CHECK(bench.answer("hi").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("a client that stops reading is cut off after body_timeout, the service not to blame") {
  ProxyBench bench;
  bench.route.timeout = Millis(0);
  bench.settings.body_timeout = Millis(5'000);
  bench.client.stop_taking();
  bench.ask(get());
  Far service = bench.machines[0]->accept();
  service.read();
  service.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + std::string(90'000, 'x'));
  bench.turn();
  for (int i = 0; i < 4 && bench.client.open(); ++i) bench.pass(3'000);
  CHECK_FALSE(bench.client.open());
  CHECK(timeouts(bench) == 0);
  CHECK(bench.list->instances[0].state->consecutive_failures == 0);
}

TEST_CASE("a connection that does not come within connect_timeout is 504") {
  // A listener whose queue is full answers nothing.
  ProxyBench bench;
  bench.route.retries.attempts = 0;
  bench.policy.connect_timeout = Millis(1'000);
  bench.machines.clear();
  auto& full = *bench.machines.emplace_back(
      std::make_unique<lictor::testing::Machine>(bench.loop, /*backlog=*/0));
  std::vector<lictor::testing::RawSocket> queue;
  for (int i = 0; i < 4; ++i) queue.push_back(full.fill());
  bench.ask(get());
  bench.turn();
  bench.pass(1'100);
  const std::string got = bench.answer("}\n");
  CHECK(got.starts_with("HTTP/1.1 504 "));
  CHECK(got.find("error=connection_timeout") != std::string::npos);
}

TEST_CASE("idle connections to the service are closed after idle_timeout") {
  ProxyBench bench;
  bench.policy.idle_timeout = Millis(10'000);
  bench.ask(get());
  Far service = bench.machines[0]->accept();
  service.read();
  service.send(kOk);
  bench.answer("hi");
  bench.pass(9'900);
  bench.turn();
  CHECK(service.socket().receive_now() == "(nothing)");
  bench.pass(200);
  CHECK(service.sees_end());
}
