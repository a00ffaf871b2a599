// What logs and metrics need to know of UTF-8, to keep bytes that clients send from breaking a
// line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lictor {

// One character at the front of a text.
struct Utf8Char {
  uint32_t code = 0;
  uint8_t length = 0;  // 1 to 4 bytes; 0 = the text is empty, or its first byte starts no character
};

// Strict: no overlong forms, surrogates or code points above U+10FFFF (RFC 3629).
Utf8Char first_utf8_char(std::string_view text);

// `text` as a line of a log: what could end or forge one is escaped, \x0a or, `json`, as in a JSON
// string. What is no UTF-8 is escaped, too; in JSON each such byte becomes U+FFFD.
std::string one_line(std::string_view text, bool json);

}  // namespace lictor
