// One request and its response on their way through the gateway. exchange.cc reads top to bottom as
// that way: the request's head, the filters, the body, the response, the end; exchange_try.cc is
// how it gets to an instance, exchange_time.cc what happens when that takes too long. An exchange
// is the only one who knows both streams, and knows neither's protocol. Recycled by its worker.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/buffer.h"
#include "filter/body.h"
#include "filter/filter.h"
#include "http/stream.h"
#include "http/uri.h"
#include "proxy/context.h"
#include "proxy/forward.h"
#include "proxy/hash_key.h"
#include "proxy/local_reply.h"
#include "proxy/request_trace.h"

namespace lictor {

class Exchange final : public StreamUser, public Call, public Waiter, public Flushable {
 public:
  // From ProxyContext::start; it returns there by itself when the request has ended.
  Exchange(ProxyContext& context, ServerStream& downstream);
  ~Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // StreamUser, of the downstream side: the request.
  void on_head(Head& head, bool end) override;
  void on_body(std::string_view bytes, bool end) override;
  void on_trailers(Fields& trailers) override;
  void on_drain() override;
  void on_reset(const Error& error) override;

  // Call, for filters.
  Head& request() override { return *request_; }
  Head& response() override { return *response_; }
  Arena& arena() override { return down_->arena(); }
  Loop& loop() override { return context_.loop; }
  FilterShared& shared() override { return context_.filter_shared; }
  void*& state() override;
  Subrequest* subrequest(std::string_view service, SubrequestUser* user) override;
  const IpAddress& client_ip() const override { return client_.ip; }
  std::string_view request_id() const override { return request_id_; }
  std::string_view route() const override;
  std::string_view service() const override;
  std::string_view scheme() const override {
    return down_->peer().tls == nullptr ? "http" : "https";
  }
  std::string_view client_cert_subject() const override {
    const TlsPeer* tls = down_->peer().tls;
    return tls == nullptr ? std::string_view{} : std::string_view(tls->subject);
  }
  std::string_view capture(std::string_view name) const override;
  const Consumers* consumers() const override { return pin_->snapshot->consumers.get(); }
  std::string_view user() const override { return user_; }
  void set_user(std::string_view user) override { user_ = user; }
  std::string_view claim(std::string_view name) const override {
    return claims_ == nullptr ? std::string_view{} : claims_->find(name);
  }
  void set_claims(const Claims& claims) override { claims_ = &claims; }
  void limit_body(uint64_t bytes) override { most_body_ = std::min(most_body_, bytes); }
  void tap_request(BodyTap& tap) override;
  void transform_response(BodyTransform& transform) override;
  using Call::reply;
  void reply(const Error& error, const Fields& extra) override;
  void reply(uint16_t status, const Fields& fields, std::string_view body) override;
  void resume() override;
  void count_auth_failure(const char* reason) override;
  void count_rate_limited() override;
  void count_mirror_dropped(MirrorDrop why) override;

  // Waiter: the upstream may open another connection now.
  void on_room() override;

  // Flushable: what transforms hold back goes out.
  void flush() override;

 private:
  // Where the request is. Only forward, but for tries: kWaiting goes back to kSending.
  enum class Phase : uint8_t {
    kReading,     // no head yet
    kFiltering,   // a filter waits
    kForwarding,  // a try is under way, nothing of a final response was sent
    kResponding,  // the head of the response went out
    kTunnel,      // after a 101
    kEnded,
  };

  // The upstream side's events, under names of their own.
  class Upstream final : public StreamUser {
   public:
    explicit Upstream(Exchange& exchange) : exchange_(exchange) {}
    void on_head(Head& head, bool end) override { exchange_.on_response_head(head, end); }
    void on_body(std::string_view bytes, bool end) override {
      exchange_.on_response_body(bytes, end);
    }
    void on_trailers(Fields& trailers) override { exchange_.on_response_trailers(trailers); }
    void on_drain() override { exchange_.on_upstream_drain(); }
    void on_reset(const Error& error) override { exchange_.on_upstream_reset(error); }

   private:
    Exchange& exchange_;
  };

  // The request.
  Result<void> accept_head();
  Result<void> read_target();
  bool body_too_large(uint64_t size) const { return size > most_body_; }
  RouteKey route_key() const;
  bool find_route();
  void choose_backend();
  void run_filters();
  const Filter& filter_at(size_t index) const;
  size_t filter_count() const;

  // The upstream.
  void forward();
  LocalInstance* pick();
  Balancer::Hint balancer_hint(std::span<Candidate*> excluded);
  void start_try();
  void wait_for_room();
  void on_wait_timeout();
  void send_request();
  void send_retained();
  void hold_body(std::string_view bytes);
  void pause_client();
  void resume_client();
  bool may_resend() const;
  enum class Reason : uint8_t { kConnect, kReset, kTimeout, kStatus, kStale };
  bool retry(Reason reason);
  bool policy_retries(Reason reason) const;
  Counter& retry_counter(Reason reason) const;
  // `outcome` is empty when the client or an operator ended it: that says nothing of the instance.
  void end_try(std::optional<Outcome> outcome);
  void record_health(Outcome outcome);
  void on_upstream_drain();
  void on_upstream_reset(const Error& error);

  // The response.
  void on_response_head(Head& head, bool end);
  void on_informational(Head& head);
  bool valid_switch(const Head& head) const;
  void on_response_body(std::string_view bytes, bool end);
  void on_response_trailers(Fields& trailers);
  enum class Sent : uint8_t { kRoom, kFull, kBroken };
  Sent send_down(std::string_view bytes, bool last, bool end);
  Sent send_changed(Buffer& changed, bool end);
  Sent break_transform();
  void pause_upstream();
  void send_response(Head& head, bool end);
  void add_sticky_cookie(Head& head);
  void finish_response();
  void reply_problem(const Error& error);
  void send_reply(LocalReply reply);
  std::string_view allowed_methods();

  // Time and end.
  void release_upstream();
  void on_deadline();
  void on_try_timeout();
  void on_stall();
  bool client_takes_bytes();
  void watch_progress();
  void abort(const Error& error);
  void finish();
  void count_and_log();
  int64_t unix_ns(uint64_t monotonic) const;
  void record_try(std::optional<Outcome> outcome, uint64_t now);
  void record_request(uint64_t now);

  struct FilterState {
    void* word = nullptr;
  };

  static constexpr size_t kMaxRetained = 65536;
  static constexpr size_t kMaxTried = 8;

  ProxyContext& context_;
  Upstream upstream_side_;
  ServerStream* down_;
  ClientStream* up_ = nullptr;
  Phase phase_ = Phase::kReading;

  LocalPtr<Pin> pin_;
  Match match_;
  const Backend* backend_ = nullptr;
  LocalPtr<LocalUpstream> upstream_;
  LocalPtr<LocalInstance> instance_;

  Head* request_ = nullptr;
  Head* response_ = nullptr;
  Fields* trailers_ = nullptr;  // of the request, held until they may be sent
  Client client_;
  Target target_;
  std::string_view path_;              // normalised; what was matched
  std::string_view host_;              // normalised
  std::string_view client_authority_;  // Host as it came
  std::string_view authority_;         // Host after the filters
  std::string_view request_id_;
  RequestTrace trace_;
  std::string_view user_;
  const Claims* claims_ = nullptr;
  size_t filters_run_ = 0;
  size_t running_ = 0;                    // the filter whose state() is asked for
  std::span<FilterState> filter_states_;  // made when the first filter asks
  BodyTaps taps_;
  BodyTransforms transforms_;
  const char* auth_failure_ = nullptr;
  uint64_t most_body_ = UINT64_MAX;  // bytes of the request's body
  LocalReply* reply_ = nullptr;      // a filter's, until it is sent
  bool tunnel_down_ended_ = false;
  bool tunnel_up_ended_ = false;

  // Body bytes that are held back: while there is no ready upstream, and for another try.
  Buffer retained_;
  bool retained_whole_ = true;  // it has all of the body so far
  bool keep_retained_ = false;  // this request may be sent again after its body went out
  bool request_ended_ = false;
  bool waits_for_connection_ = false;
  bool request_sent_ = false;  // the end of it, to the upstream of this try

  std::array<LocalPtr<LocalInstance>, kMaxTried> tried_;
  size_t tried_count_ = 0;
  uint32_t retries_ = 0;   // tries after the first
  uint32_t attempts_ = 0;  // those of them that the policy's attempts count
  bool budgeted_ = false;  // one of them at least counts against the retry budget
  bool replayed_stale_ = false;
  bool fresh_ = false;              // the next try takes no idle connection
  std::string_view sticky_cookie_;  // to be set on the client

  Timer deadline_;
  Timer try_timer_;
  Timer stall_;
  Timer wait_timer_;
  RequestSlot request_slot_;
  uint64_t last_progress_ms_ = 0;
  size_t last_unsent_ = SIZE_MAX;  // when on_stall last looked
  bool down_paused_ = false;       // the client's reading is stopped: the upstream is slow
  bool up_paused_ = false;         // the upstream's reading is stopped: the client is slow

  const int64_t start_unix_us_;
  const uint64_t start_ns_;
  uint64_t upstream_start_ns_ = 0;
  uint64_t try_start_ns_ = 0;
  int64_t upstream_us_ = -1;
  uint64_t bytes_in_ = 0;
  uint64_t bytes_out_ = 0;
  uint16_t status_ = 0;
  Failure local_failure_ = Failure::kNone;
};

}  // namespace lictor
