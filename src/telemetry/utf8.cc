#include "telemetry/utf8.h"

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

}  // namespace lictor
