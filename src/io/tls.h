// TLS as a transport over another one. Bytes from below are decrypted into a buffer that all of a
// thread's connections share and handed up at once; what is written is gathered, sealed at the end
// of the turn, and goes down in one piece. So an idle connection holds no buffer, and a turn is one
// write. Handshakes run by themselves: for its user the transport is simply not connected yet.
//
// An end that the peer did not announce (close_notify) is an error, never an end of data. Times are
// the user's: a server's header_timeout and a client's connect_timeout cover the handshake.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string_view>

#include "io/loop.h"
#include "io/tls_context.h"
#include "io/transport.h"

struct bio_method_st;
struct bio_st;

namespace lictor {

class Tls final : public Transport, public TransportUser, public Flushable, public Mortal {
 public:
  // A client connected on `lower`. The observer, which may be null, outlives the connection.
  static TransportPtr accept(Loop& loop, TransportPtr lower, TlsServerPtr server,
                             TlsObserver* observer);
  // `lower` is on its way to be connected to `host` (see TlsClient::connection); on_connect follows
  // the handshake. `session` may be null.
  static TransportPtr connect(Loop& loop, TransportPtr lower, const TlsClient& client,
                              std::string_view host, TlsSessionPtr session);

  // Transport
  void set_user(TransportUser* user) override { user_ = user; }
  bool write(std::string_view bytes) override;
  Buffer& output() override;
  void flush() override;  // of Flushable, too
  size_t queued() const override { return output_.size() + lower_->queued(); }
  size_t unsent() const override { return output_.size() + lower_->unsent(); }
  void pause() override;
  void resume() override;
  void shutdown() override;
  void close() override;
  void abort() override;
  const SocketAddress& peer() const override { return peer_address_; }
  const TlsPeer* tls() const override;

  // TransportUser
  void on_connect() override;
  void on_read(std::span<char> bytes) override;
  void on_eof() override;
  void on_drain() override;
  void on_error(const Error& error) override;

 private:
  enum class State : uint8_t { kConnecting, kHandshake, kOpen, kBroken, kClosed };

  enum class Read : uint8_t { kMore, kEnd, kBroken };  // how what was decrypted goes on

  Tls(Loop& loop, TransportPtr lower, SslPtr ssl);
  ~Tls() override;
  static TransportPtr start(Tls* tls);

  bool serves() const { return server_ != nullptr; }
  bool done() const { return state_ == State::kBroken || state_ == State::kClosed; }
  bool hello_fits(std::string_view bytes);
  void handshake();
  void established();
  void fail_handshake();
  Error handshake_error() const;
  void count(TlsHandshake outcome) const;
  bool has_more() const;
  void deliver();
  Read decrypt(size_t& filled);
  static Error read_error();
  void keep_rest();
  void seal(std::string_view bytes, bool send);
  void seal_output();
  void fail(const Error& error);
  void end();

  // The BIO that OpenSSL reads and writes by.
  static bio_method_st* method();
  static int take(bio_st* bio, char* out, int size);
  static int give(bio_st* bio, const char* bytes, int size);
  static long control(bio_st* bio, int command, long, void*);
  static void watch(const ssl_st* ssl, int where, int);

  // Each costs us more than the peer; nobody needs many.
  static constexpr uint32_t kMaxOddities = 100;
  static constexpr uint32_t kMaxHandshakeBytes = 65'536;
  static constexpr uint32_t kMaxHello = 32'768;
  // What one record carries, and from where on a write is sealed from the writer's own bytes.
  static constexpr size_t kRecord = 16'384;

  Loop& loop_;
  TransportPtr lower_;
  SslPtr ssl_;
  TlsServerPtr server_;    // null: we are the client
  TlsSessionPtr session_;  // the client's
  TlsObserver* observer_ = nullptr;
  TransportUser* user_ = nullptr;
  std::unique_ptr<const TlsPeer> peer_;  // of a verified certificate
  SocketAddress peer_address_;
  std::string_view incoming_;  // of the read that is under way
  Buffer held_;                // read, but not wanted yet
  Buffer output_;              // to be sealed at the end of the turn
  Error error_;                // of kBroken
  uint32_t handshake_bytes_ = 0;
  std::array<uint8_t, 9> hello_{};  // how it begins: headers of its record and its message
  uint32_t oddities_ = 0;  // key updates, refused renegotiations, alerts: after the handshake
  State state_ = State::kHandshake;
  bool paused_ = true;
  bool want_drain_ = false;
  bool want_shutdown_ = false;
  bool sent_end_ = false;  // our close_notify
  bool saw_end_ = false;   // the peer's
  bool send_now_ = false;  // the record that OpenSSL writes is the last of this write
  bool told_error_ = false;
};

}  // namespace lictor
