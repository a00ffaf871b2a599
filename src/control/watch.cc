#include "control/watch.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/log.h"

namespace lictor {
namespace {

// There are entries, but the token may see none of them: a refusal, though it doesn't look like
// one.
bool all_filtered(const ConsulAnswer& answer) {
  return answer.filtered && (answer.status == 404 || answer.body.size() < 4);  // "[]" and a newline
}

}  // namespace

Watch::Watch(Agent& agent, Options options, Sink sink)
    : agent_(agent),
      options_(std::move(options)),
      sink_(std::move(sink)),
      timer_(agent.scheduler.timer([this] { on_timer(); })) {}

Watch::~Watch() {
  fetch_.reset();
  agent_.budget.leave(this);
  if (options_.takes_turns) agent_.waker.leave(this, options_.query.datacenter);
  agent_.monitor.gone(this);
}

void Watch::start() {
  if (state_ != State::kStopped) return;
  agent_.budget.join(this);
  enqueue();
  if (options_.takes_turns) agent_.waker.join(this, options_.query.datacenter);
}

void Watch::enqueue() {
  state_ = State::kQueued;
  if (agent_.budget.take(this, index_ == 0 || !options_.takes_turns)) on_slot();
}

void Watch::on_slot() {
  state_ = State::kAsking;
  asked_at_ = agent_.scheduler.now();
  asked_index_ = index_;
  asked_long_ = index_ != 0 && !in_crowd();
  asked_moves_ = moves();
  ConsulQuery query = options_.query;
  query.index = index_;
  // With nothing known yet there is nothing to lose: a stale answer is better than none.
  asked_consistent_ = doubt_ && known();
  query.consistent = asked_consistent_;
  const Millis wait = nominal_wait();
  // Up to an eighth less, so that queries that began together don't end together.
  query.wait = wait - Millis(static_cast<int64_t>(static_cast<double>(wait.count()) / 8 *
                                                  agent_.scheduler.random()));
  // The agent itself adds up to a sixteenth to what it is asked.
  timer_->start(index_ == 0 ? kGrace : wait + wait / 16 + kGrace);
  fetch_ = agent_.consul.ask(query, [this](const ConsulAnswer& answer) { on_answer(answer); });
}

// With one slot alone, nobody may keep it.
bool Watch::in_crowd() const {
  return agent_.budget.crowded() && (options_.takes_turns || agent_.budget.slots() == 1);
}

Millis Watch::nominal_wait() const {
  const Millis wait = agent_.consul.config().wait;
  if (!in_crowd()) return wait;
  // Where something has moved already, a server may lag a little behind, and that is all.
  return std::min(wait, moves() ? QueryBudget::kLeastWait : agent_.budget.turn_wait());
}

// None: whatever moves is only seen by asking.
std::optional<uint64_t> Watch::moves() const {
  if (!options_.takes_turns || !in_crowd()) return std::nullopt;
  return agent_.waker.moves(options_.query.datacenter);
}

void Watch::ask_or_sleep() {
  if (const auto now = moves(); now && index_ != 0) {
    const auto safety = static_cast<double>(Waker::kSafety.count());
    const Millis pause =
        asked_moves_ != now
            ? QueryBudget::kRound
            : Millis(static_cast<int64_t>(safety * (1 - agent_.scheduler.random() / 8)));
    if (const Millis left = asked_at_ + pause - agent_.scheduler.now(); left > Millis(0)) {
      state_ = State::kSleeping;
      timer_->start(left);
      return;
    }
  }
  enqueue();
}

void Watch::on_moved() {
  if (state_ == State::kSleeping) ask_or_sleep();
}

// As if this watch had met the fault itself.
void Watch::on_lost() {
  if (!known()) return;
  index_ = 0;
  lost_ = doubt_ = true;
  if (state_ == State::kSleeping) enqueue();
}

void Watch::on_crowded() {
  if (state_ != State::kAsking || !asked_long_ || !in_crowd()) return;
  end_query();
  enqueue();
}

void Watch::end_query() {
  timer_->stop();
  fetch_.reset();
  state_ = State::kStopped;
  agent_.budget.release(this);
}

void Watch::on_timer() {
  if (state_ == State::kPausing) {
    ask_or_sleep();
  } else if (state_ == State::kSleeping) {
    enqueue();
  } else if (state_ == State::kAsking) {
    end_query();
    fail(QueryOutcome::kTimeout, fault_of_servers(),
         "no answer within " + format_duration(agent_.scheduler.now() - asked_at_));
  }
}

void Watch::on_answer(const ConsulAnswer& answer) {
  end_query();
  agent_.learn(answer);
  judge(answer);
}

void Watch::judge(const ConsulAnswer& answer) {
  using Fault = ConsulMonitor::Fault;
  if (answer.status != 0 && !elsewhere()) agent_.monitor.leader(answer.known_leader);
  if (!answer.error.empty() || (answer.status == 404 && !options_.absent_is_empty)) {
    fail_by_status(answer);
    return;
  }
  if (!answer.index) {
    fail(QueryOutcome::kMalformed, Fault::kQuery, "no X-Consul-Index: not an answer of Consul's");
    return;
  }
  if (all_filtered(answer)) {
    fail(QueryOutcome::k4xx, Fault::kQuery, "the token may read none of the entries");
    return;
  }
  const Millis now = agent_.scheduler.now();
  const bool backwards = *answer.index < last_index_;
  if (backwards && !settle_until_) settle_until_ = now + kSettle;
  if ((backwards || doubt_) && !asked_consistent_) {
    verify();
    return;
  }
  const size_t hash = std::hash<std::string>()(answer.body) ^ static_cast<size_t>(answer.status);
  if (applied_hash_ == hash && !lost_) {
    accept(answer, false, hash);
    return;
  }
  const bool settled = !backwards || now >= *settle_until_;
  const Verdict verdict = sink_(answer, {answer.known_leader && settled, lost_});
  switch (verdict.kind) {
    case Verdict::kMalformed:
      fail(QueryOutcome::kMalformed, Fault::kQuery, "malformed answer: " + verdict.error);
      break;
    case Verdict::kHeld:
      hold(answer, verdict.error);
      break;
    case Verdict::kChanged:
    case Verdict::kSame:
      accept(answer, verdict.kind == Verdict::kChanged, hash);
      break;
  }
}

void Watch::verify() {
  agent_.consul.count(options_.query.endpoint, QueryOutcome::kHeld);
  doubt_ = true;
  index_ = 0;
  pause(asked_at_ + kSpacing - agent_.scheduler.now());
}

void Watch::accept(const ConsulAnswer& answer, bool changed, size_t hash) {
  agent_.consul.count(options_.query.endpoint, QueryOutcome::kOk);
  agent_.monitor.succeeded(this, options_.name, answer);
  applied_hash_ = hash;
  index_ = last_index_ = *answer.index;
  settle_until_.reset();
  lost_ = doubt_ = false;
  backoff_.reset();
  held_ = 0;
  noise_ = changed || last_index_ == asked_index_ ? 0 : noise_ + 1;
  const Millis spacing = noise_ < kQuietAfter ? kSpacing : kQuietSpacing;
  pause(asked_at_ + spacing - agent_.scheduler.now());
}

void Watch::hold(const ConsulAnswer& answer, const std::string& what) {
  agent_.consul.count(options_.query.endpoint, QueryOutcome::kHeld);
  const char* why = answer.known_leader ? "the index went backwards" : "no known leader";
  log::debug("consul: {}: answer held: {}, and {}", options_.name, why, what);
  index_ = 0;
  backoff_.reset();
  if (++held_ >= kHeldSilently) {
    agent_.monitor.failed(this, options_.name, ConsulMonitor::Fault::kQuery,
                          std::string("answers that take away are held: ") + why);
  }
  pause(held_ < kHeldOften ? kHeldPause : kHeldLongPause);
}

void Watch::fail_by_status(const ConsulAnswer& answer) {
  using Fault = ConsulMonitor::Fault;
  const int status = answer.status;
  const std::string error = answer.error.empty() ? "HTTP 404" : answer.error;
  if (status == 0) {
    fail(answer.timed_out ? QueryOutcome::kTimeout : QueryOutcome::kError,
         answer.timed_out ? fault_of_servers() : Fault::kAgent, error);
  } else if (status == 429) {
    fail(QueryOutcome::k4xx, Fault::kAgent, error);
  } else if (status >= 400 && status < 500) {
    fail(QueryOutcome::k4xx, Fault::kQuery, error);
  } else if (status >= 500) {
    fail(QueryOutcome::k5xx, fault_of_servers(), error);
  } else {
    fail(QueryOutcome::kMalformed, Fault::kQuery, error);
  }
}

void Watch::fail(QueryOutcome outcome, ConsulMonitor::Fault fault, const std::string& error) {
  agent_.consul.count(options_.query.endpoint, outcome);
  agent_.monitor.failed(this, options_.name, fault, error);
  index_ = 0;
  held_ = 0;
  const bool unreached = outcome == QueryOutcome::k5xx || outcome == QueryOutcome::kTimeout;
  lost_ = lost_ || unreached || fault == ConsulMonitor::Fault::kAgent;
  doubt_ = doubt_ || (lost_ && known());
  const bool refused = outcome == QueryOutcome::k4xx && fault == ConsulMonitor::Fault::kQuery;
  pause(backoff_.next(agent_.scheduler, refused ? kRefusedCap : kBackoffCap));
}

void Watch::pause(Millis delay) {
  state_ = State::kPausing;
  timer_->start(std::max(delay, Millis(0)));
}

}  // namespace lictor
