#include "proxy/exchange.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "http/rules.h"

namespace lictor {
namespace {

int64_t unix_us() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
}

std::string_view new_request_id(Random& random, Arena& arena) {
  constexpr std::string_view kHex = "0123456789abcdef";
  char* out = arena.chars(32);
  for (int word = 0; word < 2; ++word) {
    uint64_t bits = random.next();
    for (int i = 0; i < 16; ++i, bits >>= 4) out[word * 16 + i] = kHex[bits & 15];
  }
  return {out, 32};
}

bool contains(const std::vector<std::string>& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

Outcome outcome_of(Failure failure) {
  switch (failure) {
    case Failure::kConnectRefused:
    case Failure::kNoResources:
    case Failure::kConnectTimeout:
      return Outcome::kConnectError;
    case Failure::kUpstreamTimeout:
      return Outcome::kTimeout;
    case Failure::kUpstreamProtocol:
      return Outcome::kProtocolError;
    default:
      return Outcome::kReset;
  }
}

}  // namespace

Exchange::Exchange(ProxyContext& context, ServerStream& downstream)
    : context_(context),
      upstream_side_(*this),
      down_(&downstream),
      pin_(context.pin),
      start_unix_us_(unix_us()),
      start_ns_(monotonic_ns()) {
  deadline_.bind<&Exchange::on_deadline>(this);
  try_timer_.bind<&Exchange::on_try_timeout>(this);
  stall_.bind<&Exchange::on_stall>(this);
  wait_timer_.bind<&Exchange::on_wait_timeout>(this);
}

// --- the request's head --------------------------------------------------------------------------

void Exchange::on_head(Head& head, bool end) {
  request_ = &head;
  request_ended_ = end;
  if (const auto accepted = accept_head(); !accepted) {
    reply_problem(accepted.error());
    return;
  }
  // Ahead of the route, so that its conditions see no field that a client may not send.
  prepare_request(*request_, {client_, down_->peer(), request_id_, scheme()}, arena());
  if (!find_route()) return;
  choose_backend();
  run_filters();
}

Result<void> Exchange::accept_head() {
  client_ = identify_client(request_->fields, down_->peer().address.ip(),
                            context_.settings->trusted_proxies);
  request_id_ =
      client_.request_id.empty() ? new_request_id(context_.random, arena()) : client_.request_id;
  client_authority_ = request_->authority;
  if (auto read = read_target(); !read) return read;
  if (request_->method == Method::kConnect) {
    down_->close_after();  // what follows was meant for the tunnel
    return fail(Failure::kMethodNotAllowed, "CONNECT is not for gateways");
  }
  if (loops(request_->fields)) return fail(Failure::kLoopDetected, "Via shows a loop");
  if (request_->body == BodyKind::kLength && body_too_large(request_->length)) {
    return fail(Failure::kBodyTooLarge, "the body is larger than limits.body_bytes");
  }
  return {};
}

Result<void> Exchange::read_target() {
  auto target = parse_target(request_->method, request_->target);
  if (!target) return std::unexpected(target.error());
  target_ = *target;
  if (target_.form == TargetForm::kAbsolute) {
    // The target's authority counts (RFC 9112, section 3.2.2); one that Host contradicts is an
    // attack.
    const bool same =
        request_->authority.empty() || equals_ignore_case(request_->authority, target_.authority);
    if (!same) return fail(Failure::kBadRequest, "Host differs from the target's authority");
    request_->authority = client_authority_ = target_.authority;
  }
  host_ = normalise_host(request_->authority, arena());
  if (target_.form == TargetForm::kAsterisk) {
    path_ = "*";
    return {};
  }
  const auto path = normalise_path(target_.path, arena());
  if (!path) return std::unexpected(path.error());
  path_ = *path;
  const bool as_it_came =
      target_.form == TargetForm::kOrigin && path_.data() == target_.path.data();
  if (!as_it_came) {
    request_->target = target_.has_query ? arena().concat(path_, "?", target_.query) : path_;
  }
  return {};
}

bool Exchange::body_too_large(uint64_t size) const {
  const uint64_t most = context_.settings->body_bytes;
  return most != 0 && size > most;
}

RouteKey Exchange::route_key() const {
  return {request_->method_name, host_, path_, {&request_->fields, target_.query}};
}

bool Exchange::find_route() {
  if (!pin_) {
    reply_problem({Failure::kNoInstance, false, "the configuration has not been read yet"});
    return false;
  }
  match_.route = nullptr;
  match_.method_mismatch = false;
  match_.capture_count = 0;
  pin_->snapshot->table.match(route_key(), match_);
  if (match_.route == nullptr) {
    reply_problem(match_.method_mismatch
                      ? Error{Failure::kMethodNotAllowed, false, "no route takes this method here"}
                      : Error{Failure::kNoRoute, false, "no route takes this host and path"});
    return false;
  }
  if (match_.route->timeout.count() > 0) {
    context_.loop.arm(deadline_, static_cast<uint64_t>(match_.route->timeout.count()));
  }
  return true;
}

void Exchange::choose_backend() {
  const auto& backends = match_.route->backends;
  if (backends.empty() || match_.route->total_weight == 0) return;
  uint64_t ticket = backends.size() == 1 ? 0 : context_.random.next() % match_.route->total_weight;
  for (const Backend& backend : backends) {
    if (ticket < backend.weight || backends.size() == 1) {
      backend_ = &backend;
      return;
    }
    ticket -= backend.weight;
  }
}

// --- the filters ---------------------------------------------------------------------------------

size_t Exchange::filter_count() const {
  return pin_->snapshot->filters.size() + match_.route->filters.size();
}

const Filter& Exchange::filter_at(size_t index) const {
  const FilterChain& common = pin_->snapshot->filters;
  return index < common.size() ? *common[index] : *match_.route->filters[index - common.size()];
}

void Exchange::run_filters() {
  while (filters_run_ < filter_count()) {
    const Filter& filter = filter_at(filters_run_++);
    switch (filter.on_request(*this)) {
      case Step::kNext:
        continue;
      case Step::kWait:
        phase_ = Phase::kFiltering;
        pause_client();
        return;
      case Step::kStop:
        if (reply_ == nullptr) {
          reply_problem({Failure::kInternal, false, "a filter stopped without an answer"});
        } else {
          send_reply(*reply_);
        }
        return;
    }
  }
  forward();
}

void Exchange::resume() {
  if (phase_ != Phase::kFiltering) return;
  phase_ = Phase::kReading;
  if (reply_ != nullptr) {
    send_reply(*reply_);
  } else {
    run_filters();
  }
}

void Exchange::reply(const Error& error) {
  local_failure_ = error.failure;
  reply_ = arena().make<LocalReply>(make_problem(error, request_id_, {}, arena()));
}

void Exchange::reply(uint16_t status, const Fields& fields, std::string_view body) {
  reply_ = arena().make<LocalReply>(make_reply(status, fields, body, arena()));
}

std::string_view Exchange::route() const {
  return match_.route == nullptr ? std::string_view{} : match_.route->name;
}

std::string_view Exchange::service() const {
  return backend_ == nullptr ? std::string_view{} : backend_->service;
}

std::string_view Exchange::capture(std::string_view name) const {
  for (size_t i = 0; i < match_.capture_count; ++i) {
    if (match_.captures[i].name == name) return match_.captures[i].value;
  }
  return {};
}

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
    if (sticky_cookie_.empty()) sticky_cookie_ = new_request_id(context_.random, arena());
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

void Exchange::on_wait_timeout() {
  reply_problem({Failure::kOverloaded, false, "no connection was free within connect_timeout"});
}

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

void Exchange::on_upstream_drain() {
  if (waits_for_connection_) {
    waits_for_connection_ = false;
    send_retained();
  } else {
    resume_client();
  }
}

// --- the request's body --------------------------------------------------------------------------

void Exchange::on_body(std::string_view bytes, bool end) {
  if (phase_ == Phase::kEnded) return;
  bytes_in_ += bytes.size();
  last_progress_ms_ = context_.loop.now_ms();
  if (phase_ == Phase::kTunnel) {
    tunnel_down_ended_ = tunnel_down_ended_ || end;
    if (!up_->send_body(bytes, end)) pause_client();
    if (end) watch_progress();
    if (tunnel_down_ended_ && tunnel_up_ended_) finish_response();
    return;
  }
  if (body_too_large(bytes_in_)) {
    end_try(std::nullopt);
    reply_problem({Failure::kBodyTooLarge, false, "the body is larger than limits.body_bytes"});
    return;
  }
  request_ended_ = request_ended_ || end;
  if (up_ == nullptr || !up_->ready()) {
    retained_.append(bytes);
    // Who has sent all may still give up.
    request_ended_ ? resume_client() : pause_client();
    return;
  }
  hold_body(bytes);
  const bool room = up_->send_body(bytes, end);
  request_sent_ = request_sent_ || end;
  if (!room && !end) pause_client();
  if (!end) watch_progress();
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

void Exchange::on_trailers(Fields& trailers) {
  if (phase_ == Phase::kEnded) return;
  request_ended_ = true;
  trailers_ = &trailers;
  if (up_ == nullptr || !up_->ready()) return;
  up_->send_trailers(trailers);
  request_sent_ = true;
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

// --- the response --------------------------------------------------------------------------------

void Exchange::on_response_head(Head& head, bool end) {
  if (head.status < 200 && head.status != 101) {
    on_informational(head);
    return;
  }
  Loop::cancel(try_timer_);
  if (head.status == 101 && !valid_switch(head)) {
    on_upstream_reset({Failure::kUpstreamProtocol, true, "a 101 that nobody asked for"});
    return;
  }
  const bool failed = upstream_->is_failure_status(head.status);
  record_health(failed ? Outcome::k5xx : Outcome::kOk);
  const RetryPolicy& retries = match_.route->retries;
  const bool retry_status = std::find(retries.on_status.begin(), retries.on_status.end(),
                                      head.status) != retries.on_status.end();
  if (retry_status && attempts_ < retries.attempts && may_resend() &&
      upstream_->can_retry(&request_slot_)) {
    end_try(head.status >= 500 ? Outcome::k5xx : Outcome::kOk);
    retry(Reason::kStatus);
    return;
  }
  prepare_response(head, context_.http_date(), arena());
  send_response(head, end);
}

void Exchange::on_informational(Head& head) {
  prepare_informational(head);
  down_->send_head(head, false);
}

// RFC 9110, section 7.8: one of the protocols that were asked for, after the whole request.
bool Exchange::valid_switch(const Head& head) const {
  return request_sent_ && !request_->upgrade.empty() && !head.upgrade.empty() &&
         list_has_token(request_->upgrade, head.upgrade);
}

void Exchange::send_response(Head& head, bool end) {
  response_ = &head;
  if (!sticky_cookie_.empty() && upstream_->policy().hash_on.set) add_sticky_cookie(head);
  for (size_t i = filters_run_; i > 0; --i) filter_at(i - 1).on_response(*this);
  status_ = head.status;
  phase_ = head.status == 101 ? Phase::kTunnel : Phase::kResponding;
  down_->send_head(head, end);
  if (phase_ == Phase::kTunnel) {
    Loop::cancel(deadline_);
    Loop::cancel(stall_);
    down_->resume();
  } else if (end) {
    finish_response();
  }
}

void Exchange::add_sticky_cookie(Head& head) {
  head.fields.add(arena(), "Set-Cookie",
                  arena().concat(upstream_->policy().hash_on.name, "=", sticky_cookie_,
                                 "; Path=/; HttpOnly; SameSite=Lax"));
}

void Exchange::on_response_body(std::string_view bytes, bool end) {
  bytes_out_ += bytes.size();
  last_progress_ms_ = context_.loop.now_ms();
  if (phase_ == Phase::kTunnel) {
    tunnel_up_ended_ = tunnel_up_ended_ || end;
    end = tunnel_down_ended_ && tunnel_up_ended_;
    if (tunnel_up_ended_) {
      down_->send_body(bytes, true);
      watch_progress();
    } else if (!down_->send_body(bytes, false)) {
      up_paused_ = true;
      up_->pause();
    }
    if (end) finish_response();
    return;
  }
  const bool room = down_->send_body(bytes, end);
  if (end) {
    finish_response();
    return;
  }
  if (!room) {
    up_paused_ = true;
    up_->pause();
  }
  watch_progress();
}

void Exchange::on_response_trailers(Fields& trailers) {
  down_->send_trailers(trailers);
  finish_response();
}

void Exchange::on_drain() {
  last_progress_ms_ = context_.loop.now_ms();
  if (!up_paused_ || up_ == nullptr) return;
  up_paused_ = false;
  up_->resume();
}

void Exchange::finish_response() {
  end_try(status_ >= 500 ? Outcome::k5xx : Outcome::kOk);
  finish();
}

void Exchange::reply_problem(const Error& error) {
  if (phase_ == Phase::kResponding || phase_ == Phase::kTunnel) {
    abort(error);
    return;
  }
  local_failure_ = error.failure;
  // Who is that wrong about one request may mean something else by the next.
  if (error.failure == Failure::kBadRequest) down_->close_after();
  std::string_view allow;
  if (error.failure == Failure::kMethodNotAllowed) allow = allowed_methods();
  if (request_id_.empty()) request_id_ = new_request_id(context_.random, arena());
  send_reply(make_problem(error, request_id_, allow, arena()));
}

std::string_view Exchange::allowed_methods() {
  if (!pin_ || request_->method == Method::kConnect) {
    return "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
  }
  std::string_view list;
  for (const auto& method : pin_->snapshot->table.allowed_methods(route_key())) {
    list = list.empty() ? arena().copy(method) : arena().concat(list, ", ", method);
  }
  return list;
}

void Exchange::send_reply(LocalReply reply) {
  reply.head.fields.add(arena(), "Date", arena().copy(context_.http_date()));
  send_response(reply.head, reply.body.empty());
  if (reply.body.empty()) return;
  bytes_out_ += reply.body.size();
  down_->send_body(reply.body, true);
  finish();
}

// --- time ----------------------------------------------------------------------------------------

void Exchange::on_deadline() {
  if (phase_ == Phase::kResponding) {
    // A slow but steady download says nothing of the instance; one that stalls has on_stall.
    end_try(Outcome::kTimeout);
    abort({Failure::kUpstreamTimeout, true, "the route's timeout ended during the response"});
    return;
  }
  if (!request_ended_ && !down_paused_) {
    end_try(std::nullopt);
    reply_problem({Failure::kRequestTimeout, true, "the request's body took too long"});
    return;
  }
  if (up_ != nullptr) record_health(Outcome::kTimeout);
  end_try(Outcome::kTimeout);
  reply_problem({Failure::kUpstreamTimeout, true, "no response within the route's timeout"});
}

void Exchange::on_try_timeout() {
  if (!request_ended_ && !down_paused_) {
    // It is the client's body that takes so long.
    context_.loop.arm(try_timer_,
                      static_cast<uint64_t>(match_.route->retries.per_try_timeout.count()));
    return;
  }
  record_health(Outcome::kTimeout);
  end_try(Outcome::kTimeout);
  if (may_resend() && retry(Reason::kTimeout)) return;
  reply_problem({Failure::kUpstreamTimeout, true, "no response within per_try_timeout"});
}

// Bodies in flight must move; the timer looks only now and then whether they did.
void Exchange::watch_progress() {
  if (stall_.armed()) return;
  const auto limit = context_.settings->body_timeout;
  if (limit.count() == 0) return;
  last_progress_ms_ = context_.loop.now_ms();
  context_.loop.arm(stall_, static_cast<uint64_t>(limit.count()));
}

void Exchange::on_stall() {
  const auto limit = static_cast<uint64_t>(context_.settings->body_timeout.count());
  const uint64_t still = context_.loop.now_ms() - last_progress_ms_;
  if (still < limit) {
    context_.loop.arm(stall_, limit - still);
    return;
  }
  if (phase_ == Phase::kTunnel) {
    end_try(Outcome::kOk);
    abort({Failure::kClientAbort, true, "a tunnel closed on one side stalled"});
  } else if (!request_ended_ && !down_paused_) {
    end_try(std::nullopt);
    reply_problem({Failure::kRequestTimeout, true, "the request's body stalled"});
  } else if (phase_ == Phase::kResponding) {
    const bool upstream_silent = !up_paused_;
    // A route without a timeout is for streams, which may be silent for as long as they like.
    if (upstream_silent && match_.route->timeout.count() == 0) {
      context_.loop.arm(stall_, limit);
      return;
    }
    if (upstream_silent) record_health(Outcome::kTimeout);
    end_try(upstream_silent ? std::optional(Outcome::kTimeout) : std::nullopt);
    abort(upstream_silent ? Error{Failure::kUpstreamTimeout, true, "the response stalled"}
                          : Error{Failure::kClientAbort, true, "the client stopped reading"});
  } else {
    context_.loop.arm(stall_, limit);  // waiting for the response: the route's timeout watches
  }
}

// --- the end -------------------------------------------------------------------------------------

void Exchange::on_reset(const Error& error) {
  if (phase_ == Phase::kEnded) return;
  end_try(std::nullopt);
  if (error.failure == Failure::kClientAbort) {
    abort(error);
  } else {
    reply_problem(error);
  }
}

// The response can't be completed: releasing an unfinished stream cuts the client's connection.
void Exchange::abort(const Error& error) {
  local_failure_ = error.failure;
  if (error.failure == Failure::kClientAbort && phase_ != Phase::kTunnel) status_ = error.status();
  finish();
}

// The last thing that happens to an exchange: `this` is gone when it returns.
void Exchange::finish() {
  phase_ = Phase::kEnded;
  Loop::cancel(deadline_);
  Loop::cancel(stall_);
  if (upstream_) upstream_->leave(*this);
  for (size_t i = filters_run_; i > 0; --i) filter_at(i - 1).on_done(*this);
  end_try(std::nullopt);
  count_and_log();
  down_->release();
  context_.end(this);
}

}  // namespace lictor
