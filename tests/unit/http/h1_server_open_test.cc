// Not in meson.build: these fail.
#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "http/h1_server.h"
#include "http/h1_server_bench.h"

using lictor::Millis;
using lictor::testing::answer_at_once;
using lictor::testing::kClose;
using lictor::testing::request;
using lictor::testing::response;
using lictor::testing::wait;
using Bench = lictor::testing::ServerBench;

TEST_CASE("a response that is not out yet is not lost by the close after it") {
  Bench bench;
  bench.plan = answer_at_once();
  bench.client.stop_taking();
  bench.ask(request("/", kClose));
  REQUIRE(bench.client.open());
  SUBCASE("when the client is slow") {
    for (int i = 0; i < 10; ++i) bench.loop.pass(1'000);
  }
  SUBCASE("when the client has said all it had to say") { bench.client.eof(); }
  REQUIRE(bench.client.open());
  bench.client.take_all();
  CHECK(bench.client.sent() == response("early", kClose));
}

TEST_CASE("a response that is not out yet is not lost by a drain") {
  Bench bench;
  bench.client.stop_taking();
  bench.ask(request("/"));
  bench.context.drain();
  REQUIRE(bench.client.open());
  bench.client.take_all();
  CHECK(bench.client.sent() == response("/"));
}

TEST_CASE("a response that is not out yet is not lost when the client has said all") {
  Bench bench;
  bench.client.stop_taking();
  bench.ask(request("/"));
  bench.client.eof();
  REQUIRE(bench.client.open());
  bench.client.take_all();
  CHECK(bench.client.sent() == response("/"));
}

TEST_CASE("idle_timeout may be shorter than header_timeout") {
  Bench bench({.header_timeout = Millis(20'000), .idle_timeout = Millis(10'000)});
  bench.plan = wait;
  bench.ask(request("/"));
  bench.visit().answer();
  bench.loop->end_turn();
  bench.loop.pass(9'900);
  CHECK(bench.client.open());
  bench.loop.pass(200);
  CHECK_FALSE(bench.client.open());
}
