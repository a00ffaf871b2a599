// The admin port: the admin API on the same HTTP/1 server as the data plane, on the control loop.
#pragma once

#include <memory>
#include <string>

#include "app/admin_api.h"
#include "app/event_hub.h"
#include "http/h1_server.h"
#include "io/listener.h"

namespace lictor {

class AdminServer final : public StreamHandler, public Acceptor {
 public:
  static constexpr size_t kMaxBody = 64 * 1024;
  static constexpr Millis kBodyTimeout{5'000};  // from the head of a request to its end
  static constexpr size_t kMaxConnections = 256;
  static constexpr Millis kHeartbeat{15'000};
  static constexpr size_t kMaxEventBytes = 256 * 1024;  // that wait for one listener

  AdminServer(Loop& loop, AdminApi& api, EventHub& events);
  ~AdminServer();  // closes what is open; let the loop turn once more

  // Takes the bound socket.
  std::string start(int fd);

  // StreamHandler
  StreamUser* on_stream(ServerStream& stream) override;
  // Acceptor
  void on_accept(TransportPtr transport) override;

 private:
  Loop& loop_;
  AdminApi& api_;
  EventHub& events_;
  H1ServerContext server_;
  Listener* listener_ = nullptr;
};

}  // namespace lictor
