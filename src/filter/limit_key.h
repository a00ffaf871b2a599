// What a limit counts by, as rate_limit and concurrency_limit have it: "client_ip", "user",
// "route",
// {"header": "..."} or {"claim": "..."}.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/siphash.h"
#include "filter/filter.h"

namespace lictor {

class LimitKey {
 public:
  enum class Kind : uint8_t { kClientIp, kUser, kRoute, kHeader, kClaim };

  // What one request counts under. Views into the call.
  class Value {
   public:
    Kind kind() const { return kind_; }
    std::string_view bytes() const {
      if (kind_ != Kind::kClientIp) return text_;
      return {reinterpret_cast<const char*>(address_.data()), address_.size()};
    }

   private:
    friend class LimitKey;
    Kind kind_ = Kind::kClientIp;
    std::array<uint8_t, 16> address_{};
    std::string_view text_;
  };

  LimitKey() = default;
  explicit LimitKey(Kind kind) : kind_(kind) {}

  // The member "key" of a filter's document, if there is one.
  void read(JsonObject& object);

  // A request without its key (no such user, header or claim, or the header twice) counts under
  // its client's address: all of it for IPv4; the /64 for IPv6, since that is what one host gets.
  Value of(const Call& call, const Fields& fields) const;

  std::string_view kind_name() const;  // "client_ip", "header"
  // "client_ip", "header:x-tenant": different for different keys.
  std::string to_string() const;

 private:
  Kind kind_ = Kind::kClientIp;
  std::string name_;  // of kHeader (lower case) and kClaim
};

// Tells limits apart: a limit that is where it was, and says what it said, goes on counting where
// it stood. `owner` and `path` say where its document has it.
Hash128 limit_identity(std::string_view owner, std::string_view path, std::string_view what);

// The place of a request in a table of counts.
inline Hash128 limit_hash(const HashSeed& seed, const Hash128& limit,
                          const LimitKey::Value& value) {
  return SipHash(seed)
      .word(limit.low)
      .word(limit.high)
      .word(static_cast<uint64_t>(value.kind()))
      .finish(value.bytes());
}

}  // namespace lictor
