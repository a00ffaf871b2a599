#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "http/h1_server.h"
#include "http/h1_server_bench.h"

using lictor::BodyKind;
using lictor::Fields;
using lictor::testing::answer_at_once;
using lictor::testing::kClose;
using lictor::testing::request;
using lictor::testing::response;
using lictor::testing::upload;
using lictor::testing::Visit;
using lictor::testing::wait;
using Bench = lictor::testing::ServerBench;
using namespace std::string_literals;

// --- framing of responses ------------------------------------------------------------------------

TEST_CASE("a response of unknown length is chunked") {
  Bench bench;
  bench.plan = wait;
  bench.ask(request("/"));
  Visit& visit = bench.visit();
  visit.send_head(200);
  visit.stream.send_body("hello", false);
  visit.stream.send_body("", false);
  visit.stream.send_body(std::string(26, 'x'), true);
  visit.release();
  bench.loop->end_turn();
  CHECK(bench.client.sent() ==
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1a\r\n" +
            std::string(26, 'x') + "\r\n0\r\n\r\n");
  CHECK(bench.client.open());
}

TEST_CASE("an HTTP/1.0 client gets a response of unknown length until the close") {
  Bench bench;
  bench.plan = wait;
  bench.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  bench.visit().send_head(200);
  bench.visit().stream.send_body("hello", true);
  bench.visit().release();
  bench.loop->end_turn();
  CHECK(bench.client.sent() == "HTTP/1.1 200 X\r\nConnection: close\r\n\r\nhello");
  CHECK_FALSE(bench.client.open());
}

TEST_CASE("responses that have no body get none") {
  struct Case {
    const char* method;
    uint16_t status;
    BodyKind kind;
    const char* expected;
  };
  for (const auto& [method, status, kind, expected] :
       {Case{"HEAD", 200, BodyKind::kLength, "HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\n"},
        Case{"HEAD", 200, BodyKind::kUnknown, "HTTP/1.1 200 X\r\n\r\n"},
        Case{"GET", 304, BodyKind::kLength, "HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n"},
        Case{"GET", 304, BodyKind::kUnknown, "HTTP/1.1 304 X\r\n\r\n"},
        Case{"GET", 204, BodyKind::kUnknown, "HTTP/1.1 204 X\r\n\r\n"},
        Case{"GET", 204, BodyKind::kLength, "HTTP/1.1 204 X\r\n\r\n"}}) {
    CAPTURE(expected);
    Bench bench;
    bench.plan = wait;
    bench.ask(std::string(method) + " / HTTP/1.1\r\nHost: h\r\n\r\n");
    bench.visit().send_head(status, kind, 5);
    bench.visit().stream.send_body("hello", true);
    bench.visit().release();
    bench.loop->end_turn();
    CHECK(bench.client.sent() == expected);
    CHECK(bench.ask(request("/next")).empty());
    CHECK(bench.visits.size() == 2);
  }
}

TEST_CASE("trailers go out where the framing carries them") {
  Bench bench;
  bench.plan = [](Visit& visit) {
    visit.log.then_end = [&visit] {
      visit.send_head(200);
      Fields trailers;
      trailers.add(visit.stream.arena(), "Sum", "1");
      visit.stream.send_trailers(trailers);
      visit.release();
    };
  };
  CHECK(bench.ask(request("/")).ends_with("\r\n\r\n0\r\nSum: 1\r\n\r\n"));
  CHECK(bench.ask("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n") == "HTTP/1.1 200 X\r\n\r\n");
  CHECK(bench.ask("GET / HTTP/1.0\r\n\r\n") == "HTTP/1.1 200 X\r\nConnection: close\r\n\r\n");
}

TEST_CASE("trailers of a request come after its body") {
  Bench bench;
  bench.ask(upload("Transfer-Encoding: chunked", "1\r\na\r\n0\r\nSum: 1\r\n\r\n"));
  CHECK(bench.visit().log.heard() == "POST / | body | trailer Sum=1 | end");
}

// --- informational responses ---------------------------------------------------------------------

TEST_CASE("informational responses go before the final one, but not to HTTP/1.0") {
  Bench bench;
  bench.plan = [](Visit& visit) {
    visit.log.then_end = [&visit] {
      visit.stream.send_head(visit.response(103, BodyKind::kNone), false);
      visit.answer();
    };
  };
  CHECK(bench.ask(request("/")) == "HTTP/1.1 103 X\r\n\r\n" + response("ok"));
  CHECK(bench.ask("GET / HTTP/1.0\r\n\r\n") == response("ok", kClose));
}

TEST_CASE("Expect: 100-continue") {
  Bench bench;
  const std::string head = upload("Content-Length: 3\r\nExpect: 100-Continue");
  SUBCASE("the body follows the 100") {
    bench.plan = [](Visit& visit) {
      visit.log.then_head = [&visit](const auto&, bool) {
        visit.stream.send_head(visit.response(100, BodyKind::kNone), false);
      };
      visit.log.then_end = [&visit] { visit.answer(200, visit.log.body()); };
    };
    CHECK(bench.ask(head) == "HTTP/1.1 100 X\r\n\r\n");
    CHECK(bench.ask("abc") == response("abc"));
    CHECK(bench.client.open());
  }
  SUBCASE("a client that does not wait keeps its connection") {
    CHECK(bench.ask(head + "abc") == response("/"));
    CHECK(bench.client.open());
  }
  SUBCASE("one that hears the end instead may send the body or not: the connection ends") {
    bench.plan = answer_at_once();
    CHECK(bench.ask(head) == response("early", kClose));
    bench.ask("abc" + request("/next"));
    CHECK(bench.visits.size() == 1);
  }
  SUBCASE("after the 100 it comes for sure: the connection is kept") {
    bench.plan = [](Visit& visit) {
      visit.log.then_head = [&visit](const auto&, bool) {
        visit.stream.send_head(visit.response(100, BodyKind::kNone), false);
        visit.answer();
      };
    };
    CHECK(bench.ask(head) == "HTTP/1.1 100 X\r\n\r\n" + response("ok"));
    bench.plan = nullptr;
    CHECK(bench.ask("abc" + request("/next")) == response("/next"));
  }
  SUBCASE("another informational response is not the 100") {
    bench.plan = [](Visit& visit) {
      visit.log.then_head = [&visit](const auto&, bool) {
        visit.stream.send_head(visit.response(103, BodyKind::kNone), false);
        visit.answer();
      };
    };
    CHECK(bench.ask(head) == "HTTP/1.1 103 X\r\n\r\n" + response("ok", kClose));
  }
}

// --- early answers -------------------------------------------------------------------------------

TEST_CASE("the body of a request that was answered is read away and the connection kept") {
  for (const auto& rest : {"abcdefg" + request("/next"), ""s}) {
    Bench bench;
    bench.plan = answer_at_once();
    CHECK(bench.ask(upload("Content-Length: 10", "abc" + rest)).starts_with(response("early")));
    if (rest.empty()) bench.ask("abcdefg" + request("/next"));
    CHECK(bench.visits.size() == 2);
    CHECK(bench.client.open());
    // The time for the rest of the body must not end the connection later.
    bench.loop.pass(3'000);
    CHECK(bench.ask(request("/more")) == response("early"));
  }
}

TEST_CASE("a large body of a request that was answered ends the connection") {
  Bench bench;
  bench.plan = answer_at_once();
  bench.ask(upload("Content-Length: 1000000"));
  for (int i = 0; i < 4; ++i) bench.client.receive(std::string(60'000, 'a'));
  CHECK_FALSE(bench.client.ended());
  bench.client.receive(std::string(60'000, 'a'));
  CHECK(bench.client.ended());
  bench.client.receive(std::string(700'000, 'a') + request("/next"));
  CHECK(bench.visits.size() == 1);
}

TEST_CASE("a body that does not come after the answer ends the connection soon") {
  Bench bench;
  bench.plan = answer_at_once();
  bench.ask(upload("Content-Length: 10", "abc"));
  bench.loop.pass(1'900);
  CHECK(bench.client.open());
  bench.loop.pass(200);
  CHECK_FALSE(bench.client.open());
}

TEST_CASE("an early answer to a client that wants no more") {
  Bench bench;
  bench.plan = answer_at_once();
  CHECK(bench.ask(upload("Content-Length: 10\r\nConnection: close", "abc")) ==
        response("early", kClose));
  CHECK(bench.client.ended());
  CHECK(bench.client.open());  // a close with the rest unread would be a reset
  bench.client.receive("defghij");
  bench.client.eof();
  CHECK_FALSE(bench.client.open());
}

TEST_CASE("an early answer with chunks, trailers and another request behind it") {
  Bench bench;
  bench.plan = answer_at_once();
  const auto got = bench.ask(upload("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\nT: x\r\n\r\n") +
                             request("/next"));
  CHECK(got == response("early") + response("early"));
}

TEST_CASE("an answer begun early may end before or after the request") {
  Bench bench;
  bench.plan = [](Visit& visit) {
    visit.log.then_head = [&visit](const auto&, bool) { visit.send_head(200); };
    visit.log.then_body = [&visit](std::string_view bytes, bool end) {
      visit.stream.send_body(bytes, end);
      if (end) visit.release();
    };
  };
  CHECK(bench.ask(upload("Content-Length: 6", "abc")).ends_with("3\r\nabc\r\n"));
  CHECK(bench.ask("def") == "3\r\ndef\r\n0\r\n\r\n");
  CHECK(bench.client.open());
}

// --- back-pressure -------------------------------------------------------------------------------

TEST_CASE("a slow client stops its response, and is told of when there is room") {
  for (const auto* asked : {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"}) {
    Bench bench;
    bench.plan = wait;
    bench.client.stop_taking();
    bench.ask(asked);
    Visit& visit = bench.visit();
    visit.log.heard();
    visit.send_head(200);
    int pieces = 1;
    while (visit.stream.send_body(std::string(1'000, 'a'), false) && pieces < 1'000) ++pieces;
    CHECK(pieces <= 66);
    CHECK(pieces >= 64);
    bench.client.take(40'000);
    CHECK(visit.log.heard().empty());
    bench.client.take(20'000);
    CHECK(visit.log.heard() == "drain");
  }
}

TEST_CASE("a paused stream hears no more until resumed") {
  Bench bench;
  bench.plan = [](Visit& visit) {
    visit.log.then_head = [&visit](const auto&, bool) { visit.stream.pause(); };
  };
  bench.ask(upload("Content-Length: 6", "abc"));
  CHECK_FALSE(bench.client.reading());
  bench.ask("def");
  CHECK(bench.client.held() == 3);
  bench.visit().stream.resume();
  bench.client.deliver();
  CHECK(bench.visit().log.body() == "abcdef");
}

TEST_CASE("a request behind one that was paused is read to its end") {
  Bench bench;
  bench.plan = [](Visit& visit) {
    visit.log.then_head = [&visit](const auto&, bool) { visit.stream.pause(); };
  };
  bench.ask(request("/a") + "GET /b HTTP/1.1\r\n");
  bench.plan = nullptr;
  bench.visit().answer();
  bench.loop->end_turn();
  CHECK(bench.ask("Host: h\r\n\r\n") == response("ok") + response("/b"));
}

TEST_CASE("a stream released while paused does not stop the connection") {
  Bench bench;
  bench.plan = [](Visit& visit) {
    visit.log.then_head = [&visit](const auto&, bool) { visit.stream.pause(); };
  };
  bench.ask(upload("Content-Length: 3"));
  bench.plan = nullptr;
  bench.visit().answer();
  bench.loop->end_turn();
  CHECK(bench.client.sent() == response("ok"));
  CHECK(bench.ask("abc" + request("/next")) == response("/next"));
}
