// Keys that signatures of JSON are checked with (RFC 7517, 7518, 8037), and the check itself.
// By OpenSSL's EVP rather than a JOSE library: of those in Debian, cjose has no EdDSA and tells
// all its failures alike, and what is left to do beside EVP is small, and strict here.
//
// A key takes the algorithms of its own type alone, so that no token can have a public key used as
// an HMAC's secret, and no list of keys can hold a secret.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

using EVP_PKEY = struct evp_pkey_st;

namespace lictor {

enum class JwsAlgorithm : uint8_t {
  kRs256,
  kRs384,
  kRs512,
  kPs256,
  kPs384,
  kPs512,
  kEs256,
  kEs384,
  kEs512,
  kEdDsa,
  kHs256,
  kHs384,
  kHs512,
};
inline constexpr size_t kJwsAlgorithms = 13;
std::string_view jws_algorithm_name(JwsAlgorithm algorithm);
std::optional<JwsAlgorithm> parse_jws_algorithm(std::string_view name);  // never "none"
std::vector<std::string_view> jws_algorithm_names();

class JwsAlgorithms {
 public:
  constexpr JwsAlgorithms() = default;
  constexpr JwsAlgorithms(std::initializer_list<JwsAlgorithm> list) {
    for (const auto one : list) add(one);
  }
  constexpr void add(JwsAlgorithm one) { bits_ |= bit(one); }
  constexpr bool has(JwsAlgorithm one) const { return (bits_ & bit(one)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool meets(JwsAlgorithms other) const { return (bits_ & other.bits_) != 0; }
  constexpr bool within(JwsAlgorithms other) const { return (bits_ & ~other.bits_) == 0; }

 private:
  static constexpr uint32_t bit(JwsAlgorithm one) { return 1U << static_cast<uint32_t>(one); }
  uint32_t bits_ = 0;
};
inline constexpr JwsAlgorithms kHmacAlgorithms = {JwsAlgorithm::kHs256, JwsAlgorithm::kHs384,
                                                  JwsAlgorithm::kHs512};
inline constexpr JwsAlgorithms kPublicKeyAlgorithms = {
    JwsAlgorithm::kRs256, JwsAlgorithm::kRs384, JwsAlgorithm::kRs512, JwsAlgorithm::kPs256,
    JwsAlgorithm::kPs384, JwsAlgorithm::kPs512, JwsAlgorithm::kEs256, JwsAlgorithm::kEs384,
    JwsAlgorithm::kEs512, JwsAlgorithm::kEdDsa};

// One key. Immutable; any thread.
class Jwk {
 public:
  // For HMAC: at least kLeastSecret bytes.
  static constexpr size_t kLeastSecret = 32;
  static Jwk secret(std::string bytes);
  // Of a public key in JSON. None with a problem when it can't be used, none without one when it is
  // not for signatures ("use": "enc").
  static std::optional<Jwk> read(const JsonValue& at);

  const std::string& kid() const { return kid_; }  // empty = none
  JwsAlgorithms algorithms() const { return algorithms_; }
  // False for an algorithm that is not one of them, and for anything malformed.
  bool verify(JwsAlgorithm algorithm, std::string_view text, std::string_view signature) const;

 private:
  bool verify_hmac(JwsAlgorithm algorithm, std::string_view text, std::string_view mac) const;

  std::string kid_;
  JwsAlgorithms algorithms_;
  std::string secret_;
  std::shared_ptr<EVP_PKEY> key_;
  size_t half_ = 0;  // of an ECDSA signature, in bytes
};

// Those of an issuer.
struct KeySet {
  static constexpr size_t kMaxKeys = 100;
  std::vector<Jwk> keys;
};
// Of {"keys": [...]} (RFC 7517, section 5). A key that can't be used is a problem and left out.
KeySet read_key_set(const JsonValue& at);

}  // namespace lictor
