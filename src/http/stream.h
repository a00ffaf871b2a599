// The stream contract: one request and its response, whatever the protocol. A server-side stream
// hears a request and is sent a response; a client-side stream the other way round. All on one
// loop's thread.
//
// Order, in each direction: heads of 1xx (responses only), then one head, body pieces, then the
// end: with the head, with a body piece, or with trailers. After a 101 the body is the tunnel's raw
// bytes both ways.
#pragma once

#include <string_view>

#include "base/address.h"
#include "base/arena.h"
#include "base/error.h"
#include "http/message.h"
#include "io/transport.h"

namespace lictor {

class StreamUser {
 public:
  // `head` stays good, and may be changed, until the stream is released.
  virtual void on_head(Head& head, bool end) = 0;
  // `bytes` are good until the call returns; may be empty when `end`.
  virtual void on_body(std::string_view bytes, bool end) = 0;
  virtual void on_trailers(Fields& trailers) = 0;
  // There is room again after a send_body that returned false.
  virtual void on_drain() = 0;
  // The message can't be completed, or the peer is gone. Of a server stream: while nothing of a
  // final response was sent and the failure is not kClientAbort, a response may still be sent.
  // Release the stream.
  virtual void on_reset(const Error& error) = 0;

 protected:
  ~StreamUser() = default;
};

// What a stream's connection is, as far as anyone above may ask.
struct Peer {
  SocketAddress address;
  uint16_t listener = 0;         // index of the listener it came through
  uint16_t local_port = 0;       // that listener's port
  const TlsPeer* tls = nullptr;  // null: plaintext; good while the connection is
};

class Stream {
 public:
  // With 1xx heads `end` is false. Framing and Connection fields are the stream's own business.
  virtual void send_head(const Head& head, bool end) = 0;
  // All bytes are taken. False: enough is queued, wait for on_drain.
  virtual bool send_body(std::string_view bytes, bool end) = 0;
  // Ends the message. Dropped where the framing can't carry them.
  virtual void send_trailers(const Fields& trailers) = 0;
  // Stops and restarts what is heard; a few more pieces (one read buffer) may come after pause.
  virtual void pause() = 0;
  virtual void resume() = 0;
  // The user's last word: no event follows and nothing of the stream is used again. A message that
  // is not complete is cut short so that the peer notices.
  virtual void release() = 0;

 protected:
  ~Stream() = default;
};

class ServerStream : public Stream {
 public:
  // Both live until release.
  virtual Arena& arena() = 0;
  virtual const Peer& peer() const = 0;
  // The request's head as far as it was read, for logs: on_head may never come.
  virtual const Head& partial_head() const = 0;
  // What the client has not taken yet of what was sent, in the kernel's buffers, too.
  virtual size_t unsent() const = 0;
  // The connection takes no other request after this one.
  virtual void close_after() = 0;

 protected:
  ~ServerStream() = default;
};

// Whoever serves requests: a worker, the admin port.
class StreamHandler {
 public:
  // A request begins (its first byte was seen). The user stays until it releases the stream.
  virtual StreamUser* on_stream(ServerStream& stream) = 0;

 protected:
  ~StreamHandler() = default;
};

class ClientStream : public Stream {
 public:
  // Before send_head, once a request. The response goes into `response`, its texts into `arena`.
  // `user` may be null afterwards only by release.
  virtual void attach(StreamUser& user, const Head& request, Head& response, Arena& arena) = 0;
  // False while connecting: send_head is fine, the body waits for on_drain.
  virtual bool ready() const = 0;
  // It carried another request before, and nothing of this response was read yet: a reset now most
  // likely means that the server had closed the idle connection.
  virtual bool stale() const = 0;

 protected:
  ~ClientStream() = default;
};

}  // namespace lictor
