#include "control/budget.h"

#include <algorithm>
#include <vector>

namespace lictor {

QueryBudget::QueryBudget(size_t slots) : slots_(std::max<size_t>(slots, 1)) {}

void QueryBudget::join(Member* member) {
  const bool before = crowded();
  members_.insert(member);
  if (!before && crowded()) end_long_queries();
}

bool QueryBudget::set_slots(size_t slots) {
  if (slots == slots_) return false;
  const bool before = crowded();
  slots_ = slots;
  if (!before && crowded()) end_long_queries();
  serve();
  return true;
}

void QueryBudget::end_long_queries() {
  const std::vector<Member*> holders(holders_.begin(), holders_.end());
  for (Member* holder : holders) holder->on_crowded();
}

void QueryBudget::leave(Member* member) {
  members_.erase(member);
  std::erase(urgent_, member);
  std::erase(waiting_, member);
  release(member);
}

bool QueryBudget::take(Member* member, bool urgent) {
  if (holders_.size() < slots_) {
    holders_.insert(member);
    return true;
  }
  (urgent ? urgent_ : waiting_).push_back(member);
  return false;
}

void QueryBudget::release(Member* member) {
  if (holders_.erase(member) != 0) serve();
}

void QueryBudget::serve() {
  while (holders_.size() < slots_) {
    auto& queue = urgent_.empty() ? waiting_ : urgent_;
    if (queue.empty()) return;
    Member* next = queue.front();
    queue.pop_front();
    holders_.insert(next);
    next->on_slot();
  }
}

Millis QueryBudget::turn_wait() const {
  const auto share =
      static_cast<double>(slots_) / static_cast<double>(std::max(members_.size(), slots_));
  const Millis wait(static_cast<int64_t>(static_cast<double>(kRound.count()) * share));
  return std::max(wait, kLeastWait);
}

}  // namespace lictor
