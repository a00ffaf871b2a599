#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "http/h1_server.h"
#include "http/h1_server_bench.h"

using lictor::testing::request;
using lictor::testing::upload;
using lictor::testing::Visit;
using Bench = lictor::testing::ServerBench;
using namespace std::string_literals;

TEST_CASE("a user may release in any event") {
  const std::string whole = upload("Transfer-Encoding: chunked", "1\r\na\r\n0\r\nT: x\r\n\r\n");
  for (const auto& bytes : {whole, whole + request("/next"), request("/"), request("/") + whole}) {
    for (int when = 0; when < 3; ++when) {
      CAPTURE(when);
      Bench bench;
      bench.plan = [when](Visit& visit) {
        const auto leave = [&visit] { visit.release(); };
        if (when == 0) visit.log.then_head = [leave](const auto&, bool) { leave(); };
        if (when == 1) visit.log.then_body = [leave](std::string_view, bool) { leave(); };
        if (when == 2) visit.log.then_end = leave;
      };
      bench.ask(bytes);
      if (when == 1) continue;
      CHECK_FALSE(bench.client.open());
      CHECK(bench.visits.size() == 1);
    }
  }
}

TEST_CASE("a user may answer in any event") {
  const std::string body = "1\r\na\r\n0\r\nT: x\r\n\r\n";
  for (const auto* connection : {"keep-alive", "close"}) {
    for (int when = 0; when < 3; ++when) {
      CAPTURE(when);
      Bench bench;
      bench.plan = [when](Visit& visit) {
        const auto answer = [&visit] { visit.answer(); };
        if (when == 0) visit.log.then_head = [answer](const auto&, bool) { answer(); };
        if (when == 1) visit.log.then_body = [answer](std::string_view, bool) { answer(); };
        if (when == 2) visit.log.then_end = answer;
      };
      const auto got =
          bench.ask(upload("Transfer-Encoding: chunked\r\nConnection: "s + connection, body));
      CHECK(got.starts_with("HTTP/1.1 200 X"));
    }
  }
}

TEST_CASE("all connections may be cut off from inside of an event") {
  for (int when = 0; when < 4; ++when) {
    CAPTURE(when);
    Bench bench;
    bench.plan = [&bench, when](Visit& visit) {
      const auto cut = [&bench] { bench.context.close_all(); };
      if (when == 0) visit.log.then_head = [cut](const auto&, bool) { cut(); };
      if (when == 1) visit.log.then_body = [cut](std::string_view, bool) { cut(); };
      if (when == 2) visit.log.then_end = cut;
      if (when == 3) cut();
    };
    bench.ask(upload("Content-Length: 3", "abc") + request("/next"));
    CHECK_FALSE(bench.client.open());
    CHECK(bench.context.connections() == 0);
  }
}

TEST_CASE("calls after the end are harmless until the release") {
  Bench bench;
  bench.plan = [](Visit& visit) {
    visit.log.then_reset = [&visit](const auto&) {
      CHECK(visit.stream.send_body("x", false));
      visit.send_head(200);
      visit.stream.pause();
      visit.stream.resume();
      visit.stream.close_after();
      visit.answer();
    };
  };
  bench.ask(upload("Content-Length: 3", "a"));
  bench.client.fail();
  CHECK(bench.visit().log.gone());
  CHECK(bench.context.connections() == 0);
}
