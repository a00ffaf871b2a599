// Digests of secrets, so that the secrets themselves are neither kept nor compared.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string_view>

namespace lictor {

using Digest = std::array<uint8_t, 32>;

Digest sha256(std::string_view text);
// HMAC-SHA-256 of the parts, each with its length in front, so that no two lists of parts give the
// same text.
Digest hmac_sha256(const Digest& key, std::initializer_list<std::string_view> parts);
// Of the system; for keys.
Digest random_digest();

// A digest's first bytes are as good as any hash of it.
struct DigestHash {
  size_t operator()(const Digest& digest) const {
    return std::hash<std::string_view>{}({reinterpret_cast<const char*>(digest.data()), 16});
  }
};
inline std::string_view as_text(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace lictor
