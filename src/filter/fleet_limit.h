// The member "cluster" of a rate_limit: {"redis": "redis://...", "password_file": "...", "timeout":
// "50ms"}. The limit is then that of a fleet of gateways, counted in one Redis.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "base/json.h"
#include "filter/limit_key.h"
#include "filter/redis_target.h"

namespace lictor {

class FleetLimit {
 public:
  // Of a filter's document, if it has a "cluster".
  static std::optional<FleetLimit> read(JsonObject& object);
  // The limit's own name, the same for all gateways that have the same documents.
  void set_identity(std::string_view identity);

  const RedisTarget& target() const { return target_; }
  Millis timeout() const { return timeout_; }
  // The name of a bucket in Redis: a hash that nobody can make two of, since what it is made of may
  // be long, and secret.
  std::string_view bucket(const LimitKey::Value& value, Arena& arena) const;

 private:
  RedisTarget target_;
  Millis timeout_{50};
  std::string identity_;  // hashed
};

}  // namespace lictor
