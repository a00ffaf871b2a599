#include "base/siphash.h"

#include <doctest/doctest.h>

#include <string>

using lictor::Hash128;
using lictor::HashSeed;
using lictor::SipHash;

namespace {

constexpr HashSeed kSeed{0x0706050403020100, 0x0f0e0d0c0b0a0908};

// The bytes 0, 1, 2, ... as the authors' vectors have them.
std::string counting(size_t size) {
  std::string out;
  for (size_t i = 0; i < size; ++i) out += static_cast<char>(i);
  return out;
}

}  // namespace

TEST_CASE("SipHash-2-4-128 is the one of its authors") {
  CHECK(SipHash(kSeed).finish({}) == Hash128{0xe6a825ba047f81a3, 0x930255c71472f66d});
  CHECK(SipHash(kSeed).finish(counting(1)) == Hash128{0x44af996bd8c187da, 0x45fc229b11597634});
  CHECK(SipHash(kSeed).finish(counting(15)) == Hash128{0x11a8b03399e99354, 0xd9c3cf970fec087e});
}

TEST_CASE("words are the bytes ahead of the text") {
  const std::string text = counting(21);
  CHECK(SipHash(kSeed).word(0x0706050403020100).finish(text.substr(8)) ==
        SipHash(kSeed).finish(text));
}

TEST_CASE("other seeds and other lengths give other hashes") {
  CHECK_FALSE(SipHash(kSeed).finish("a") == SipHash(HashSeed{}).finish("a"));
  CHECK_FALSE(SipHash(kSeed).finish("a") == SipHash(kSeed).finish(std::string_view("a\0", 2)));
  const HashSeed one = lictor::random_seed();
  const HashSeed other = lictor::random_seed();
  CHECK_FALSE((one.low == other.low && one.high == other.high));
}
