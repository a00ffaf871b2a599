// Who may call: the documents consumers/<name> in one immutable table, found by what a caller
// shows. Part of the snapshot.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "filter/digest.h"

namespace lictor {

struct Consumer {
  struct Login {
    std::string user;
    std::string hash;  // of crypt(5), one that check_password_hash takes
  };
  std::string name;
  std::vector<Digest> api_keys;  // SHA-256 of each
  std::vector<Login> logins;
  std::vector<std::string> groups;

  // True when nothing is wanted.
  bool in_any(const std::vector<std::string>& wanted) const;
};
using ConsumerPtr = std::shared_ptr<const Consumer>;

class Consumers {
 public:
  // What two of them have belongs to the one that comes first.
  explicit Consumers(std::vector<ConsumerPtr> all);

  struct Account {
    const Consumer* consumer = nullptr;
    const std::string* hash = nullptr;
  };
  const Consumer* find_key(const Digest& key) const;      // null when unknown
  const Account* find_user(std::string_view user) const;  // null when unknown
  // The hash of somebody; null when nobody has a password.
  const std::string* any_hash() const;
  const std::vector<ConsumerPtr>& all() const { return all_; }

 private:
  std::vector<ConsumerPtr> all_;
  std::unordered_map<Digest, const Consumer*, DigestHash> keys_;
  std::unordered_map<std::string_view, Account> accounts_;
};

}  // namespace lictor
