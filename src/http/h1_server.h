// The server side of HTTP/1.x connections (RFC 9112): one request at a time, pipelined ones wait.
// An idle connection is small: its codec, buffer and arena belong to the request and are recycled.
#pragma once

#include <memory>
#include <vector>

#include "base/buffer.h"
#include "base/duration.h"
#include "base/list.h"
#include "http/h1_codec.h"
#include "http/h1_write.h"
#include "http/stream.h"
#include "io/loop.h"
#include "io/transport.h"

namespace lictor {

struct H1ServerOptions {
  H1Limits limits;
  Millis header_timeout{
      10'000};  // from a request's first byte (or the connection's start) to its head's end
  Millis idle_timeout{75'000};           // between requests
  uint64_t requests_per_connection = 0;  // 0 = no limit
};

class H1Server;

// What all connections of one loop share; owns them. Must outlive the loop's last turn.
class H1ServerContext {
 public:
  // Counts connections and bytes; one implementation, the worker's cells.
  class Observer {
   public:
    virtual void on_open(uint16_t listener) = 0;
    virtual void on_closed(uint16_t listener) = 0;
    virtual void on_bytes(uint64_t in, uint64_t out) = 0;

   protected:
    ~Observer() = default;
  };

  H1ServerContext(Loop& loop, StreamHandler& handler, Observer* observer, H1ServerOptions options);
  ~H1ServerContext();

  void accept(TransportPtr transport, uint16_t listener, uint16_t local_port);
  void set_options(const H1ServerOptions& options) { options_ = options; }
  // The responses from now on say "Connection: close", so that few connections are left at a drain.
  void see_off() { leaving_ = true; }
  // Idle connections close now, busy ones after their response ("Connection: close").
  void drain();
  // Cuts every connection off.
  void close_all();
  size_t connections() const { return count_; }

 private:
  friend class H1Server;
  // What one request needs, recycled.
  struct RequestState {
    explicit RequestState(H1CodecUser& user) : codec(H1Codec::Kind::kRequest, user) {}
    Arena arena;
    Head head;
    H1Codec codec;
    Buffer pending;  // read, but of a later request, or of a tunnel that does not stand yet
    Peer peer;
  };
  static constexpr size_t kKeptStates = 256;
  std::unique_ptr<RequestState> take_state(H1CodecUser& user);
  void give_state(std::unique_ptr<RequestState> state);

  Loop& loop_;
  StreamHandler& handler_;
  Observer* observer_;
  H1ServerOptions options_;
  List<H1Server> open_;
  std::vector<std::unique_ptr<RequestState>> states_;
  size_t count_ = 0;
  bool leaving_ = false;
  bool draining_ = false;
};

class H1Server final : public ServerStream,
                       public TransportUser,
                       public H1CodecUser,
                       public Flushable,
                       public Mortal,
                       public ListNode<H1Server> {
 public:
  H1Server(H1ServerContext& context, TransportPtr transport, uint16_t listener,
           uint16_t local_port);

  // Closes when idle; else marks the connection to close after the response.
  void drain();
  void cut_off(const Error& error);

  // Stream
  void send_head(const Head& head, bool end) override;
  bool send_body(std::string_view bytes, bool end) override;
  void send_trailers(const Fields& trailers) override;
  void pause() override;
  void resume() override;
  void release() override;
  Arena& arena() override { return state_->arena; }
  const Peer& peer() const override { return state_->peer; }
  const Head& partial_head() const override { return state_->head; }
  size_t unsent() const override { return transport_ == nullptr ? 0 : transport_->unsent(); }
  void close_after() override { close_after_ = true; }

  // TransportUser
  void on_read(std::span<char> bytes) override;
  void on_eof() override;
  void on_drain() override;
  void on_error(const Error& error) override;

  // H1CodecUser
  void on_codec_head(Head& head, bool end) override;
  void on_codec_body(std::string_view bytes) override;
  void on_codec_end(Fields& trailers) override;

  // Flushable: goes on with what was read before it was wanted; decides about closing.
  void flush() override;

 private:
  // Of the request. kTunnel: a 101 was sent, bytes are raw. kLinger: the response is out and we
  // only wait for the client's end, so that a reset can't take the response from it (RFC 9112,
  // section 9.6).
  enum class State : uint8_t { kIdle, kHead, kBody, kDone, kTunnel, kLinger, kClosed };
  enum class Reply : uint8_t { kNone, kStarted, kDone };

  bool has_pending() const { return state_ != nullptr && !state_->pending.empty(); }
  bool pending_full() const { return has_pending() && state_->pending.size() > kMaxPending; }
  void begin_request();
  void end_request();
  size_t process(std::string_view bytes);
  void process_pending();
  void finish_request();
  void refuse(const Error& error);
  void abandon(const Error& error);
  void end_reply();
  void finish_connection();
  void close();
  void on_timer();
  void watch_head();
  bool still_flushing();
  bool wants_bytes() const;
  void count_out(size_t before);

  // Bodies of requests that were answered early are read up to this, to save the connection.
  static constexpr uint64_t kMaxDiscard = 256 * 1024;
  static constexpr uint64_t kMaxLinger = 1024 * 1024;
  static constexpr uint64_t kLingerMs = 2000;
  static constexpr uint64_t kFlushMs = 30'000;  // for a client that takes nothing of what is queued
  static constexpr uint64_t kFirstRequestMs = 1000;  // at a drain, for connections just made
  static constexpr size_t kMaxPending = 16384;

  H1ServerContext& context_;
  TransportPtr transport_;
  std::unique_ptr<H1ServerContext::RequestState> state_;  // null while idle, and when it is over
  StreamUser* user_ = nullptr;
  Timer timer_;
  uint64_t idle_since_ms_ = 0;
  uint32_t requests_ = 0;
  uint32_t discarded_ = 0;
  uint32_t last_unsent_ = 0;  // when the timer last looked
  const uint16_t listener_;
  const uint16_t local_port_;
  State request_ = State::kIdle;
  Reply reply_ = Reply::kNone;
  h1::Framing framing_ = h1::Framing::kNone;
  bool bodiless_ = false;
  bool close_after_ = false;
  bool expects_continue_ = false;
  bool paused_ = false;
  bool in_process_ = false;
  bool close_when_flushed_ = false;
  bool broken_ = false;  // the request can't be read on
};

}  // namespace lictor
