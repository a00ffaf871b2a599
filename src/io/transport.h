// The transport contract: bytes in, bytes out, drained, closed. TCP and TLS are behind it, and a
// fake in the tests. All on the loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/buffer.h"
#include "base/error.h"

namespace lictor {

class TransportUser {
 public:
  // An outgoing connection stands; bytes written before this were queued.
  virtual void on_connect() {}
  // `bytes` are good until the call returns.
  virtual void on_read(std::span<char> bytes) = 0;
  // The peer will send no more; writing still works.
  virtual void on_eof() = 0;
  // After a write that returned false: the queue fell to kLowMark or below.
  virtual void on_drain() = 0;
  // The transport is broken and good for nothing but close(). Never from inside a call of its user.
  virtual void on_error(const Error& error) = 0;

 protected:
  ~TransportUser() = default;
};

// What TLS knows of a peer: all empty unless it showed a certificate that was verified.
struct TlsPeer {
  std::string subject;    // as RFC 2253 writes it: "CN=api,O=Example"
  std::string forwarded;  // for X-Forwarded-Client-Cert
};

class Transport {
 public:
  static constexpr size_t kHighMark = 65536;
  static constexpr size_t kLowMark = 16384;

  virtual void set_user(TransportUser* user) = 0;
  // Takes all bytes: straight to the socket when there are many and it has room, else copied to the
  // queue, which goes out at the end of the turn. False when the queue is above kHighMark: wait for
  // on_drain.
  virtual bool write(std::string_view bytes) = 0;
  // To write in place: append to it, it goes out at the end of the turn.
  virtual Buffer& output() = 0;
  // What is queued goes out now: for a layer above that has gathered a turn's bytes itself.
  virtual void flush() = 0;
  virtual size_t queued() const = 0;
  // The same with what the kernel holds: all that the peer has not taken yet. A system call.
  virtual size_t unsent() const = 0;
  virtual void pause() = 0;     // no on_read until resume
  virtual void resume() = 0;    // also the start of reading
  virtual void shutdown() = 0;  // the queue goes out, then our direction ends
  // Idempotent; what is queued is lost; no event follows; the object ends by itself.
  virtual void close() = 0;
  // Like close, but the peer sees a reset (RST), never an orderly end: for messages cut short.
  virtual void abort() = 0;
  virtual const SocketAddress& peer() const = 0;
  // Null on plaintext. Good as long as the transport, and to the end of the turn that closes it.
  virtual const TlsPeer* tls() const { return nullptr; }

 protected:
  virtual ~Transport() = default;
};

struct CloseTransport {
  void operator()(Transport* transport) const { transport->close(); }
};
using TransportPtr = std::unique_ptr<Transport, CloseTransport>;

}  // namespace lictor
