// The client side of HTTP/1.1 connections: one request at a time, kept between requests by its
// owner (a pool). It reads also while idle, so that the server's close is seen when it happens.
#pragma once

#include "base/duration.h"
#include "base/list.h"
#include "http/h1_codec.h"
#include "http/h1_write.h"
#include "http/stream.h"
#include "io/loop.h"
#include "io/transport.h"

namespace lictor {

class H1Client;

class H1ClientOwner {
 public:
  // Released by its user, healthy, and may be used again.
  virtual void on_idle(H1Client& client) = 0;
  // Gone, whatever it was doing; deleted at the end of the turn. Its user has been told before.
  virtual void on_closed(H1Client& client) = 0;

 protected:
  ~H1ClientOwner() = default;
};

class H1Client final : public ClientStream,
                       public TransportUser,
                       public H1CodecUser,
                       public Mortal,
                       public ListNode<H1Client> {
 public:
  H1Client(Loop& loop, H1ClientOwner& owner);

  // `transport` is on its way to be connected; it is given up after `timeout` (0 = never).
  void start(TransportPtr transport, Millis timeout);
  void close();
  // It takes no other request; closes when the one it has is over.
  void retire() { last_ = true; }
  // With its owner, not with a user.
  bool pooled() const { return pooled_; }
  uint64_t idle_since_ms() const { return idle_since_ms_; }

  // ClientStream
  void attach(StreamUser& user, const Head& request, Head& response, Arena& arena) override;
  bool ready() const override { return !connecting_; }
  bool stale() const override { return reused_ && !codec_.started() && informational_ == 0; }
  void send_head(const Head& head, bool end) override;
  bool send_body(std::string_view bytes, bool end) override;
  void send_trailers(const Fields& trailers) override;
  void pause() override;
  void resume() override;
  void release() override;

  // TransportUser
  void on_connect() override;
  void on_read(std::span<char> bytes) override;
  void on_eof() override;
  void on_drain() override;
  void on_error(const Error& error) override;

  // H1CodecUser
  void on_codec_head(Head& head, bool end) override;
  void on_codec_body(std::string_view bytes) override;
  void on_codec_end(Fields& trailers) override;

 private:
  // A server may send some 100 and 103, not a flood (RFC 9110, section 15.2).
  static constexpr unsigned kMaxInformational = 16;

  void on_connect_timeout();
  void process(std::string_view bytes);
  void consume(std::string_view bytes);
  void become_idle();
  void break_off(Failure failure, const char* detail);

  Loop& loop_;
  H1ClientOwner& owner_;
  TransportPtr transport_;
  StreamUser* user_ = nullptr;
  Head* response_ = nullptr;
  Arena* arena_ = nullptr;
  H1Codec codec_;
  Timer timer_;
  uint64_t idle_since_ms_ = 0;
  unsigned informational_ = 0;
  Method method_ = Method::kGet;
  h1::Framing framing_ = h1::Framing::kNone;
  bool connecting_ = true;
  bool reused_ = false;
  bool sent_head_ = false;
  bool sent_all_ = false;
  bool received_all_ = false;
  bool tunnel_ = false;
  bool closed_ = false;
  bool saw_eof_ = false;
  bool pooled_ = false;
  bool last_ = false;
  bool in_process_ = false;
  bool idle_pending_ = false;  // released inside process(): idle once its bytes are used up
};

}  // namespace lictor
