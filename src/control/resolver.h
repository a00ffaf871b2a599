// Addresses that are names: each is looked up off the loop, and again every kRefresh while somebody
// wants it. What was known stays when a lookup fails; an address still among the answers is kept,
// so that a name with many addresses doesn't hop from one to the other.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "control/scheduler.h"

namespace lictor {

class Resolver {
 public:
  static constexpr Millis kRefresh{30'000};
  static constexpr Millis kRetry{5'000};  // of a name that has no address yet

  // Answers from the loop, never inside the call; empty = it failed. Dropping the returned handle
  // cancels the answer.
  using Answer = std::function<void(std::vector<IpAddress>)>;
  using Lookup = std::function<std::shared_ptr<void>(const std::string& name, Answer answer)>;

  // `changed` is called when a name has other addresses than before, and after its first lookup.
  Resolver(Scheduler& scheduler, Lookup lookup, std::function<void(const std::string&)> changed);

  // The address known of a name; from now on it is looked up.
  std::optional<IpAddress> find(const std::string& name);
  // As find; all of its addresses, sorted.
  std::vector<IpAddress> find_all(const std::string& name);
  // Whether a name that is wanted has been looked up, with or without success.
  bool looked_up(const std::string& name) const;
  // Forgets the names that nobody wants any more.
  void keep_only(const std::set<std::string>& names);

 private:
  struct Entry {
    std::optional<IpAddress> address;  // the one that is kept
    std::vector<IpAddress> addresses;  // all, sorted
    bool looked_up = false;
    std::shared_ptr<void> lookup;
    std::unique_ptr<ScheduledCall> timer;
    bool said_failed = false;
  };
  Entry& want(const std::string& name);
  void look_up(const std::string& name);
  void on_answer(const std::string& name, const std::vector<IpAddress>& addresses);

  Scheduler& scheduler_;
  const Lookup lookup_;
  const std::function<void(const std::string&)> changed_;
  std::map<std::string, Entry> entries_;
};

}  // namespace lictor
