// SipHash-2-4 with 128 bits (Aumasson and Bernstein): a keyed hash for tables whose keys come from
// clients. Who does not know the seed can neither make two keys meet nor crowd one place.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace lictor {

struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const Hash128&) const = default;
};

struct HashSeed {
  uint64_t low = 0;
  uint64_t high = 0;
};

// From the system; throws std::runtime_error when it has none.
HashSeed random_seed();

// Words first, then the text that ends it: SipHash(seed).word(a).word(b).finish(text).
class SipHash {
 public:
  explicit SipHash(const HashSeed& seed)
      : v0_(seed.low ^ 0x736f6d6570736575),
        v1_(seed.high ^ 0x646f72616e646f6d ^ 0xee),
        v2_(seed.low ^ 0x6c7967656e657261),
        v3_(seed.high ^ 0x7465646279746573) {}

  SipHash& word(uint64_t word) {
    v3_ ^= word;
    round();
    round();
    v0_ ^= word;
    size_ += 8;
    return *this;
  }

  Hash128 finish(std::string_view text) {
    while (text.size() >= 8) {
      uint64_t next = 0;
      std::memcpy(&next, text.data(), 8);
      word(little(next));
      text.remove_prefix(8);
    }
    uint64_t last = 0;
    if (!text.empty()) std::memcpy(&last, text.data(), text.size());
    word(little(last) | (size_ + text.size()) << 56);
    Hash128 out;
    v2_ ^= 0xee;
    for (int i = 0; i < 4; ++i) round();
    out.low = v0_ ^ v1_ ^ v2_ ^ v3_;
    v1_ ^= 0xdd;
    for (int i = 0; i < 4; ++i) round();
    out.high = v0_ ^ v1_ ^ v2_ ^ v3_;
    return out;
  }

 private:
  static uint64_t little(uint64_t word) {
    return std::endian::native == std::endian::little ? word : __builtin_bswap64(word);
  }
  void round() {
    v0_ += v1_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v3_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v2_ = std::rotl(v2_, 32);
  }

  uint64_t v0_;
  uint64_t v1_;
  uint64_t v2_;
  uint64_t v3_;
  uint64_t size_ = 0;  // of all words so far, in bytes
};

}  // namespace lictor
