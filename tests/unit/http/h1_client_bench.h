// A client over a fake transport, with its owner and its user.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "fake_transport.h"
#include "http/h1_client.h"
#include "http/stream_log.h"
#include "io/manual_clock.h"

namespace lictor::testing {

// A client on one connection, its owner and its user.
struct ClientBench final : H1ClientOwner {
  ClientBench() : server(*loop), client(new H1Client(*loop, *this)) {}
  ~ClientBench() {
    if (client != nullptr) client->close();
    loop->end_turn();
  }

  void start(Millis timeout = Millis(1'000)) { client->start(server.handle(), timeout); }
  // A connection that stands, and a request on it.
  void ask(std::string_view method = "GET", BodyKind body = BodyKind::kNone, uint64_t length = 0) {
    if (!started) {
      start();
      server.connected();
      started = true;
    }
    send(method, body, length);
  }
  void send(std::string_view method = "GET", BodyKind body = BodyKind::kNone, uint64_t length = 0) {
    log = StreamLog();
    request = Head();
    request.method_name = method;
    request.method = parse_method(method);
    request.target = "/";
    request.authority = "h";
    request.body = body;
    request.length = length;
    arena.reset();
    response = Head();
    client->attach(log, request, response, arena);
    client->send_head(request, body == BodyKind::kNone);
    loop->end_turn();
  }
  void release() {
    log.let_go();
    client->release();
    loop->end_turn();
  }
  void release_at_end() {
    log.then_end = [this] {
      log.let_go();
      client->release();
    };
  }
  // The server's bytes, and what the user heard of them.
  std::string answer(std::string_view bytes) {
    server.receive(bytes);
    return log.heard();
  }

  void on_idle(H1Client&) override { ++idle; }
  void on_closed(H1Client& which) override {
    CHECK(&which == client);
    ++closed;
    client = nullptr;  // deleted at the end of the turn
  }

  ManualLoop loop;
  FakeTransport server;
  H1Client* client;
  StreamLog log;
  Arena arena;
  Head request;
  Head response;
  int idle = 0;
  int closed = 0;
  bool started = false;
};

inline constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

}  // namespace lictor::testing
