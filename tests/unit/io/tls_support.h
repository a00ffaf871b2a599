// Both ends of a TLS connection, with the test between them.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "fake_transport.h"
#include "io/sockets.h"
#include "io/tls.h"

namespace lictor::testing {

class HandshakeLog final : public TlsObserver {
 public:
  void on_handshake(TlsHandshake outcome) override { seen.push_back(outcome); }
  std::vector<TlsHandshake> seen;
};

// Our server and our client, each over a transport of the test's.
class TlsPair {
 public:
  TlsPair(Loop& loop, TlsServerPtr server, const TlsClient& client, const char* host = "a.example",
          TlsSessionPtr session = nullptr)
      : below_server(loop), below_client(loop), loop_(loop) {
    server_side = Tls::accept(loop, below_server.handle(), std::move(server), &handshakes);
    client_side = Tls::connect(loop, below_client.handle(), client, host, std::move(session));
    for (auto* side : {&server_side, &client_side}) (*side)->resume();
    server_side->set_user(&server_user);
    client_side->set_user(&client_user);
    below_client.connected();
  }

  // Carries bytes both ways, `step` at a time, until there are none.
  void pump(size_t step = SIZE_MAX) {
    loop_.end_turn();
    for (bool moved = true; moved;) {
      moved = carry(below_client, below_server, step, to_server);
      moved = carry(below_server, below_client, step, to_client) || moved;
    }
  }

  FakeTransport below_server;
  FakeTransport below_client;
  NoteTaker server_user;
  NoteTaker client_user;
  HandshakeLog handshakes;
  TransportPtr server_side;
  TransportPtr client_side;
  size_t to_server = 0;  // bytes that pump carried
  size_t to_client = 0;

 private:
  static bool carry(FakeTransport& from, FakeTransport& to, size_t step, size_t& count) {
    const std::string bytes = from.sent();
    count += bytes.size();
    for (size_t at = 0; at < bytes.size(); at += std::min(step, bytes.size() - at)) {
      to.receive(std::string_view(bytes).substr(at, step));
    }
    return !bytes.empty();
  }

  Loop& loop_;
};

}  // namespace lictor::testing
