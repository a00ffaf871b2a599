// What telemetry needs to know of UTF-8, to keep bytes that clients send from breaking its output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lictor {

// One character at the front of a text.
struct Utf8Char {
  uint32_t code = 0;
  uint8_t length = 0;  // 1 to 4 bytes; 0 = the text is empty, or its first byte starts no character
};

// Strict: no overlong forms, surrogates or code points above U+10FFFF (RFC 3629).
Utf8Char first_utf8_char(std::string_view text);

}  // namespace lictor
