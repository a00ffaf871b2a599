#include "filter/consumers.h"

#include <algorithm>
#include <utility>

namespace lictor {

bool Consumer::in_any(const std::vector<std::string>& wanted) const {
  if (wanted.empty()) return true;
  return std::any_of(groups.begin(), groups.end(), [&wanted](const std::string& group) {
    return std::find(wanted.begin(), wanted.end(), group) != wanted.end();
  });
}

Consumers::Consumers(std::vector<ConsumerPtr> all) : all_(std::move(all)) {
  for (const auto& consumer : all_) {
    for (const Digest& key : consumer->api_keys) keys_.emplace(key, consumer.get());
    for (const auto& login : consumer->logins) {
      accounts_.emplace(login.user, Account{consumer.get(), &login.hash});
    }
  }
}

const Consumer* Consumers::find_key(const Digest& key) const {
  const auto found = keys_.find(key);
  return found == keys_.end() ? nullptr : found->second;
}

const Consumers::Account* Consumers::find_user(std::string_view user) const {
  const auto found = accounts_.find(user);
  return found == accounts_.end() ? nullptr : &found->second;
}

const std::string* Consumers::any_hash() const {
  return accounts_.empty() ? nullptr : accounts_.begin()->second.hash;
}

}  // namespace lictor
