// Who may ask the agent now. Each watch holds a slot while its query is out, and there are fewer
// slots than consul.max_connections (or than those carry, with HTTP/2), so that the agent never
// sees more connections than it was promised, however many services are watched.
//
// While every watch has a slot, each keeps its blocking query out for the whole `consul.wait`. When
// there are more watches than slots ("crowded"), they take turns, first come, first served, with
// waits so short that everyone's turn comes about every kRound; those that must know now (no answer
// yet, or after a fault) go ahead of the others. The documents' watch takes no turns: it keeps its
// slot, unless that is the only one.
#pragma once

#include <cstddef>
#include <deque>
#include <set>

#include "base/duration.h"

namespace lictor {

class QueryBudget {
 public:
  static constexpr Millis kRound{2'000};
  static constexpr Millis kLeastWait{50};

  class Member {
   public:
    // The slot that was asked for is there.
    virtual void on_slot() = 0;
    // The place became crowded: a query with a long wait is to be ended, and its slot released.
    virtual void on_crowded() = 0;

   protected:
    ~Member() = default;
  };

  explicit QueryBudget(size_t slots);

  // True when it made a difference.
  bool set_slots(size_t slots);

  void join(Member* member);
  void leave(Member* member);  // also gives back its slot or its place in the queue
  // True: the slot is there, on_slot is not called. False: on_slot comes later.
  bool take(Member* member, bool urgent);
  void release(Member* member);

  bool crowded() const { return members_.size() > slots_; }
  Millis turn_wait() const;  // of a query when crowded
  size_t slots() const { return slots_; }
  size_t taken() const { return holders_.size(); }

 private:
  void serve();
  void end_long_queries();

  size_t slots_;
  std::set<Member*> members_;
  std::set<Member*> holders_;
  std::deque<Member*> urgent_;
  std::deque<Member*> waiting_;
};

}  // namespace lictor
