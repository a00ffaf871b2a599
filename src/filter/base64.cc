#include "filter/base64.h"

#include <array>
#include <cstdint>

namespace lictor {
namespace {

using Values = std::array<int16_t, 256>;

constexpr Values values_of(std::string_view digits) {
  Values values{};
  values.fill(-1);
  for (size_t i = 0; i < digits.size(); ++i) {
    values[static_cast<unsigned char>(digits[i])] = static_cast<int16_t>(i);
  }
  return values;
}

constexpr Values kUrl =
    values_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
constexpr Values kStandard =
    values_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");

// Without padding.
bool decode(std::string_view text, const Values& values, std::string& out) {
  if (text.size() % 4 == 1) return false;
  out.resize(text.size() * 3 / 4);
  size_t at = 0;
  uint32_t bits = 0;
  int have = 0;
  for (const char c : text) {
    const int value = values[static_cast<unsigned char>(c)];
    if (value < 0) return false;
    bits = bits << 6 | static_cast<uint32_t>(value);
    have += 6;
    if (have >= 8) {
      have -= 8;
      out[at++] = static_cast<char>(bits >> have);
      bits &= (1U << have) - 1;
    }
  }
  return bits == 0;
}

}  // namespace

bool decode_base64url(std::string_view text, std::string& out) { return decode(text, kUrl, out); }

bool decode_base64(std::string_view text, std::string& out) {
  if (text.size() % 4 != 0) return false;
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  return decode(text, kStandard, out);
}

}  // namespace lictor
