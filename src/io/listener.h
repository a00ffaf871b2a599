// A listening socket on one loop. Each worker has its own for every address (SO_REUSEPORT), so that
// the kernel spreads connections and workers share nothing.
#pragma once

#include <uv.h>

#include <expected>
#include <string>

#include "base/address.h"
#include "io/loop.h"
#include "io/transport.h"

namespace lictor {

class Acceptor {
 public:
  virtual void on_accept(TransportPtr transport) = 0;

 protected:
  ~Acceptor() = default;
};

// A bound socket that does not listen yet; owned by the caller (a file descriptor). The error is a
// text for people: "0.0.0.0:80: permission denied". With `exclusive` an address that another
// process serves is an error, also when that one set SO_REUSEPORT.
std::expected<int, std::string> bind_socket(const SocketAddress& address, bool exclusive);
SocketAddress socket_name(int fd);

// Short of descriptors or memory it stops taking connections for a while: they wait in the kernel's
// queue, and those that are open go on.
class Listener {
 public:
  static constexpr uint64_t kBackOffMs = 100;

  // Takes `fd`. Connections come to `acceptor` until close.
  static std::expected<Listener*, std::string> open(Loop& loop, int fd, Acceptor& acceptor);
  // Idempotent by being the last call: connections already in the kernel's queue are accepted
  // first, the object ends by itself.
  void close();

 private:
  Listener(Loop& loop, int fd, Acceptor& acceptor);
  int watch();
  bool accept_one();
  void back_off(int code);

  Loop& loop_;
  Acceptor& acceptor_;
  const int fd_;
  uv_poll_t handle_;
  Timer pause_;
};

}  // namespace lictor
