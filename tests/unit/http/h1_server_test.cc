#include "http/h1_server.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "http/h1_server_bench.h"

using lictor::H1ServerOptions;
using lictor::testing::answer_failures;
using lictor::testing::kClose;
using lictor::testing::request;
using lictor::testing::response;
using lictor::testing::upload;
using lictor::testing::Visit;
using lictor::testing::wait;
using Bench = lictor::testing::ServerBench;
using namespace std::string_literals;

// --- one request after the other -----------------------------------------------------------------

TEST_CASE("a connection serves requests one after the other") {
  Bench bench;
  CHECK(bench.ask(request("/a")) == response("/a"));
  CHECK(bench.ask(request("/b")) == response("/b"));
  CHECK(bench.visits.size() == 2);
  CHECK(bench.client.open());
  CHECK(bench.visits[0]->log.heard() == "GET /a | end");
}

TEST_CASE("a request may come in any pieces") {
  Bench bench;
  std::string got;
  for (const char c : request("/a") + upload("Content-Length: 3", "abc")) {
    got += bench.ask(std::string(1, c));
  }
  CHECK(got == response("/a") + response("/"));
  CHECK(bench.visits[1]->log.body() == "abc");
}

TEST_CASE("pipelined requests are answered in their order") {
  Bench bench;
  CHECK(bench.ask(request("/a") + upload("Content-Length: 3", "abc") + request("/c")) ==
        response("/a") + response("/") + response("/c"));
}

TEST_CASE("a pipelined request waits for the response before it") {
  Bench bench;
  bench.plan = wait;
  CHECK(bench.ask(request("/a") + request("/b") + request("/c")).empty());
  REQUIRE(bench.visits.size() == 1);
  for (size_t i = 0; i < 3; ++i) {
    REQUIRE(bench.visits.size() == i + 1);
    CHECK(bench.visit().log.heard().starts_with("GET /"));
    bench.visit().answer();
    bench.loop->end_turn();
    CHECK(bench.client.sent() == response("ok"));
  }
  CHECK(bench.client.open());
}

TEST_CASE("a client that pipelines without end is not read on") {
  Bench bench;
  bench.plan = wait;
  bench.ask(request("/a"));
  for (int i = 0; i < 2'000; ++i) bench.ask(request("/more"));
  CHECK_FALSE(bench.client.reading());
  CHECK(bench.client.held() > 40'000);
  // ...and goes on when its turn comes.
  bench.plan = nullptr;
  bench.visit().answer();
  for (int i = 0; i < 100 && bench.visits.size() < 2'001; ++i) {
    bench.loop->end_turn();
    bench.client.deliver();
  }
  CHECK(bench.visits.size() == 2'001);
  CHECK(bench.client.held() == 0);
}

TEST_CASE("arenas are used again") {
  Bench bench;
  const lictor::Arena* first = nullptr;
  bench.plan = [&](Visit& visit) {
    visit.log.then_end = [&, at = &visit] {
      if (first == nullptr) first = &at->stream.arena();
      CHECK(&at->stream.arena() == first);
      at->answer();
    };
  };
  bench.ask(request("/a"));
  bench.ask(request("/b"));
  CHECK(bench.visits.size() == 2);
}

TEST_CASE("who the peer is") {
  Bench bench;
  bench.plan = [](Visit& visit) {
    visit.log.then_end = [at = &visit] {
      const auto& peer = at->stream.peer();
      CHECK(peer.address.to_string() == "192.0.2.7:4711");
      CHECK(peer.listener == 3);
      CHECK(peer.local_port == 8080);
      at->answer();
    };
  };
  bench.ask(request("/"));
  CHECK(bench.visits.size() == 1);
}

TEST_CASE("connections and bytes are counted") {
  Bench bench;
  bench.connect();
  bench.connected = true;
  CHECK(bench.open == 1);
  CHECK(bench.context.connections() == 1);
  const std::string asked = request("/a");
  const std::string got = bench.ask(asked);
  CHECK(bench.bytes_in == asked.size());
  CHECK(bench.bytes_out == got.size());
  bench.client.eof();
  CHECK(bench.open == 0);
  CHECK(bench.context.connections() == 0);
}

// --- the end of connections ----------------------------------------------------------------------

TEST_CASE("a client that wants no more is closed once the response is out") {
  for (const auto& asked : {request("/", kClose), "GET / HTTP/1.0\r\n\r\n"s}) {
    Bench bench;
    CHECK(bench.ask(asked) == response("/", kClose));
    CHECK_FALSE(bench.client.open());
    CHECK_FALSE(bench.client.aborted());
  }
}

TEST_CASE("requests after Connection: close are not read") {
  Bench bench;
  CHECK(bench.ask(request("/a", kClose) + request("/b")) == response("/a", kClose));
  CHECK(bench.visits.size() == 1);
}

TEST_CASE("HTTP/1.0 is kept alive on request, and told so") {
  Bench bench;
  CHECK(bench.ask("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") ==
        response("/a", "Connection: keep-alive\r\n"));
  CHECK(bench.client.open());
}

TEST_CASE("a connection takes requests_per_connection and no more") {
  Bench bench({.requests_per_connection = 2});
  CHECK(bench.ask(request("/a")) == response("/a"));
  CHECK(bench.ask(request("/b") + request("/c")) == response("/b", kClose));
  CHECK(bench.visits.size() == 2);
}

TEST_CASE("close_after ends the connection with this response") {
  Bench bench;
  bench.plan = [](Visit& visit) {
    visit.stream.close_after();
    visit.log.then_end = [&visit] { visit.answer(); };
  };
  CHECK(bench.ask(request("/a")) == response("ok", kClose));
  CHECK_FALSE(bench.client.open());
}

TEST_CASE("an orderly end waits for the client's, a while") {
  Bench bench;
  bench.plan = answer_failures;
  CHECK(bench.ask("GET  / HTTP/1.1\r\n\r\n").find("Connection: close\r\n") != std::string::npos);
  CHECK(bench.client.ended());
  REQUIRE(bench.client.open());
  CHECK(bench.client.reading());
  SUBCASE("until it comes") { bench.client.eof(); }
  SUBCASE("until the time is over") {
    bench.loop.pass(1'900);
    CHECK(bench.client.open());
    bench.loop.pass(200);
  }
  SUBCASE("until it sent too much") {
    for (int i = 0; i < 15; ++i) bench.client.receive(std::string(65'536, 'x'));
    CHECK(bench.client.open());
    bench.client.receive(std::string(200'000, 'x'));
  }
  CHECK_FALSE(bench.client.open());
  CHECK_FALSE(bench.client.aborted());
  CHECK(bench.visits.size() == 1);
}

TEST_CASE("a client that goes away ends its request") {
  for (const bool orderly : {true, false}) {
    Bench bench;
    bench.plan = wait;
    bench.ask(request("/a"));
    orderly ? bench.client.eof() : bench.client.fail();
    CHECK(bench.visit().log.heard() == "GET /a | end | reset: client_abort");
    CHECK_FALSE(bench.client.open());
    CHECK(bench.context.connections() == 0);
  }
}

TEST_CASE("an idle client that goes away takes nothing with it") {
  Bench bench;
  bench.ask(request("/a"));
  bench.client.eof();
  CHECK_FALSE(bench.client.open());
  CHECK(bench.visits.size() == 1);
}

TEST_CASE("a response cut short is seen as such by the client") {
  Bench bench;
  bench.plan = wait;
  bench.ask(request("/a"));
  bench.visit().send_head(200);
  bench.visit().stream.send_body("half", false);
  bench.visit().release();
  bench.loop->end_turn();
  CHECK_FALSE(bench.client.open());
  CHECK(bench.client.aborted());
}

TEST_CASE("a request that nobody answers ends its connection") {
  Bench bench;
  bench.plan = wait;
  bench.ask(request("/a"));
  bench.visit().release();
  CHECK_FALSE(bench.client.open());
  CHECK(bench.client.sent().empty());
}

// --- requests that can't be read -----------------------------------------------------------------

TEST_CASE("what is no request is answered and the connection ended") {
  struct Case {
    std::string bytes;
    const char* status;
  };
  H1ServerOptions options;
  options.limits = {.header_bytes = 100, .header_count = 4, .uri_bytes = 50};
  for (const auto& [bytes, status] :
       {Case{"\x16\x03\x01\x02 hello\r\n", "HTTP/1.1 400 "},
        Case{"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        Case{"GET /" + std::string(60, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 414 "},
        Case{request("/", "A: " + std::string(100, 'a') + "\r\n"), "HTTP/1.1 431 "},
        Case{"GET / HTTP/2.0\r\n\r\n", "HTTP/1.1 505 "},
        Case{"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 501 "}}) {
    CAPTURE(bytes);
    Bench bench(options);
    bench.plan = answer_failures;
    const std::string got = bench.ask(bytes + request("/next"));
    CHECK(got.starts_with(status));
    CHECK(got.find(kClose) != std::string::npos);
    CHECK(got.ends_with("\r\n\r\nno"));
    CHECK(bench.visits.size() == 1);
    CHECK(bench.client.ended());
  }
}

TEST_CASE("the answer to a bad HEAD has no body, wherever in it the fault is") {
  for (const std::string fields :
       {"A : b\r\n\r\n", "Host: i\r\n\r\n", "Content-Length: x\r\n\r\n"}) {
    for (const size_t step : {size_t{1}, size_t{1000}}) {
      CAPTURE(fields);
      Bench bench;
      bench.plan = answer_failures;
      const std::string bytes = "HEAD / HTTP/1.1\r\nHost: h\r\n" + fields;
      std::string got;
      for (size_t at = 0; at < bytes.size(); at += step) got += bench.ask(bytes.substr(at, step));
      CHECK(got.starts_with("HTTP/1.1 400 "));
      CHECK(got.ends_with("\r\n\r\n"));
    }
  }
}

TEST_CASE("a method counts only in a line that is good, however it comes") {
  for (const std::string line : {"HEADER / HTTP/1.1\r\n\r\n", "HEAD / HTTP/0.9\r\n\r\n"}) {
    for (const size_t step : {size_t{1}, size_t{1000}}) {
      CAPTURE(line);
      Bench bench;
      bench.plan = answer_failures;
      std::string got;
      for (size_t at = 0; at < line.size(); at += step) got += bench.ask(line.substr(at, step));
      CHECK(got.ends_with("\r\n\r\nno"));
    }
  }
}

TEST_CASE("a body that goes wrong ends its request") {
  Bench bench;
  bench.plan = answer_failures;
  const auto got = bench.ask(upload("Transfer-Encoding: chunked", "1\r\na\r\nwrong"));
  CHECK(bench.visit().log.heard() == "POST / | body | reset: bad_request");
  CHECK(got.starts_with("HTTP/1.1 400 "));
}

TEST_CASE("a body that goes wrong during the response cuts it off") {
  Bench bench;
  bench.plan = [](Visit& visit) {
    visit.log.then_head = [&visit](const auto&, bool) { visit.send_head(200); };
    visit.log.then_reset = [&visit](const auto&) { visit.release(); };
  };
  bench.ask(upload("Transfer-Encoding: chunked", "1\r\na\r\nwrong"));
  CHECK(bench.client.aborted());
}

TEST_CASE("a bad request behind a good one waits for its turn") {
  Bench bench;
  bench.plan = wait;
  bench.ask(request("/a") + "nonsense\r\n");
  bench.plan = answer_failures;
  bench.visit().answer();
  bench.loop->end_turn();
  const std::string got = bench.client.sent();
  CHECK(got.starts_with(response("ok")));
  CHECK(got.find("HTTP/1.1 400 ") != std::string::npos);
}
