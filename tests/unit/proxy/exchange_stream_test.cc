#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "proxy/exchange.h"
#include "proxy/proxy_bench.h"

using lictor::Millis;
using lictor::testing::Far;
using lictor::testing::get;
using lictor::testing::kOk;
using lictor::testing::ProxyBench;
using lictor::testing::turn_until;

namespace {

constexpr std::string_view kUpgrade = "Connection: Upgrade\r\nUpgrade: echo\r\n";
constexpr std::string_view kGrant =
    "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: echo\r\nSec: x\r\n\r\n";

// Bytes from the service, as many as the sockets take; how many that were.
size_t pour(ProxyBench& bench, Far& service, size_t most) {
  const std::string piece(100'000, 'x');
  size_t poured = 0;
  for (int idle = 0; idle < 50 && poured < most;) {
    const ssize_t size =
        ::send(service.socket().fd(), piece.data(), piece.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    idle = size > 0 ? 0 : idle + 1;
    poured += size > 0 ? static_cast<size_t>(size) : 0;
    bench.turn();
  }
  return poured;
}

}  // namespace

// --- back-pressure -------------------------------------------------------------------------------

TEST_CASE("a client that does not read stops its service, in bounded memory") {
  ProxyBench bench;
  bench.ask(get());
  Far service = bench.machines[0]->accept();
  service.read();
  bench.client.stop_taking();
  service.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
  CHECK(pour(bench, service, 60'000'000) < 50'000'000);  // the kernel's buffers
  CHECK(bench.client.queued() < 200'000);
  // It goes on when the client reads.
  const size_t before = bench.client.queued();
  bench.client.take_all();
  turn_until(bench.loop, [&] { return bench.client.sent().size() > 1'000'000 + before; });
  CHECK(pour(bench, service, 1'000'000) >= 1'000'000);
}

TEST_CASE("a service that does not read stops its client, in bounded memory") {
  ProxyBench bench;
  bench.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n");
  Far service = bench.machines[0]->accept();
  service.read();
  const std::string piece(65'536, 'x');
  size_t taken = 0;
  for (; taken < 100'000'000 && bench.client.held() == 0; taken += piece.size()) {
    bench.client.receive(piece);
    bench.turn();
  }
  CHECK(bench.client.held() > 0);
  CHECK_FALSE(bench.client.reading());
  CHECK(turn_until(bench.loop, [&] {
    service.socket().receive_now();
    bench.client.deliver();
    return bench.client.held() == 0;
  }));
}

TEST_CASE("a body waits for the connection, in bounded memory") {
  ProxyBench bench;
  bench.publish();
  bench.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
  // Not one turn yet: the connection can't be there.
  for (int i = 0; i < 10; ++i) bench.client.receive(std::string(100'000, 'x'));
  CHECK_FALSE(bench.client.reading());
  CHECK(bench.client.held() > 800'000);
  Far service = bench.machines[0]->accept();
  size_t got = service.read().size();
  CHECK(turn_until(bench.loop, [&] {
    const std::string more = service.socket().receive_now();
    if (!more.starts_with('(')) got += more.size();
    bench.client.deliver();
    return got >= 1'000'000;
  }));
}

// --- tunnels -------------------------------------------------------------------------------------

TEST_CASE("an upgrade becomes a tunnel") {
  ProxyBench bench;
  bench.ask(get("/ws", kUpgrade));
  Far service = bench.machines[0]->accept();
  CHECK(service.read().find("\r\nConnection: Upgrade\r\nUpgrade: echo\r\n") != std::string::npos);
  service.send(std::string(kGrant) + "welcome");
  const std::string got = bench.answer("welcome");
  CHECK(got.starts_with("HTTP/1.1 101 Go\r\nSec: x\r\n"));
  CHECK(got.find("\r\nConnection: Upgrade\r\nUpgrade: echo\r\n") != std::string::npos);
  bench.ask("hello");
  CHECK(service.read("hello") == "hello");
  service.send("GET / HTTP/1.1\r\n\r\n");
  CHECK(bench.answer() == "GET / HTTP/1.1\r\n\r\n");
  for (int i = 0; i < 10; ++i) bench.pass(1'000'000);
  CHECK(bench.client.open());
  SUBCASE("that the service ends") {
    service.end();
    CHECK(turn_until(bench.loop, [&] { return bench.client.ended(); }));
    bench.ask("still");
    CHECK(service.read("still") == "still");
    bench.client.eof();
    CHECK(service.sees_end());
  }
  SUBCASE("that the client ends") {
    bench.client.eof();
    CHECK(service.sees_end());
    service.send("still");
    bench.answer("still");
    service.close();
    CHECK(turn_until(bench.loop, [&] { return bench.client.ended(); }));
  }
  SUBCASE("that breaks at the client") {
    bench.client.fail();
    CHECK(service.sees_end());
  }
  SUBCASE("that breaks at the service") {
    service.reset();
    CHECK(bench.client_cut_off());
  }
  bench.pass(100'000);
  CHECK(bench.metrics.instance(0, "s", "i0")->active.get() == 0);
}

TEST_CASE("a tunnel closed on one side does not stay half for ever") {
  for (const bool by_client : {true, false}) {
    ProxyBench bench;
    bench.settings.body_timeout = Millis(5'000);
    bench.ask(get("/ws", kUpgrade));
    Far service = bench.machines[0]->accept();
    service.read();
    service.send(kGrant);
    bench.answer();
    by_client ? bench.client.eof() : service.end();
    bench.turn();
    for (int i = 0; i < 4; ++i) bench.pass(4'000);
    CHECK_FALSE(bench.client.open());
    CHECK(service.sees_end());
  }
}

TEST_CASE("an upgrade that the service does not grant is an ordinary request") {
  ProxyBench bench;
  bench.ask(get("/ws", kUpgrade) + get("/next"));
  Far service = bench.machines[0]->accept();
  service.read();
  service.send(kOk);
  bench.answer("hi");
  CHECK(service.read().starts_with("GET /next "));
}

TEST_CASE("a 101 to something else than was asked for is 502") {
  for (const auto* grant :
       {"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", "HTTP/1.1 101 Go\r\n\r\n",
        "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo, x\r\n\r\n"}) {
    ProxyBench bench;
    bench.ask(get("/ws", kUpgrade));
    Far service = bench.machines[0]->accept();
    service.read();
    service.send(grant);
    CHECK(bench.answer("}\n").starts_with("HTTP/1.1 502 "));
    CHECK(service.sees_end());
  }
}

TEST_CASE("a 101 before the whole request came is 502") {
  ProxyBench bench;
  bench.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n" + std::string(kUpgrade) +
            "\r\nhel");
  Far service = bench.machines[0]->accept();
  service.read("hel");
  service.send(kGrant);
  CHECK(bench.answer("}\n").starts_with("HTTP/1.1 502 "));
}

TEST_CASE("a slow side of a tunnel stops the other") {
  ProxyBench bench;
  bench.ask(get("/ws", kUpgrade));
  Far service = bench.machines[0]->accept();
  service.read();
  service.send(kGrant);
  bench.answer();
  bench.client.stop_taking();
  CHECK(pour(bench, service, 60'000'000) < 50'000'000);
  CHECK(bench.client.queued() < 200'000);
  bench.client.take_all();
  CHECK(pour(bench, service, 1'000'000) >= 1'000'000);
}

// --- the instances change ------------------------------------------------------------------------

TEST_CASE("an instance that goes keeps its request and loses its idle connections") {
  ProxyBench bench(1);
  bench.ask(get("/1"));
  Far busy = bench.machines[0]->accept();
  busy.read();
  auto gone = std::move(bench.machines[0]);
  bench.machines.clear();
  bench.publish_instances();
  busy.send(kOk);
  CHECK(bench.answer("hi").starts_with("HTTP/1.1 200 "));
  CHECK(busy.sees_end());
  bench.ask(get("/2"));
  CHECK(bench.answer("}\n").starts_with("HTTP/1.1 503 "));
}

TEST_CASE("an instance that stays keeps its idle connections") {
  ProxyBench bench(1);
  bench.ask(get("/1"));
  Far service = bench.machines[0]->accept();
  service.read();
  service.send(kOk);
  bench.answer("hi");
  bench.weight = 5;
  bench.publish_instances();
  bench.ask(get("/2"));
  CHECK(service.read().starts_with("GET /2 "));
}

TEST_CASE("idle connections of an instance that goes are closed at once") {
  ProxyBench bench(1);
  bench.ask(get("/1"));
  Far service = bench.machines[0]->accept();
  service.read();
  service.send(kOk);
  bench.answer("hi");
  bench.machines.clear();
  bench.publish_instances();
  bench.turn();
  CHECK(service.sees_end());
}
