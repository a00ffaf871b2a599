// A JSON Web Token in the compact form: what it says, once its signature and its claims were found
// good (RFC 7519, RFC 8725). Nothing of a token counts before that but `alg` and `kid`, which
// choose among keys that the gateway has: a token can't bring its own (jku, jwk, x5u and x5c are
// never looked at).
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "filter/filter.h"
#include "filter/jwk.h"

namespace lictor {

// What a token must be beside signed.
struct TokenRules {
  JwsAlgorithms algorithms;
  std::string issuer;                  // empty = any
  std::vector<std::string> audiences;  // one of them; empty = any
  int64_t leeway_s = 60;
};

// Immutable; any thread.
class Token final : public Claims {
 public:
  struct Claim {
    std::string name;
    std::string text;                 // a list's values with commas between
    std::vector<std::string> values;  // one, unless it is a list
  };
  explicit Token(std::vector<Claim> claims) : claims_(std::move(claims)) {}

  // A claim by its name, else a member of one: "realm_access.roles".
  std::string_view find(std::string_view name) const override;
  const Claim* claim(std::string_view name) const;
  size_t bytes() const;  // about what it keeps

  int64_t expires_s = 0;
  int64_t not_before_s = 0;  // the later of nbf and iat

 private:
  std::vector<Claim> claims_;
};
using TokenPtr = std::shared_ptr<const Token>;

// Why a token was refused; the names are labels of lictor_auth_failures_total.
enum class TokenFault : uint8_t {
  kTooLong,
  kMalformed,
  kAlgorithm,
  kUnknownKey,  // no key of that kid; or no kid, and no key made the signature
  kSignature,
  kExpired,
  kNotYetValid,
  kIssuer,
  kAudience,
};
const char* token_fault_name(TokenFault fault);

// The token's text, whole; `now_s` is the wall clock's.
std::expected<TokenPtr, TokenFault> verify_token(std::string_view text, const KeySet& keys,
                                                 const TokenRules& rules, int64_t now_s);
// For a token that was good once: is it still?
std::expected<void, TokenFault> check_times(const Token& token, const TokenRules& rules,
                                            int64_t now_s);

inline constexpr size_t kMaxTokenBytes = 16384;

}  // namespace lictor
