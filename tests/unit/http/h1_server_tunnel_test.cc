#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "http/h1_server.h"
#include "http/h1_server_bench.h"

using lictor::BodyKind;
using lictor::Head;
using lictor::testing::request;
using lictor::testing::response;
using lictor::testing::Visit;
using lictor::testing::wait;
using Bench = lictor::testing::ServerBench;

namespace {

constexpr std::string_view kUpgrade = "Connection: upgrade\r\nUpgrade: echo\r\n";

void grant(Visit& visit) {
  Head head = visit.response(101, BodyKind::kNone);
  head.upgrade = "echo";
  visit.stream.send_head(head, false);
}
constexpr std::string_view kGranted =
    "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

}  // namespace

TEST_CASE("after a 101 the bytes are the tunnel's, both ways") {
  Bench bench;
  bench.plan = wait;
  CHECK(bench.ask(request("/", kUpgrade) + "early ").empty());
  CHECK(bench.visit().log.head().upgrade == "echo");
  grant(bench.visit());
  bench.loop->end_turn();
  CHECK(bench.client.sent() == kGranted);
  bench.ask("bytes\r\n\r\n");
  CHECK(bench.visit().log.body() == "early bytes\r\n\r\n");
  bench.visit().stream.send_body("0\r\n\r\nraw", false);
  bench.loop->end_turn();
  CHECK(bench.client.sent() == "0\r\n\r\nraw");
  bench.loop.pass(1'000'000);
  CHECK(bench.client.open());
}

TEST_CASE("a tunnel's directions end one by one") {
  Bench bench;
  bench.plan = wait;
  bench.ask(request("/", kUpgrade));
  grant(bench.visit());
  SUBCASE("the client's first") {
    bench.client.eof();
    CHECK(bench.visit().log.ended());
    CHECK(bench.client.open());
    bench.visit().stream.send_body("last", true);
    bench.loop->end_turn();
    CHECK(bench.client.sent() == std::string(kGranted) + "last");
    CHECK(bench.client.ended());
  }
  SUBCASE("ours first") {
    bench.visit().stream.send_body("last", true);
    bench.loop->end_turn();
    CHECK(bench.client.ended());
    bench.ask("more");
    CHECK(bench.visit().log.body() == "more");
    bench.client.eof();
    CHECK(bench.visit().log.ended());
  }
  bench.visit().release();
  bench.loop.pass(3'000);
  CHECK_FALSE(bench.client.open());
}

TEST_CASE("a tunnel whose user lets go is closed") {
  Bench bench;
  bench.plan = wait;
  bench.ask(request("/", kUpgrade));
  grant(bench.visit());
  bench.visit().release();
  CHECK_FALSE(bench.client.open());
}

TEST_CASE("a granted upgrade inside the request's own event") {
  Bench bench;
  bench.plan = [](Visit& visit) { visit.log.then_head = [&](const auto&, bool) { grant(visit); }; };
  CHECK(bench.ask(request("/", kUpgrade) + "tunnelled") == kGranted);
  CHECK(bench.visit().log.body() == "tunnelled");
}

TEST_CASE("what follows an upgrade that was not granted is the next request") {
  Bench bench;
  CHECK(bench.ask(request("/a", kUpgrade) + request("/b")) == response("/a") + response("/b"));
}
