#include "proxy/subrequest.h"

#include <array>
#include <utility>

#include "http/rules.h"
#include "proxy/forward.h"
#include "proxy/outcome.h"
#include "proxy/span.h"

namespace lictor {
namespace {

// Sent twice it does what it does sent once (RFC 9110, section 9.2.2).
bool is_idempotent(Method method) {
  switch (method) {
    case Method::kGet:
    case Method::kHead:
    case Method::kOptions:
    case Method::kPut:
    case Method::kDelete:
      return true;
    default:
      return false;
  }
}

}  // namespace

// --- all of them ---------------------------------------------------------------------------------

Subrequest* Subrequests::make(LocalPtr<LocalUpstream> upstream, SubrequestUser* user,
                              const SubrequestTrace& trace) {
  size_t& count = user == nullptr ? unattended_ : attended_;
  if (count >= (user == nullptr ? kMostUnattended : kMostAttended)) return nullptr;
  ++count;
  std::unique_ptr<ProxySubrequest> made;
  if (free_.empty()) {
    made = std::make_unique<ProxySubrequest>(*this);
  } else {
    made = std::move(free_.back());
    free_.pop_back();
  }
  made->begin(std::move(upstream), user, trace);
  live_.push_back(*made);
  return made.release();  // its own, until it retires
}

void Subrequests::close_all() {
  while (!live_.empty()) live_.front().cancel();
}

// --- the request ---------------------------------------------------------------------------------

ProxySubrequest::ProxySubrequest(Subrequests& owner) : owner_(owner) {
  timer_.bind<&ProxySubrequest::on_timeout>(this);
}

void ProxySubrequest::begin(LocalPtr<LocalUpstream> upstream, SubrequestUser* user,
                            const SubrequestTrace& trace) {
  upstream_ = std::move(upstream);
  user_ = user;
  attended_ = user != nullptr;
  trace_ = trace;
}

bool ProxySubrequest::append(std::string_view bytes) {
  if (bytes.size() > kMaxBody - body_.size()) return false;
  body_.append(bytes);
  return true;
}

void ProxySubrequest::send(Millis timeout) {
  const bool announced = head_.body != BodyKind::kNone || !body_.empty();
  head_.body = announced ? BodyKind::kLength : BodyKind::kNone;
  head_.length = body_.size();
  authority_ = head_.authority;
  if (trace_.spans != nullptr) name_span();
  if (timeout.count() > 0) owner_.loop_.arm(timer_, static_cast<uint64_t>(timeout.count()));
  sending_ = true;
  start_try();
  sending_ = false;  // still here: NOLINT(clang-analyzer-cplusplus.NewDelete) fail() waits for it
}

void ProxySubrequest::start_try() {
  Candidate* excluded = failed_.get();
  const std::span<Candidate*> without(&excluded, excluded == nullptr ? 0 : 1);
  LocalInstance* picked =
      upstream_->pick(upstream_->subset({}), Balancer::Hint{std::nullopt, without, false});
  if (picked == nullptr) {
    fail({Failure::kNoInstance, false, "the service has no usable instance"});
    return;
  }
  if (!upstream_->begin_request(slot_, false)) {
    fail({Failure::kOverloaded, false, "the service has max_requests in flight"});
    return;
  }
  up_ = upstream_->must_wait(*this) ? nullptr : picked->acquire(upstream_->policy(), fresh_);
  if (up_ == nullptr) {
    slot_.reset();
    if (upstream_->wait(*this)) return;
    fail({Failure::kOverloaded, false, "max_pending requests wait for a connection"});
    return;
  }
  instance_ = LocalPtr<LocalInstance>(picked);
  ++instance_->active;
  instance_->cells().active.add();
  try_start_ns_ = monotonic_ns();
  answer_ = arena_.make<Head>();
  head_.authority = upstream_host(upstream_->policy(), authority_, instance_->address());
  up_->attach(*this, head_, *answer_, arena_);
  up_->send_head(head_, body_.empty());
  waits_for_connection_ = !body_.empty() && !up_->ready();
  if (!body_.empty() && !waits_for_connection_) send_body();
}

void ProxySubrequest::send_body() {
  std::array<iovec, 16> pieces;
  const size_t count = body_.vectors(pieces.data(), pieces.size());
  for (size_t i = 0; i < count; ++i) {
    up_->send_body({static_cast<char*>(pieces[i].iov_base), pieces[i].iov_len}, i + 1 == count);
  }
}

void ProxySubrequest::on_room() { start_try(); }

void ProxySubrequest::on_drain() {
  if (std::exchange(waits_for_connection_, false)) send_body();
}

// --- the answer ----------------------------------------------------------------------------------

void ProxySubrequest::on_head(Head& head, bool end) {
  if (head.status == 101) {
    on_reset({Failure::kUpstreamProtocol, true, "a 101 that nobody asked for"});
    return;
  }
  if (head.status < 200) return;
  if (end) complete();
}

void ProxySubrequest::on_body(std::string_view bytes, bool end) {
  received_ += bytes.size();
  whole_ = received_ <= kMaxBody;
  if (whole_ && attended_) answer_body_.append(bytes);
  // What nobody wants is not waited for, either.
  if (end || !whole_) complete();
}

void ProxySubrequest::on_trailers(Fields&) { complete(); }

void ProxySubrequest::on_reset(const Error& error) {
  const bool stale = up_->stale() && error.failure == Failure::kUpstreamReset;
  const Outcome outcome = outcome_of(error.failure);
  const bool its_fault = !stale && error.failure != Failure::kNoResources;
  if (its_fault) upstream_->report(*instance_, false);
  end_try(outcome);
  const bool may_resend = !error.possibly_sent || is_idempotent(head_.method);
  const bool worth_it = stale || outcome == Outcome::kConnectError;
  if (!may_resend || !worth_it || std::exchange(tried_again_, true)) {
    fail(error);
    return;
  }
  UpstreamCells& cells = upstream_->cells();
  (stale ? cells.retries_stale : cells.retries_connect).add();
  fresh_ = stale;
  if (!stale) failed_ = instance_;
  start_try();
}

void ProxySubrequest::on_timeout() {
  if (up_ != nullptr) upstream_->report(*instance_, false);
  end_try(Outcome::kTimeout);
  fail({Failure::kUpstreamTimeout, true, "no answer within the timeout"});
}

// --- its span ------------------------------------------------------------------------------------

// Whoever is asked hears of it as the parent of its own.
void ProxySubrequest::name_span() {
  start_ns_ = monotonic_ns();
  write_hex64(trace_.span_id, span_id_);
  const std::string_view id(span_id_, sizeof(span_id_));
  head_.fields.remove(FieldId::kTraceparent);
  head_.fields.add(arena_,
                   {"traceparent", arena_.concat("00-", trace_.parent.trace_id, "-", id, "-01"),
                    FieldId::kTraceparent});
}

void ProxySubrequest::record_span(std::optional<Outcome> outcome) {
  if (trace_.spans == nullptr || start_ns_ == 0) return;
  const bool answered = answer_ != nullptr && answer_->status >= 200;
  const TrySpan span{.request = head_,
                     .tls = upstream_->policy().tls.client != nullptr,
                     .address = instance_ ? std::string_view(instance_->address()) : "",
                     .service = upstream_->service(),
                     .instance = instance_ ? std::string_view(instance_->id()) : "",
                     .resent = tried_again_ ? 1U : 0U,
                     .response = answered ? answer_ : nullptr,
                     .outcome = outcome};
  const std::string_view id(span_id_, sizeof(span_id_));
  const auto unix_ns = [this](uint64_t at) { return trace_.unix_ns + static_cast<int64_t>(at); };
  trace_.spans->add(
      write_try_span({trace_.parent.trace_id, id, trace_.parent.span_id, trace_.parent.state}, span,
                     unix_ns(start_ns_), unix_ns(monotonic_ns())));
  trace_.spans = nullptr;
}

// --- the end -------------------------------------------------------------------------------------

void ProxySubrequest::end_try(std::optional<Outcome> outcome) {
  if (up_ == nullptr) return;
  --instance_->active;
  instance_->cells().active.sub();
  slot_.reset();
  if (outcome) {
    instance_->cells().outcomes[static_cast<size_t>(*outcome)].add();
    upstream_->cells().duration.observe((monotonic_ns() - try_start_ns_) / 1000);
  }
  std::exchange(up_, nullptr)->release();
}

void ProxySubrequest::complete() {
  const bool failed = upstream_->is_failure_status(answer_->status);
  upstream_->report(*instance_, !failed);
  const Outcome outcome = answer_->status >= 500 ? Outcome::k5xx : Outcome::kOk;
  end_try(outcome);
  record_span(outcome);
  Loop::cancel(timer_);
  if (SubrequestUser* user = std::exchange(user_, nullptr); user != nullptr) {
    prepare_informational(*answer_);
    std::string_view body;
    if (whole_ && !answer_body_.empty()) {
      char* out = arena_.chars(answer_body_.size());
      body = {out, answer_body_.size()};
      for (; !answer_body_.empty(); answer_body_.consume(answer_body_.front().size())) {
        out = std::copy(answer_body_.front().begin(), answer_body_.front().end(), out);
      }
    }
    user->on_answer({*answer_, body, whole_});
  }
  retire();
}

void ProxySubrequest::fail(const Error& error) {
  if (sending_) {
    failure_ = error;
    owner_.loop_.flush_later(*this);
    return;
  }
  Loop::cancel(timer_);
  record_span(outcome_of(error.failure));
  if (SubrequestUser* user = std::exchange(user_, nullptr); user != nullptr) {
    user->on_failure(error);
  }
  retire();
}

void ProxySubrequest::cancel() {
  user_ = nullptr;
  end_try(std::nullopt);
  record_span(std::nullopt);
  retire();
}

// The last thing that happens to it: it is used again, or gone, when this returns.
void ProxySubrequest::retire() {
  Loop::cancel(timer_);
  if (upstream_) upstream_->leave(*this);
  Flushable::unlink();
  ListNode<ProxySubrequest>::unlink();
  --(attended_ ? owner_.attended_ : owner_.unattended_);
  if (owner_.free_.size() >= Subrequests::kKept) {
    delete this;
    return;
  }
  instance_.reset();
  failed_.reset();
  upstream_.reset();
  body_.clear();
  answer_body_.clear();
  head_ = Head();
  arena_.reset();
  answer_ = nullptr;
  start_ns_ = 0;
  received_ = 0;
  whole_ = true;
  tried_again_ = fresh_ = waits_for_connection_ = false;
  owner_.free_.emplace_back(this);
}

}  // namespace lictor
