// Lets services that are asked in turns (see budget.h) sleep while nothing moves. Three blocking
// queries a datacenter move with everything that can change an instance:
//   /v1/health/state/any, all but passing   every check's state; its content counts, as its index
//                                           moves with what checks print, too
//   /v1/catalog/services                    every registration; its index alone counts
//   /v1/catalog/nodes, filtered to nothing  every node's address; its index alone counts
// The sleepers of the datacenter are asked again once each time, and every kSafety besides. While
// one of the three is not well (refused, not understood), they are asked in plain turns.
//
// Nobody sleeps while there is a slot for every watch, and then nothing of this is asked; nor when
// there are so few slots that the three would take more than half of them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/duration.h"

namespace lictor {

struct Agent;

class Waker {
 public:
  static constexpr Millis kSafety{30'000};
  static constexpr Millis kSpacing{250};  // between two queries of one kind; and after an answer:
  static constexpr size_t kBytesPerMilli = 4096;
  static constexpr size_t kQueries = 3;  // a datacenter

  class Sleeper {
   public:
    // moves() has changed.
    virtual void on_moved() = 0;
    // The agent was lost: what it says next is to be taken with the care that is due then.
    virtual void on_lost() = 0;

   protected:
    ~Sleeper() = default;
  };

  explicit Waker(Agent& agent);
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  // After the sleeper joined the budget, and before the sleeper dies but after it left the budget.
  void join(Sleeper* sleeper, const std::string& datacenter);
  void leave(Sleeper* sleeper, const std::string& datacenter);
  // The budget has changed.
  void update();

  // How often something has moved: while this is what it was when something was asked, the answer
  // is true still. None: there is no telling.
  std::optional<uint64_t> moves(const std::string& datacenter) const;

 private:
  class Query;
  struct Group;

  Agent& agent_;
  std::map<std::string, std::unique_ptr<Group>> groups_;  // by datacenter
};

}  // namespace lictor
