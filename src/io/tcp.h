// TCP as a transport. Reads land in the loop's shared buffer; writes are gathered and tried at
// once, and only what the socket does not take waits for libuv.
#pragma once

#include <uv.h>

#include <memory>

#include "io/loop.h"
#include "io/transport.h"

namespace lictor {

// Idle seconds before the kernel asks whether the peer is still there.
inline constexpr int kKeepAliveSeconds = 60;

class Tcp final : public Transport, public Flushable {
 public:
  // Of a connected socket, which it takes, that accept(2) gave. Null when libuv can't have it.
  static TransportPtr adopt(Loop& loop, int fd, const SocketAddress& peer);
  // Starts connecting; on_connect or on_error (kConnectRefused) follows, never from inside this
  // call.
  static TransportPtr connect(Loop& loop, const SocketAddress& address, TransportUser* user);

  void set_user(TransportUser* user) override { user_ = user; }
  bool write(std::string_view bytes) override;
  Buffer& output() override;
  size_t queued() const override { return output_.size(); }
  size_t unsent() const override;
  void pause() override;
  void resume() override;
  void shutdown() override;
  void close() override;
  void abort() override;
  const SocketAddress& peer() const override { return peer_; }
  void flush() override;

 private:
  enum class State : uint8_t { kConnecting, kOpen, kBroken, kClosing };

  explicit Tcp(Loop& loop);
  void begin_close();
  ~Tcp() override = default;
  int pending_error() const;
  void on_read(ssize_t count, const uv_buf_t* buffer);
  void on_written(int status);
  void on_connected(int status);
  // Sends the queue and then `extra`, as far as the socket takes them; the rest of `extra` is
  // queued.
  void send(std::string_view extra);
  void wait_writable();
  void finish_shutdown();
  void fail(int status, Failure failure);
  void notify_drained();

  struct PendingWrite;
  struct PendingWriteDeleter {
    void operator()(PendingWrite* pending) const;
  };

  Loop& loop() const { return *static_cast<Loop*>(handle_.loop->data); }

  TransportUser* user_ = nullptr;
  uv_tcp_t handle_;
  Buffer output_;
  std::unique_ptr<PendingWrite, PendingWriteDeleter> pending_;  // made when a socket first fills
  SocketAddress peer_;
  int status_ = 0;  // libuv's, of a broken connection
  Failure failure_ = Failure::kNone;
  State state_ = State::kOpen;
  bool writing_ = false;     // pending_ is with libuv
  bool want_drain_ = false;  // a write returned false
  bool want_shutdown_ = false;
  bool reading_ = false;
};

}  // namespace lictor
