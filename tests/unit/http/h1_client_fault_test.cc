#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "http/h1_client.h"
#include "http/h1_client_bench.h"

using lictor::BodyKind;
using lictor::Failure;
using lictor::Fields;
using lictor::H1Client;
using lictor::Head;
using lictor::testing::kOk;
using Bench = lictor::testing::ClientBench;

// --- what upstreams do wrong ---------------------------------------------------------------------

TEST_CASE("bytes that nobody asked for end an idle connection") {
  Bench bench;
  bench.ask();
  bench.answer(kOk);
  bench.release();
  bench.server.receive(kOk);
  CHECK(bench.closed == 1);
  CHECK_FALSE(bench.server.open());
}

TEST_CASE("bytes behind a response are never the next request's") {
  Bench bench;
  bench.ask();
  bench.release_at_end();
  bench.server.receive(std::string(kOk) + std::string(kOk));
  CHECK(bench.idle == 0);
  CHECK(bench.closed == 1);
}

TEST_CASE("bytes behind a response whose request is not out yet break the connection") {
  Bench bench;
  bench.ask("POST", BodyKind::kLength, 5);
  CHECK(bench.answer(std::string(kOk) + "x") == "200 | body | end | reset: upstream_failed");
  CHECK(bench.log.error().failure == Failure::kUpstreamProtocol);
}

TEST_CASE("bytes before the request break the connection") {
  Bench bench;
  bench.start();
  bench.server.connected();
  bench.server.receive(kOk);
  CHECK(bench.closed == 1);
}

TEST_CASE("a response that can't be read is a protocol error") {
  for (const auto* bytes : {"garbage\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nwrong\r\n"}) {
    CAPTURE(bytes);
    Bench bench;
    bench.ask();
    bench.server.receive(bytes);
    CHECK(bench.log.error().failure == Failure::kUpstreamProtocol);
    CHECK(bench.log.error().possibly_sent);
    CHECK(bench.closed == 1);
  }
}

TEST_CASE("a response cut short is a reset, whatever cut it") {
  for (const auto* bytes : {"", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi"}) {
    for (const bool orderly : {true, false}) {
      CAPTURE(bytes);
      Bench bench;
      bench.ask();
      bench.server.receive(bytes);
      orderly ? bench.server.eof() : bench.server.fail();
      CHECK(bench.log.error().failure == Failure::kUpstreamReset);
      CHECK(bench.log.error().possibly_sent);
      CHECK(bench.closed == 1);
    }
  }
}

// --- stale connections ---------------------------------------------------------------------------

TEST_CASE("a reset before the response is stale only on a connection used before") {
  Bench bench;
  bench.ask();
  const H1Client& client = *bench.client;
  bool stale = true;
  bench.log.then_reset = [&](const auto&) { stale = client.stale(); };
  SUBCASE("on a new one it is not") {
    bench.server.eof();
    CHECK_FALSE(stale);
    return;
  }
  bench.answer(kOk);
  bench.release();
  bench.ask();
  stale = false;
  bench.log.then_reset = [&](const auto&) { stale = client.stale(); };
  SUBCASE("closed") {
    bench.server.eof();
    CHECK(stale);
  }
  SUBCASE("reset") {
    bench.server.fail();
    CHECK(stale);
  }
  SUBCASE("after the first byte it is not") {
    bench.server.receive("H");
    bench.server.eof();
    CHECK_FALSE(stale);
  }
  SUBCASE("after a 100 it is not") {
    bench.server.receive("HTTP/1.1 100 C\r\n\r\n");
    bench.server.eof();
    CHECK_FALSE(stale);
  }
}

TEST_CASE("an idle connection that the server closes goes at once") {
  for (const bool orderly : {true, false}) {
    Bench bench;
    bench.ask();
    bench.answer(kOk);
    bench.release();
    orderly ? bench.server.eof() : bench.server.fail();
    CHECK(bench.closed == 1);
  }
}

TEST_CASE("a server that closes behind its response does so after it was heard") {
  Bench bench;
  bench.ask();
  CHECK(bench.answer(kOk) == "200 | body | end");
  bench.server.eof();
  CHECK(bench.log.heard().empty());
  bench.release();
  CHECK(bench.idle == 0);
  CHECK(bench.closed == 1);
}

// --- back-pressure -------------------------------------------------------------------------------

TEST_CASE("a slow server stops the request, and tells when there is room") {
  for (const auto kind : {BodyKind::kUnknown, BodyKind::kLength}) {
    Bench bench;
    bench.ask("POST", kind, 1'000'000);
    bench.log.heard();
    bench.server.stop_taking();
    int pieces = 1;
    while (bench.client->send_body(std::string(1'000, 'a'), false) && pieces < 1'000) ++pieces;
    CHECK(pieces >= 64);
    CHECK(pieces <= 66);
    bench.server.take(40'000);
    CHECK(bench.log.heard().empty());
    bench.server.take(20'000);
    CHECK(bench.log.heard() == "drain");
  }
}

TEST_CASE("a paused response is not read, and a connection given back is") {
  Bench bench;
  bench.ask();
  bench.client->pause();
  CHECK_FALSE(bench.server.reading());
  bench.client->resume();
  bench.answer(kOk);
  bench.client->pause();
  bench.release();
  CHECK(bench.server.reading());
}

// --- ends from inside of events: what the sanitizers are for -------------------------------------

TEST_CASE("a user may release in any event") {
  const auto bytes =
      "HTTP/1.1 103 E\r\n\r\n"
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: x\r\n\r\n";
  for (int when = 0; when < 4; ++when) {
    CAPTURE(when);
    Bench bench;
    bench.ask();
    const auto leave = [&bench] {
      bench.log.let_go();
      bench.client->release();
    };
    bench.log.then_head = [&](const Head& head, bool) {
      if (when == (head.status == 103 ? 0 : 1)) leave();
    };
    if (when == 2) bench.log.then_body = [&](std::string_view, bool) { leave(); };
    if (when == 3) bench.log.then_end = leave;
    bench.server.receive(bytes);
    CHECK(bench.idle == (when == 3 ? 1 : 0));
    CHECK(bench.closed == (when == 3 ? 0 : 1));
  }
}

TEST_CASE("an owner may close in any event, and nothing follows") {
  for (int when = 0; when < 3; ++when) {
    CAPTURE(when);
    Bench bench;
    bench.ask();
    const auto close = [&bench] {
      bench.log.let_go();
      bench.client->close();
    };
    if (when == 0) bench.log.then_head = [&](const Head&, bool) { close(); };
    if (when == 1) bench.log.then_body = [&](std::string_view, bool) { close(); };
    if (when == 2) bench.log.then_end = close;
    bench.server.receive(std::string(kOk) + "more");
    CHECK(bench.closed == 1);
    CHECK_FALSE(bench.server.open());
  }
}

TEST_CASE("calls after the end are harmless until the release") {
  Bench bench;
  bench.ask("POST", BodyKind::kUnknown);
  H1Client& client = *bench.client;
  bench.log.then_reset = [&](const auto&) {
    CHECK(client.send_body("x", true));
    client.send_trailers(Fields());
    client.pause();
    client.resume();
    bench.log.let_go();
    client.release();
  };
  bench.server.fail();
  CHECK(bench.closed == 1);
  CHECK(bench.idle == 0);
}
