// What filters ask of services themselves (filter/subrequest.h): one request to an instance, with
// the balancers, pools, limits and passive health that exchanges use. A stale connection, or one
// that was refused, costs one more try. Belongs to a worker, not to an exchange, and is recycled.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/list.h"
#include "filter/subrequest.h"
#include "http/stream.h"
#include "io/loop.h"
#include "proxy/local_upstream.h"
#include "telemetry/trace.h"

namespace lictor {

class Subrequests;

// The trace that a question is a span of. Its texts live as long as who asks.
struct SubrequestTrace {
  SpanQueue* spans = nullptr;  // null: it is none
  SpanWriter::Ids parent;      // the span of the request
  uint64_t span_id = 0;
  int64_t unix_ns = 0;  // of the monotonic clock's zero
};

class ProxySubrequest final : public Subrequest,
                              public StreamUser,
                              public Waiter,
                              public Flushable,
                              public ListNode<ProxySubrequest> {
 public:
  explicit ProxySubrequest(Subrequests& owner);
  ~ProxySubrequest() = default;

  // Subrequest
  Head& head() override { return head_; }
  Arena& arena() override { return arena_; }
  bool append(std::string_view bytes) override;
  void send(Millis timeout) override;
  void cancel() override;

  // StreamUser, of the upstream side: the answer.
  void on_head(Head& head, bool end) override;
  void on_body(std::string_view bytes, bool end) override;
  void on_trailers(Fields& trailers) override;
  void on_drain() override;
  void on_reset(const Error& error) override;

  // Waiter
  void on_room() override;
  // Flushable: what was found out inside send is told when the turn ends.
  void flush() override { fail(failure_); }

 private:
  friend class Subrequests;
  void begin(LocalPtr<LocalUpstream> upstream, SubrequestUser* user, const SubrequestTrace& trace);
  void name_span();
  void record_span(std::optional<Outcome> outcome);
  void start_try();
  void send_body();
  void end_try(std::optional<Outcome> outcome);
  void on_timeout();
  void complete();
  void fail(const Error& error);
  void retire();

  Subrequests& owner_;
  SubrequestUser* user_ = nullptr;
  bool attended_ = false;  // it was made with a user
  SubrequestTrace trace_;
  uint64_t start_ns_ = 0;
  char span_id_[16];
  LocalPtr<LocalUpstream> upstream_;

  Arena arena_;
  Head head_;
  Buffer body_;  // kept whole, for another try
  std::string_view authority_;
  bool sending_ = false;  // inside send
  Error failure_;         // found out there

  LocalPtr<LocalInstance> instance_;
  ClientStream* up_ = nullptr;
  RequestSlot slot_;
  Timer timer_;
  uint64_t try_start_ns_ = 0;
  bool waits_for_connection_ = false;
  bool tried_again_ = false;
  bool fresh_ = false;              // the next try takes no idle connection
  LocalPtr<LocalInstance> failed_;  // nor this one

  Head* answer_ = nullptr;
  Buffer answer_body_;
  size_t received_ = 0;  // of the answer's body
  bool whole_ = true;    // answer_body_ has all of it so far
};

// One a worker.
class Subrequests {
 public:
  // At once, with and without a user.
  static constexpr size_t kMostAttended = 4096;
  static constexpr size_t kMostUnattended = 256;

  explicit Subrequests(Loop& loop) : loop_(loop) {}
  ~Subrequests() { close_all(); }
  Subrequests(const Subrequests&) = delete;
  Subrequests& operator=(const Subrequests&) = delete;

  // Null when there are too many.
  Subrequest* make(LocalPtr<LocalUpstream> upstream, SubrequestUser* user,
                   const SubrequestTrace& trace = {});
  void close_all();

 private:
  friend class ProxySubrequest;
  static constexpr size_t kKept = 64;

  Loop& loop_;
  List<ProxySubrequest> live_;
  size_t attended_ = 0;
  size_t unattended_ = 0;
  std::vector<std::unique_ptr<ProxySubrequest>> free_;
};

}  // namespace lictor
