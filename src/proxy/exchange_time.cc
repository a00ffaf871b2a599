// What an exchange does when its time is up: of the whole request, of a try, of a wait for a
// connection, or of a body that has stopped moving.
#include <utility>

#include "proxy/exchange.h"

namespace lictor {

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

void Exchange::on_wait_timeout() {
  reply_problem({Failure::kOverloaded, false, "no connection was free within connect_timeout"});
}

// Bodies in flight must move; the timer looks only now and then whether they did.
void Exchange::watch_progress() {
  if (stall_.armed()) return;
  const auto limit = context_.settings->body_timeout;
  if (limit.count() == 0) return;
  last_progress_ms_ = context_.loop.now_ms();
  context_.loop.arm(stall_, static_cast<uint64_t>(limit.count()));
}

// A slow reader, or one who has stopped? What we have queued moves only now and then.
bool Exchange::client_takes_bytes() {
  if (!up_paused_) return false;
  const size_t before = std::exchange(last_unsent_, down_->unsent());
  return last_unsent_ < before;
}

void Exchange::on_stall() {
  const auto limit = static_cast<uint64_t>(context_.settings->body_timeout.count());
  const uint64_t still = context_.loop.now_ms() - last_progress_ms_;
  if (still < limit || client_takes_bytes()) {
    context_.loop.arm(stall_, still < limit ? limit - still : limit);
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

}  // namespace lictor
