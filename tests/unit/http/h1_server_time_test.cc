#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "http/h1_server.h"
#include "http/h1_server_bench.h"

using lictor::Millis;
using lictor::testing::answer_at_once;
using lictor::testing::answer_failures;
using lictor::testing::kClose;
using lictor::testing::request;
using lictor::testing::response;
using lictor::testing::wait;
using Bench = lictor::testing::ServerBench;

// --- time ----------------------------------------------------------------------------------------

TEST_CASE("a client that says nothing is closed without a word after header_timeout") {
  Bench bench({.header_timeout = Millis(5'000)});
  bench.ask("");
  bench.loop.pass(4'900);
  CHECK(bench.client.open());
  bench.loop.pass(200);
  CHECK_FALSE(bench.client.open());
  CHECK(bench.client.sent().empty());
  CHECK(bench.visits.empty());
}

TEST_CASE("a head that takes too long is answered so, however it trickles") {
  Bench bench({.header_timeout = Millis(5'000)});
  bench.plan = answer_failures;
  bench.ask("GET / HTTP/1.1\r\n");
  for (int i = 0; i < 49; ++i) {
    bench.loop.pass(100);
    bench.ask("A: b\r\n");
  }
  CHECK(bench.visit().log.heard().empty());
  bench.loop.pass(200);
  CHECK(bench.client.sent().starts_with("HTTP/1.1 408 "));
  CHECK(bench.client.ended());
}

TEST_CASE("the second request's head has header_timeout of its own") {
  Bench bench({.header_timeout = Millis(5'000), .idle_timeout = Millis(60'000)});
  bench.plan = answer_failures;
  bench.ask(request("/"));
  bench.loop.pass(30'000);
  bench.ask("GET / HT");
  bench.loop.pass(4'900);
  CHECK(bench.client.sent().empty());
  bench.loop.pass(200);
  CHECK(bench.client.sent().starts_with("HTTP/1.1 408 "));
}

TEST_CASE("a pipelined head that stays incomplete has header_timeout too") {
  Bench bench({.header_timeout = Millis(5'000)});
  bench.plan = answer_failures;
  CHECK(bench.ask(request("/") + "GET / HT") == response("ok"));
  bench.loop.pass(5'200);
  CHECK(bench.client.sent().starts_with("HTTP/1.1 408 "));
}

TEST_CASE("the time of the head ends with the head") {
  Bench bench({.header_timeout = Millis(5'000), .idle_timeout = Millis(60'000)});
  bench.plan = wait;
  bench.ask("POST / HTTP/1.1\r\n");
  bench.ask("Host: h\r\nContent-Length: 1\r\n\r\n");
  bench.loop.pass(50'000);
  CHECK(bench.client.open());
  bench.ask("a");
  bench.loop.pass(50'000);
  bench.visit().answer();
  bench.loop->end_turn();
  CHECK(bench.client.sent() == response("ok"));
  CHECK(bench.client.open());
}

TEST_CASE("idle connections are closed after idle_timeout") {
  for (const auto header_timeout : {5'000, 20'000, 0}) {
    CAPTURE(header_timeout);
    Bench bench({.header_timeout = Millis(header_timeout), .idle_timeout = Millis(10'000)});
    for (int i = 0; i < 3; ++i) {
      CHECK(bench.ask(request("/")) == response("/"));
      bench.loop.pass(6'000);
      bench.loop.pass(3'800);
      REQUIRE(bench.client.open());
    }
    bench.loop.pass(300);
    CHECK_FALSE(bench.client.open());
    CHECK_FALSE(bench.client.aborted());
  }
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

TEST_CASE("idle time counts from the end of the response") {
  Bench bench({.idle_timeout = Millis(10'000)});
  bench.plan = wait;
  bench.ask(request("/"));
  for (int i = 0; i < 10; ++i) bench.loop.pass(9'000);
  bench.visit().answer();
  bench.loop->end_turn();
  bench.loop.pass(9'900);
  CHECK(bench.client.open());
  for (int i = 0; i < 3; ++i) bench.loop.pass(100);
  CHECK_FALSE(bench.client.open());
}

TEST_CASE("no timeouts, no ends") {
  Bench bench({.header_timeout = Millis(0), .idle_timeout = Millis(0)});
  bench.ask("");
  bench.loop.pass(1'000'000);
  bench.ask("GET / HTTP/1.1\r\n");
  bench.loop.pass(1'000'000);
  CHECK(bench.ask("Host: h\r\n\r\n") == response("/"));
  bench.loop.pass(1'000'000);
  CHECK(bench.client.open());
}

// --- drain ---------------------------------------------------------------------------------------

TEST_CASE("drain closes idle connections at once") {
  Bench bench;
  bench.ask(request("/"));
  bench.context.drain();
  CHECK_FALSE(bench.client.open());
  CHECK(bench.context.connections() == 0);
}

TEST_CASE("drain ends busy connections after their response, and says so") {
  Bench bench;
  bench.plan = wait;
  bench.ask(request("/") + request("/next"));
  bench.context.drain();
  CHECK(bench.client.open());
  bench.visit().answer();
  bench.loop->end_turn();
  CHECK(bench.client.sent() == response("ok", kClose));
  CHECK(bench.visits.size() == 1);
  bench.loop.pass(3'000);
  CHECK_FALSE(bench.client.open());
}

TEST_CASE("drain lets a half-read request come to its end") {
  Bench bench;
  bench.ask("GET / HTTP/1.1\r\n");
  bench.context.drain();
  CHECK(bench.ask("Host: h\r\n\r\n") == response("/", kClose));
  CHECK_FALSE(bench.client.open());
}

TEST_CASE("drain after the response began ends the connection with it") {
  Bench bench;
  bench.plan = wait;
  bench.ask(request("/"));
  bench.visit().send_head(200);
  bench.context.drain();
  bench.visit().stream.send_body("x", true);
  bench.visit().release();
  bench.loop->end_turn();
  CHECK(bench.client.sent().ends_with("1\r\nx\r\n0\r\n\r\n"));
  bench.loop.pass(3'000);
  CHECK_FALSE(bench.client.open());
}

// --- responses that are not out yet
// ----------------------------------------------------------------

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
