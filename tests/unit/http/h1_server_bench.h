// A server with one connection over a fake transport, and its requests as their users see them.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "fake_transport.h"
#include "http/h1_server.h"
#include "http/stream_log.h"
#include "io/manual_clock.h"

namespace lictor::testing {

// One request as its user sees it.
struct Visit {
  explicit Visit(ServerStream& its_stream) : stream(its_stream) {}

  Head response(uint16_t status, BodyKind body, uint64_t length = 0) {
    Head head;
    head.status = status;
    head.reason = "X";
    head.body = body;
    head.length = length;
    return head;
  }
  void send_head(uint16_t status, BodyKind body = BodyKind::kUnknown, uint64_t length = 0) {
    stream.send_head(response(status, body, length), false);
  }
  void answer(uint16_t status = 200, std::string_view body = "ok") {
    stream.send_head(response(status, BodyKind::kLength, body.size()), body.empty());
    if (!body.empty()) stream.send_body(body, true);
    release();
  }
  void release() {
    log.let_go();
    stream.release();
  }

  ServerStream& stream;
  StreamLog log;
};

// A server with one connection, whose requests are answered when they are complete, unless the test
// has other plans.
struct ServerBench final : StreamHandler, H1ServerContext::Observer {
  explicit ServerBench(H1ServerOptions wanted = {})
      : context(*loop, *this, this, wanted), client(*loop) {}
  ~ServerBench() { context.close_all(); }

  void connect() { context.accept(client.handle(), 3, 8080); }
  // The client's bytes, and what came back.
  std::string ask(std::string_view bytes) {
    if (!connected) connect();
    connected = true;
    client.receive(bytes);
    return client.sent();
  }
  Visit& visit() { return *visits.back(); }

  StreamUser* on_stream(ServerStream& stream) override {
    Visit& made = *visits.emplace_back(std::make_unique<Visit>(stream));
    if (plan) {
      plan(made);
    } else {
      made.log.then_end = [&made] { made.answer(200, made.log.head().target); };
    }
    if (!made.log.then_reset) made.log.then_reset = [&made](const auto&) { made.release(); };
    return &made.log;
  }
  void on_open(uint16_t listener) override { open += listener == 3 ? 1 : 100; }
  void on_closed(uint16_t listener) override { open -= listener == 3 ? 1 : 100; }
  void on_bytes(uint64_t in, uint64_t out) override {
    bytes_in += in;
    bytes_out += out;
  }

  ManualLoop loop;
  std::function<void(Visit&)> plan;
  std::deque<std::unique_ptr<Visit>> visits;
  int open = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  bool connected = false;
  H1ServerContext context;
  FakeTransport client;
};

// Plans.
inline void wait(Visit&) {}
inline std::function<void(Visit&)> answer_at_once(std::string_view body = "early") {
  return [body](Visit& visit) {
    visit.log.then_head = [&visit, body](const auto&, bool) { visit.answer(200, body); };
  };
}
inline void answer_failures(Visit& visit) {
  visit.log.then_end = [&visit] { visit.answer(); };
  visit.log.then_reset = [&visit](const Error& error) {
    if (error.failure == Failure::kClientAbort) {
      visit.release();
    } else {
      visit.answer(error.status(), "no");
    }
  };
}

inline std::string request(std::string_view target, std::string_view fields = "") {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n" + std::string(fields) + "\r\n";
}
inline std::string upload(std::string_view fields, std::string_view body = "") {
  return "POST / HTTP/1.1\r\nHost: h\r\n" + std::string(fields) + "\r\n\r\n" + std::string(body);
}
inline std::string response(std::string_view body, std::string_view fields = "") {
  return "HTTP/1.1 200 X\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(fields) + "\r\n" + std::string(body);
}
inline constexpr std::string_view kClose = "Connection: close\r\n";

}  // namespace lictor::testing
