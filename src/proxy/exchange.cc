#include "proxy/exchange.h"

#include <time.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "filter/cors.h"
#include "http/rules.h"

namespace lictor {
namespace {

constexpr const char* kTooLarge = "the body is larger than the route or limits.body_bytes allow";

int64_t unix_us() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
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
  prepare_request(
      *request_,
      {client_, down_->peer(), request_id_, scheme(), trace_.traceparent(), trace_.keeps_state()},
      arena());
  if (!find_route()) return;
  choose_backend();
  run_filters();
}

Result<void> Exchange::accept_head() {
  client_ = identify_client(request_->fields, down_->peer().address.ip(),
                            context_.settings->trusted_proxies);
  const bool own_id = client_.request_id.empty();
  request_id_ = own_id ? context_.random.id(arena()) : client_.request_id;
  trace_.begin(request_->fields, own_id ? request_id_ : std::string_view{},
               context_.settings->tracing, context_.random, arena());
  client_authority_ = request_->authority;
  if (context_.settings->body_bytes != 0) most_body_ = context_.settings->body_bytes;
  if (auto read = read_target(); !read) return read;
  if (request_->method == Method::kConnect) {
    down_->close_after();  // what follows was meant for the tunnel
    return fail(Failure::kMethodNotAllowed, "CONNECT is not for gateways");
  }
  if (loops(request_->fields)) return fail(Failure::kLoopDetected, "Via shows a loop");
  if (request_->body == BodyKind::kLength && body_too_large(request_->length)) {
    return fail(Failure::kBodyTooLarge, kTooLarge);
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
  pin_->snapshot->table.match_preflight(route_key(), preflight_method(*request_), match_);
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
    running_ = filters_run_++;
    switch (filter_at(running_).on_request(*this)) {
      case Step::kNext:
        continue;
      case Step::kWait:
        phase_ = Phase::kFiltering;
        // Who has sent all may still give up.
        if (!request_ended_) pause_client();
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
  // Filters may have lowered the limit.
  const bool announced = request_->body == BodyKind::kLength && body_too_large(request_->length);
  if (announced || body_too_large(bytes_in_)) {
    reply_problem({Failure::kBodyTooLarge, false, kTooLarge});
    return;
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

void Exchange::reply(const Error& error, const Fields& extra) {
  local_failure_ = error.failure;
  reply_ =
      arena().make<LocalReply>(make_problem(error, request_id_, {}, arena(), trace_.known_id()));
  for (const Field& field : extra) {
    reply_->head.fields.add(arena(),
                            {arena().copy(field.name), arena().copy(field.value), field.id});
  }
}

void Exchange::reply(uint16_t status, const Fields& fields, std::string_view body) {
  reply_ = arena().make<LocalReply>(make_reply(status, fields, body, arena()));
}

void*& Exchange::state() {
  if (filter_states_.empty()) filter_states_ = arena().array<FilterState>(filter_count());
  return filter_states_[running_].word;
}

Subrequest* Exchange::subrequest(std::string_view service, SubrequestUser* user) {
  const auto* upstream = pin_->snapshot->find_upstream(service);
  if (upstream == nullptr) return nullptr;
  SubrequestTrace trace;
  if (user != nullptr && trace_.recorded()) {
    trace = {&trace_.spans(), trace_.request_span(), context_.random.next() | 1, unix_ns(0)};
  }
  return context_.subrequests.make(pin_->upstreams[upstream->index], user, trace);
}

// What came already is told at once.
void Exchange::tap_request(BodyTap& tap) {
  taps_.add(tap);
  std::array<iovec, 16> pieces;
  const size_t count = retained_.vectors(pieces.data(), pieces.size());
  for (size_t i = 0; i < count; ++i) {
    tap.on_body({static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len}, false);
  }
  if (request_ended_) tap.on_body({}, true);
}

void Exchange::transform_response(BodyTransform& transform) {
  if (response_->body == BodyKind::kNone) return;
  response_->body = BodyKind::kUnknown;
  response_->length = 0;
  transforms_.add(transform);
}

void Exchange::count_auth_failure(const char* reason) {
  auth_failure_ = reason;
  if (match_.route != nullptr) pin_->routes[match_.route->index]->count_auth_failure(reason);
}

void Exchange::count_rate_limited() {
  if (match_.route != nullptr) pin_->routes[match_.route->index]->rate_limited.add();
}

void Exchange::count_mirror_dropped(MirrorDrop why) {
  if (match_.route == nullptr) return;
  RouteCells& cells = *pin_->routes[match_.route->index];
  (why == MirrorDrop::kBody ? cells.mirror_dropped_body : cells.mirror_dropped_busy).add();
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
    reply_problem({Failure::kBodyTooLarge, false, kTooLarge});
    return;
  }
  request_ended_ = request_ended_ || end;
  taps_.tell(bytes, end);
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

void Exchange::on_trailers(Fields& trailers) {
  if (phase_ == Phase::kEnded) return;
  request_ended_ = true;
  trailers_ = &trailers;
  taps_.tell({}, true);
  if (up_ == nullptr || !up_->ready()) return;
  up_->send_trailers(trailers);
  request_sent_ = true;
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
  // A success shows at the end: a response may still break off.
  const bool failed = upstream_->is_failure_status(head.status);
  if (failed || head.status == 101) record_health(failed ? Outcome::k5xx : Outcome::kOk);
  const RetryPolicy& retries = match_.route->retries;
  const bool retry_status = std::find(retries.on_status.begin(), retries.on_status.end(),
                                      head.status) != retries.on_status.end();
  if (retry_status && attempts_ < retries.attempts && may_resend() &&
      upstream_->can_retry(&request_slot_)) {
    if (!failed) record_health(Outcome::kOk);
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
  for (size_t i = filters_run_; i > 0; --i) {
    running_ = i - 1;
    filter_at(running_).on_response(*this);
  }
  status_ = head.status;
  phase_ = head.status == 101 ? Phase::kTunnel : Phase::kResponding;
  down_->send_head(head, end);
  if (phase_ == Phase::kTunnel) {
    Loop::cancel(deadline_);
    Loop::cancel(stall_);
    down_->resume();
  } else if (end) {
    finish_response();
  } else if (up_ != nullptr) {
    watch_progress();
  }
}

void Exchange::add_sticky_cookie(Head& head) {
  head.fields.add(arena(), "Set-Cookie",
                  arena().concat(upstream_->policy().hash_on.name, "=", sticky_cookie_,
                                 "; Path=/; HttpOnly; SameSite=Lax"));
}

// Through the filters' transforms, if there are any. `last`: of the body; `end`: of the message, no
// trailers follow. After kBroken this is gone.
Exchange::Sent Exchange::send_down(std::string_view bytes, bool last, bool end) {
  if (transforms_.empty()) {
    bytes_out_ += bytes.size();
    return down_->send_body(bytes, end) ? Sent::kRoom : Sent::kFull;
  }
  Buffer changed;
  if (!transforms_.run(bytes, last, changed)) return break_transform();
  if (!last) context_.loop.flush_later(*this);
  return send_changed(changed, end);
}

Exchange::Sent Exchange::send_changed(Buffer& changed, bool end) {
  bytes_out_ += changed.size();
  bool room = true;
  while (changed.size() > changed.front().size()) {
    room = down_->send_body(changed.front(), false);
    changed.consume(changed.front().size());
  }
  if (!changed.empty() || end) room = down_->send_body(changed.front(), end);
  return room ? Sent::kRoom : Sent::kFull;
}

Exchange::Sent Exchange::break_transform() {
  end_try(std::nullopt);
  abort({Failure::kInternal, true, "a filter could not change the body"});
  return Sent::kBroken;
}

void Exchange::flush() {
  if (phase_ != Phase::kResponding) return;
  Buffer changed;
  if (!transforms_.flush(changed)) {
    break_transform();
  } else if (send_changed(changed, false) == Sent::kFull) {
    pause_upstream();
  }
}

void Exchange::pause_upstream() {
  if (up_ == nullptr) return;
  up_paused_ = true;
  up_->pause();
}

void Exchange::on_response_body(std::string_view bytes, bool end) {
  last_progress_ms_ = context_.loop.now_ms();
  if (phase_ == Phase::kTunnel) {
    bytes_out_ += bytes.size();
    tunnel_up_ended_ = tunnel_up_ended_ || end;
    end = tunnel_down_ended_ && tunnel_up_ended_;
    if (tunnel_up_ended_) {
      down_->send_body(bytes, true);
      watch_progress();
    } else if (!down_->send_body(bytes, false)) {
      pause_upstream();
    }
    if (end) finish_response();
    return;
  }
  const Sent sent = send_down(bytes, end, end);
  if (sent == Sent::kBroken) return;
  if (end) {
    finish_response();
    return;
  }
  if (sent == Sent::kFull) pause_upstream();
  watch_progress();
}

void Exchange::on_response_trailers(Fields& trailers) {
  if (!transforms_.empty() && send_down({}, true, false) == Sent::kBroken) return;
  down_->send_trailers(trailers);
  finish_response();
}

void Exchange::on_drain() {
  last_progress_ms_ = context_.loop.now_ms();
  if (!up_paused_ || up_ == nullptr) return;
  up_paused_ = false;
  last_unsent_ = SIZE_MAX;
  up_->resume();
}

void Exchange::finish_response() {
  const bool whole = up_ != nullptr && phase_ != Phase::kTunnel;
  if (whole && !upstream_->is_failure_status(status_)) record_health(Outcome::kOk);
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
  if (request_id_.empty()) request_id_ = context_.random.id(arena());
  send_reply(make_problem(error, request_id_, allow, arena(), trace_.known_id()));
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
  const bool bodiless = request_ != nullptr &&
                        (request_->method == Method::kHead || status_ == 204 || status_ == 304);
  if (bodiless) {
    down_->send_body(reply.body, true);
  } else if (send_down(reply.body, true, true) == Sent::kBroken) {
    return;
  }
  finish();
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
  for (size_t i = filters_run_; i > 0; --i) {
    running_ = i - 1;
    filter_at(running_).on_done(*this);
  }
  end_try(std::nullopt);
  count_and_log();
  down_->release();
  context_.end(this);
}

}  // namespace lictor
