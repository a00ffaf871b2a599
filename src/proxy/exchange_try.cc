// The tries of an exchange: an instance is chosen, the request goes to it, and if that fails to
// another, as long as the route's policy, the upstream's budget and the request itself allow it.
#include <algorithm>
#include <array>
#include <utility>

#include "proxy/exchange.h"
#include "proxy/outcome.h"

namespace lictor {
namespace {

bool contains(const std::vector<std::string>& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

// --- to the upstream -----------------------------------------------------------------------------

void Exchange::forward() {
  phase_ = Phase::kForwarding;
  authority_ = request_->authority;
  if (backend_ == nullptr) {
    const bool weightless = !match_.route->backends.empty();
    reply_problem(weightless ? Error{Failure::kNoInstance, false, "all backends have weight 0"}
                             : Error{Failure::kNoRoute, false, "the route has no service"});
    return;
  }
  const RetryPolicy& retries = match_.route->retries;
  keep_retained_ = contains(retries.methods, request_->method_name);
  start_try();
}

// An instance of the backend, or of the first failover that has a usable one.
LocalInstance* Exchange::pick() {
  std::array<Candidate*, kMaxTried> excluded;
  for (size_t i = 0; i < tried_count_; ++i) excluded[i] = tried_[i].get();
  const auto from = [&](const Destination& target) {
    upstream_ = pin_->upstreams[target.upstream];
    return upstream_->pick(upstream_->subset(target),
                           balancer_hint({excluded.data(), tried_count_}));
  };
  const auto well = [&](const Destination& target) {
    return upstream_->has_usable(upstream_->subset(target));
  };
  const auto& failover = backend_->failover;
  LocalInstance* picked = from(*backend_);
  if (failover.empty() || (picked != nullptr && well(*backend_))) return picked;
  for (const Destination& target : failover) {
    picked = from(target);
    if (picked != nullptr && well(target)) return picked;
  }
  // Nobody is well: in a panic, any.
  picked = from(*backend_);
  for (size_t i = 0; picked == nullptr && i < failover.size(); ++i) picked = from(failover[i]);
  return picked;
}

Balancer::Hint Exchange::balancer_hint(std::span<Candidate*> excluded) {
  const UpstreamPolicy& policy = upstream_->policy();
  Balancer::Hint hint{std::nullopt, excluded, policy.hash_on.set};
  if (policy.balance != Balance::kRingHash) return hint;
  hint.hash = hash_key(policy.hash_on, *request_, target_.query, client_.ip);
  if (!hint.hash && policy.hash_on.set) {
    if (sticky_cookie_.empty()) sticky_cookie_ = context_.random.id(arena());
    hint.hash = stable_hash(sticky_cookie_);
  }
  return hint;
}

void Exchange::start_try() {
  LocalInstance* picked = pick();
  if (picked == nullptr) {
    reply_problem({Failure::kNoInstance, false, "the service has no usable instance"});
    return;
  }
  if (!upstream_->begin_request(request_slot_, budgeted_)) {
    reply_problem({Failure::kOverloaded, false, "the service has max_requests in flight"});
    return;
  }
  ClientStream* stream =
      upstream_->must_wait(*this) ? nullptr : picked->acquire(upstream_->policy(), fresh_);
  if (stream == nullptr) {
    wait_for_room();
    return;
  }
  Loop::cancel(wait_timer_);
  up_ = stream;
  instance_ = LocalPtr<LocalInstance>(picked);
  ++instance_->active;
  instance_->cells().active.add();
  try_start_ns_ = monotonic_ns();
  if (upstream_start_ns_ == 0) upstream_start_ns_ = try_start_ns_;
  response_ = arena().make<Head>();
  if (trace_.recorded()) trace_.begin_try(context_.random);
  up_->attach(upstream_side_, *request_, *response_, arena());
  const auto limit = match_.route->retries.per_try_timeout;
  if (limit.count() > 0) context_.loop.arm(try_timer_, static_cast<uint64_t>(limit.count()));
  send_request();
}

// All connections that the policy allows are in use: until one is free, for connect_timeout at
// most. The client is read on, so that we hear when it gives up; its body pauses it.
void Exchange::wait_for_room() {
  request_slot_.reset();
  if (!upstream_->wait(*this)) {
    reply_problem({Failure::kOverloaded, false, "max_pending requests wait for a connection"});
    return;
  }
  const auto limit = upstream_->policy().connect_timeout;
  if (!wait_timer_.armed() && limit.count() > 0) {
    context_.loop.arm(wait_timer_, static_cast<uint64_t>(limit.count()));
  }
}

void Exchange::on_room() { start_try(); }

void Exchange::send_request() {
  request_->authority = backend_->instance_host
                            ? instance_->address()
                            : upstream_host(upstream_->policy(), authority_, instance_->address());
  request_sent_ = request_ended_ && retained_.empty() && trailers_ == nullptr;
  up_->send_head(*request_, request_sent_);
  waits_for_connection_ = !request_sent_ && !up_->ready();
  if (waits_for_connection_) {
    if (!request_ended_) pause_client();
  } else if (!request_sent_) {
    send_retained();
  } else {
    resume_client();
  }
}

// What was held back goes out; then the client's bytes pass straight through.
void Exchange::send_retained() {
  std::array<iovec, 16> pieces;
  const size_t count = retained_.vectors(pieces.data(), pieces.size());
  bool room = true;
  for (size_t i = 0; i < count; ++i) {
    room = up_->send_body({static_cast<char*>(pieces[i].iov_base), pieces[i].iov_len}, false);
  }
  if (!keep_retained_ || retained_.size() > kMaxRetained) {
    retained_whole_ = retained_whole_ && retained_.empty();
    retained_.clear();
  }
  if (request_ended_) {
    trailers_ == nullptr ? static_cast<void>(up_->send_body({}, true))
                         : up_->send_trailers(*trailers_);
    request_sent_ = true;
    resume_client();
  } else if (room) {
    resume_client();
    watch_progress();
  }
}

void Exchange::pause_client() {
  down_paused_ = true;
  down_->pause();
}

// Also when nothing is to come any more: who does not read does not hear that the client went.
void Exchange::resume_client() {
  if (!std::exchange(down_paused_, false)) return;
  down_->resume();
}

// Keeps a copy for another try, as long as all of the body fits.
void Exchange::hold_body(std::string_view bytes) {
  if (bytes.empty() || !retained_whole_) return;
  if (keep_retained_ && retained_.size() + bytes.size() <= kMaxRetained) {
    retained_.append(bytes);
    return;
  }
  retained_whole_ = false;
  retained_.clear();
}

void Exchange::on_upstream_drain() {
  if (waits_for_connection_) {
    waits_for_connection_ = false;
    send_retained();
  } else {
    resume_client();
  }
}

// --- when a try fails ----------------------------------------------------------------------------

bool Exchange::may_resend() const {
  return retained_whole_ && contains(match_.route->retries.methods, request_->method_name);
}

void Exchange::record_health(Outcome outcome) {
  upstream_->report(*instance_, outcome == Outcome::kOk);
}

void Exchange::end_try(std::optional<Outcome> outcome) {
  if (up_ == nullptr) return;
  Loop::cancel(try_timer_);
  --instance_->active;
  instance_->cells().active.sub();
  request_slot_.reset();
  const uint64_t now = monotonic_ns();
  upstream_us_ = static_cast<int64_t>((now - upstream_start_ns_) / 1000);
  if (outcome) {
    instance_->cells().outcomes[static_cast<size_t>(*outcome)].add();
    upstream_->cells().duration.observe((now - try_start_ns_) / 1000);
  }
  if (trace_.recorded()) record_try(outcome, now);
  release_upstream();
}

void Exchange::release_upstream() {
  if (up_ == nullptr) return;
  ClientStream* released = up_;
  up_ = nullptr;
  up_paused_ = false;
  released->release();
}

void Exchange::on_upstream_reset(const Error& error) {
  const bool stale = up_->stale() && error.failure == Failure::kUpstreamReset;
  const Outcome outcome = outcome_of(error.failure);
  const bool its_fault = !stale && error.failure != Failure::kNoResources;
  if (its_fault) record_health(outcome);
  end_try(outcome);
  if (phase_ != Phase::kForwarding) {
    abort(error);
    return;
  }
  if (error.possibly_sent && !may_resend()) {
    reply_problem(error);
  } else if (stale && !replayed_stale_) {
    replayed_stale_ = true;
    retry(Reason::kStale);
  } else {
    const Reason reason = outcome == Outcome::kConnectError ? Reason::kConnect : Reason::kReset;
    if (!retry(reason)) reply_problem(error);
  }
}

bool Exchange::policy_retries(Reason reason) const {
  const RetryPolicy& policy = match_.route->retries;
  switch (reason) {
    case Reason::kConnect:
      return policy.on_connect;
    case Reason::kReset:
      return policy.on_reset;
    case Reason::kTimeout:
      return policy.on_timeout;
    case Reason::kStatus:
    case Reason::kStale:
      break;
  }
  return true;  // who asks has looked
}

Counter& Exchange::retry_counter(Reason reason) const {
  UpstreamCells& cells = upstream_->cells();
  switch (reason) {
    case Reason::kConnect:
      return cells.retries_connect;
    case Reason::kReset:
      return cells.retries_reset;
    case Reason::kTimeout:
      return cells.retries_timeout;
    case Reason::kStatus:
      return cells.retries_status;
    case Reason::kStale:
      break;
  }
  return cells.retries_stale;
}

// Starts another try, on another instance if there is one. False when the route's policy or the
// upstream's budget says no. A stale connection is nobody's failure, and its replay is free. A
// refused connection was no load: however many there are at once, when an instance has just gone,
// the budget is not theirs.
bool Exchange::retry(Reason reason) {
  fresh_ = reason == Reason::kStale;
  if (reason != Reason::kStale) {
    if (attempts_ >= match_.route->retries.attempts || !policy_retries(reason)) return false;
    if (reason != Reason::kConnect) {
      if (!upstream_->can_retry(&request_slot_)) return false;
      budgeted_ = true;
    }
    ++attempts_;
  }
  retry_counter(reason).add();
  ++retries_;
  // A session is not lost over a stale connection: its instance gets a fresh one.
  const bool stays = reason == Reason::kStale && upstream_->policy().balance == Balance::kRingHash;
  if (!stays && tried_count_ < kMaxTried) tried_[tried_count_++] = instance_;
  start_try();
  return true;
}

}  // namespace lictor
