#include "base/utf8.h"

#include <fmt/core.h>

#include <algorithm>

namespace lictor {

Utf8Char first_utf8_char(std::string_view text) {
  if (text.empty()) return {};
  const auto byte = [text](size_t at) { return static_cast<uint8_t>(text[at]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};

  uint8_t length = 0;
  uint32_t least = 0;  // smallest code point that needs this many bytes
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
    least = 0x80;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    least = 0x800;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    least = 0x10000;
  }
  if (length == 0 || text.size() < length) return {};

  uint32_t code = lead & (0x7fU >> length);
  for (uint8_t at = 1; at < length; ++at) {
    if ((byte(at) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(at) & 0x3fU);
  }
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < least || code > 0x10ffff || surrogate) return {};
  return {code, length};
}

std::string one_line(std::string_view text, bool json) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Char one = first_utf8_char(text);
    const std::string_view bytes = text.substr(0, std::max<size_t>(one.length, 1));
    text.remove_prefix(bytes.size());
    // Control characters of ASCII and ISO 6429, and the separators of Unicode.
    const bool breaks = one.code < 0x20 || (one.code >= 0x7f && one.code < 0xa0) ||
                        one.code == 0x2028 || one.code == 0x2029;
    if (json && one.length == 0) {
      out += "\\ufffd";
    } else if (json && breaks) {
      out += fmt::format("\\u{:04x}", one.code);
    } else if (breaks) {
      for (const char c : bytes) out += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
    } else {
      if (json && (one.code == '"' || one.code == '\\')) out += '\\';
      out += bytes;
    }
  }
  return out;
}

}  // namespace lictor
