#include "http/h1_client.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "http/h1_client_bench.h"

using lictor::BodyKind;
using lictor::Failure;
using lictor::Fields;
using lictor::Millis;
using lictor::testing::kOk;
using Bench = lictor::testing::ClientBench;
using namespace std::string_literals;

// --- connecting ----------------------------------------------------------------------------------

TEST_CASE("a request may be sent while the connection is being made") {
  Bench bench;
  bench.start();
  bench.send("POST", BodyKind::kLength, 2);
  CHECK_FALSE(bench.client->ready());
  bench.server.connected();
  CHECK(bench.client->ready());
  CHECK(bench.log.heard() == "drain");
  bench.client->send_body("ab", true);
  bench.loop->end_turn();
  CHECK(bench.server.sent() == "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab");
}

TEST_CASE("a refused connection was certainly not sent anything") {
  Bench bench;
  bench.start();
  bench.send();
  bench.server.fail("refused");
  CHECK(bench.log.error().failure == Failure::kConnectRefused);
  CHECK_FALSE(bench.log.error().possibly_sent);
  CHECK(bench.closed == 1);
  CHECK_FALSE(bench.server.open());
}

TEST_CASE("a connection that does not come is given up") {
  Bench bench;
  bench.start(Millis(1'000));
  bench.send();
  bench.loop.pass(950);
  CHECK(bench.closed == 0);
  bench.loop.pass(100);
  CHECK(bench.log.error().failure == Failure::kConnectTimeout);
  CHECK_FALSE(bench.log.error().possibly_sent);
  CHECK(bench.closed == 1);
}

TEST_CASE("the time for connecting ends with the connection") {
  Bench bench;
  bench.ask();
  bench.loop.pass(10'000);
  CHECK(bench.answer(kOk) == "200 | body | end");
}

// --- one request after the other -----------------------------------------------------------------

TEST_CASE("a connection carries requests one after the other") {
  Bench bench;
  for (int i = 1; i <= 3; ++i) {
    bench.ask();
    CHECK(bench.server.sent() == "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    bench.log.heard();
    CHECK(bench.answer(kOk) == "200 | body | end");
    CHECK(bench.log.body() == "hi");
    CHECK(bench.idle == i - 1);
    bench.release();
    CHECK(bench.idle == i);
    CHECK(bench.client->pooled());
  }
  CHECK(bench.closed == 0);
}

TEST_CASE("a user that releases in its last event gives the connection back") {
  for (const auto& bytes :
       {std::string(kOk), "HTTP/1.1 204 No\r\n\r\n"s,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"s,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: x\r\n\r\n"s}) {
    for (const bool in_pieces : {false, true}) {
      CAPTURE(bytes);
      Bench bench;
      bench.ask();
      bench.release_at_end();
      if (in_pieces) {
        for (const char c : bytes) bench.server.receive(std::string(1, c));
      } else {
        bench.server.receive(bytes);
      }
      CHECK(bench.idle == 1);
      CHECK(bench.closed == 0);
      bench.ask();
      CHECK(bench.answer(kOk) == "200 | body | end");
    }
  }
}

TEST_CASE("a connection whose response says so is not used again") {
  for (const auto& bytes : {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"s,
                            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"s}) {
    Bench bench;
    bench.ask();
    CHECK(bench.answer(bytes) == "200 | body | end");
    bench.release();
    CHECK(bench.idle == 0);
    CHECK(bench.closed == 1);
    CHECK_FALSE(bench.server.open());
  }
}

TEST_CASE("a connection that is released before its end is not used again") {
  Bench bench;
  SUBCASE("in the response") {
    bench.ask();
    bench.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh");
  }
  SUBCASE("before the response") { bench.ask(); }
  SUBCASE("in the request") {
    bench.ask("POST", BodyKind::kLength, 5);
    bench.client->send_body("ab", false);
    bench.answer(kOk);
  }
  SUBCASE("while connecting") {
    bench.start();
    bench.send();
  }
  bench.release();
  CHECK(bench.idle == 0);
  CHECK(bench.closed == 1);
  CHECK_FALSE(bench.server.open());
}

// --- framing -------------------------------------------------------------------------------------

TEST_CASE("a body of unknown length goes out in chunks, with its trailers") {
  Bench bench;
  bench.ask("POST", BodyKind::kUnknown);
  bench.client->send_body("hello", false);
  bench.client->send_body("", false);
  Fields trailers;
  trailers.add(bench.arena, "Sum", "1");
  bench.client->send_trailers(trailers);
  bench.loop->end_turn();
  CHECK(bench.server.sent() ==
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n0\r\nSum: 1\r\n\r\n");
}

TEST_CASE("the end of a body ends its chunks, once") {
  Bench bench;
  bench.ask("POST", BodyKind::kUnknown);
  bench.client->send_body("a", true);
  bench.client->send_body("b", true);
  bench.client->send_trailers(Fields());
  bench.loop->end_turn();
  CHECK(bench.server.sent().ends_with("\r\n\r\n1\r\na\r\n0\r\n\r\n"));
}

TEST_CASE("trailers of a body with a length are dropped") {
  Bench bench;
  bench.ask("POST", BodyKind::kLength, 1);
  bench.client->send_body("a", false);
  Fields trailers;
  trailers.add(bench.arena, "Sum", "1");
  bench.client->send_trailers(trailers);
  bench.loop->end_turn();
  CHECK(bench.server.sent().ends_with("\r\n\r\na"));
  bench.answer(kOk);
  bench.release();
  CHECK(bench.idle == 1);
}

TEST_CASE("the answer to HEAD has a length and no body") {
  Bench bench;
  bench.ask("HEAD");
  bench.release_at_end();
  CHECK(bench.answer("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n") == "200 | end");
  CHECK(bench.response.length == 500);
  CHECK(bench.idle == 1);
}

TEST_CASE("a response without framing ends with the connection") {
  Bench bench;
  bench.ask();
  CHECK(bench.answer("HTTP/1.1 200 OK\r\n\r\nsome") == "200 | body");
  bench.server.eof();
  CHECK(bench.log.heard() == "end");
  bench.release();
  CHECK(bench.idle == 0);
  CHECK(bench.closed == 1);
}

// --- informational responses ---------------------------------------------------------------------

TEST_CASE("informational responses come before the final one") {
  Bench bench;
  bench.ask();
  CHECK(bench.answer("HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + std::string(kOk)) ==
        "103 | 200 | body | end");
  CHECK(bench.response.fields.find("Link") == nullptr);
  CHECK(bench.response.status == 200);
}

TEST_CASE("a flood of informational responses is an upstream's error") {
  Bench bench;
  bench.ask();
  for (int i = 0; i < 16; ++i) bench.server.receive("HTTP/1.1 100 C\r\n\r\n");
  CHECK(bench.closed == 0);
  bench.server.receive("HTTP/1.1 100 C\r\n\r\n");
  CHECK(bench.log.error().failure == Failure::kUpstreamProtocol);
  CHECK(bench.closed == 1);
}

TEST_CASE("the next request may have its informational responses, too") {
  Bench bench;
  for (int requests = 0; requests < 3; ++requests) {
    bench.ask();
    for (int i = 0; i < 10; ++i) bench.server.receive("HTTP/1.1 100 C\r\n\r\n");
    bench.answer(kOk);
    CHECK(bench.log.ended());
    bench.release();
  }
  CHECK(bench.idle == 3);
}

TEST_CASE("an upstream that closes after a 100 leaves no answer") {
  Bench bench;
  bench.ask();
  bench.answer("HTTP/1.1 100 C\r\n\r\n");
  bench.server.eof();
  CHECK(bench.log.error().failure == Failure::kUpstreamReset);
}

// --- tunnels -------------------------------------------------------------------------------------

TEST_CASE("after a 101 the bytes are the tunnel's, both ways") {
  Bench bench;
  bench.ask();
  CHECK(bench.answer("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nHTTP/1.1 200 "
                     "raw\r\n\r\n") == "101 | body");
  CHECK(bench.log.body() == "HTTP/1.1 200 raw\r\n\r\n");
  bench.server.sent();
  bench.client->send_body("0\r\n\r\n", false);
  bench.client->send_body("bye", true);
  bench.loop->end_turn();
  CHECK(bench.server.sent() == "0\r\n\r\nbye");
  CHECK(bench.server.ended());
  bench.server.receive("last");
  bench.server.eof();
  CHECK(bench.log.heard() == "body | end");
  bench.release();
  CHECK(bench.idle == 0);
  CHECK(bench.closed == 1);
}
