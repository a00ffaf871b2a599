// One blocking query, kept up for ever: asks, judges the answer, hands it on when it is good and
// new, asks again. Time, chance and transport come from outside (see Agent), so every rule here is
// tested with a manual clock.
//
// The rules, in the order in which an answer meets them:
//   1. Not whole, not 200, without an index, or not understood by the sink: a fault. Nothing is
//      changed; the query is asked again after a backoff that never gives up.
//   2. After a fault of the agent's, and when an index went backwards, what is known is only
//   changed
//      by a consistent read: a server that restarts answers while it is still reading its log, from
//      a past that is over. That read has no index, as an agent that lost its state would keep a
//      query with an old one waiting.
//   3. Content as last time: nothing is changed, however the index moved.
//   4. No known leader, or an index that went backwards within the last kSettle: the sink is told
//      that the answer may add but not take away; if it would, it is held, and asked again.
//   5. The sink takes it, and the next query has its index.
// Queries start at least kSpacing apart (less than 20 a second), and kQuietSpacing when the index
// keeps moving without a change. One that is not answered in time is given up and asked again.
// In a crowd, a watch sleeps until something has moved in its datacenter (see waker.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/agent.h"
#include "control/backoff.h"

namespace lictor {

class Watch final : private QueryBudget::Member, private Waker::Sleeper {
 public:
  static constexpr Millis kSpacing{55};
  static constexpr Millis kQuietSpacing{250};
  static constexpr uint32_t kQuietAfter = 20;  // answers in a row
  // A change must be seen within 2 s of a fault's end: the cap, a query and the publisher's quiet
  // time stay below that.
  static constexpr Millis kBackoffCap{1'250};
  static constexpr Millis kRefusedCap{10'000};  // a 4xx won't pass by itself
  static constexpr Millis kHeldPause{250};
  static constexpr Millis kHeldLongPause{1'000};
  static constexpr uint32_t kHeldOften = 8;
  static constexpr uint32_t kHeldSilently = 3;  // then it is worth a word in the log
  static constexpr Millis kSettle{1'000};
  static constexpr Millis kGrace{10'000};  // beyond wait x 17/16

  struct Verdict {
    enum Kind : uint8_t { kChanged, kSame, kHeld, kMalformed };
    Kind kind = kSame;
    std::string error;  // of kMalformed: where and what; of kHeld: what would be lost
  };
  struct Trust {
    bool may_remove = true;  // false: take the answer only if it takes nothing away
    bool after_loss =
        false;  // the agent was lost since the last answer taken: it may have restarted
  };
  // Must not destroy the watch.
  using Sink = std::function<Verdict(const ConsulAnswer& answer, Trust trust)>;

  struct Options {
    std::string name;  // in messages: "service web"
    ConsulQuery query;
    bool absent_is_empty = false;  // a 404 is an answer (KV) or an error
    bool takes_turns = true;       // false: keeps its slot and long wait in a crowd too, if it can
  };

  Watch(Agent& agent, Options options, Sink sink);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  void start();
  bool answered() const { return applied_hash_.has_value(); }
  // Before start(): something is known from an earlier life, and there is something to lose.
  void assume_known() { assumed_ = true; }

 private:
  enum class State : uint8_t { kStopped, kQueued, kAsking, kPausing, kSleeping };

  void on_slot() override;
  void on_crowded() override;
  void on_moved() override;
  void on_lost() override;
  void ask_or_sleep();
  std::optional<uint64_t> moves() const;
  void enqueue();
  void on_timer();
  void end_query();
  void on_answer(const ConsulAnswer& answer);
  void judge(const ConsulAnswer& answer);
  void accept(const ConsulAnswer& answer, bool changed, size_t hash);
  void hold(const ConsulAnswer& answer, const std::string& what);
  void verify();
  void fail(QueryOutcome outcome, ConsulMonitor::Fault fault, const std::string& error);
  void fail_by_status(const ConsulAnswer& answer);
  void pause(Millis delay);
  bool in_crowd() const;
  bool elsewhere() const { return !options_.query.datacenter.empty(); }
  // Another datacenter that is away says nothing of our agent.
  ConsulMonitor::Fault fault_of_servers() const {
    return elsewhere() ? ConsulMonitor::Fault::kQuery : ConsulMonitor::Fault::kAgent;
  }
  bool known() const { return assumed_ || applied_hash_; }
  Millis nominal_wait() const;

  Agent& agent_;
  const Options options_;
  const Sink sink_;
  State state_ = State::kStopped;
  std::unique_ptr<ScheduledCall> timer_;  // the query's deadline while asking, else the pause's end
  std::unique_ptr<Fetch> fetch_;
  Backoff backoff_;
  Millis asked_at_{0};
  uint64_t asked_index_ = 0;
  bool asked_long_ = false;
  std::optional<uint64_t> asked_moves_;
  bool asked_consistent_ = false;

  uint64_t index_ = 0;       // of the next query
  uint64_t last_index_ = 0;  // of the last answer taken
  std::optional<size_t> applied_hash_;
  bool assumed_ = false;
  bool doubt_ = false;  // only a consistent read counts
  std::optional<Millis> settle_until_;
  bool lost_ = false;   // an agent's fault since the last answer taken
  uint32_t held_ = 0;   // in a row
  uint32_t noise_ = 0;  // answers in a row whose index moved without a change
};

}  // namespace lictor
