#include "base/utf8.h"

#include <doctest/doctest.h>

namespace lictor {
namespace {

TEST_CASE("utf8: characters of each length") {
  const auto check = [](std::string_view text, uint32_t code, int length) {
    const Utf8Char found = first_utf8_char(text);
    CHECK(found.code == code);
    CHECK(int{found.length} == length);
  };
  check("a", 'a', 1);
  check("\x7f", 0x7f, 1);
  check("\xc2\x80", 0x80, 2);
  check("\xc3\xa9tail", 0xe9, 2);
  check("\xe2\x82\xac", 0x20ac, 3);
  check("\xf0\x9f\x98\x80", 0x1f600, 4);
  check("\xf4\x8f\xbf\xbf", 0x10ffff, 4);
}

TEST_CASE("utf8: what is no character") {
  const std::initializer_list<const char*> bad = {
      "",
      "\x80",              // a continuation alone
      "\xc3",              // cut short
      "\xc3(",             // no continuation
      "\xc0\x80",          // overlong
      "\xe0\x80\xaf",      // overlong
      "\xf0\x80\x80\x80",  // overlong
      "\xed\xa0\x80",      // a surrogate
      "\xf4\x90\x80\x80",  // above U+10FFFF
      "\xf5\x80\x80\x80",
      "\xff",
  };
  for (const char* text : bad) CHECK(int{first_utf8_char(text).length} == 0);
}

}  // namespace
}  // namespace lictor

TEST_CASE("a line of the log stays one line, whatever it tells") {
  using lictor::one_line;
  CHECK(one_line("caf\xc3\xa9 \"x\" \\", false) == "caf\xc3\xa9 \"x\" \\");
  CHECK(one_line("caf\xc3\xa9 \"x\" \\", true) == "caf\xc3\xa9 \\\"x\\\" \\\\");
  CHECK(one_line("a\nb\x1b", false) == "a\\x0ab\\x1b");
  CHECK(one_line("a\nb\x7f", true) == "a\\u000ab\\u007f");
  CHECK(one_line("\xc2\x85|\xe2\x80\xa8", false) == "\\xc2\\x85|\\xe2\\x80\\xa8");
  CHECK(one_line("\xc2\x85|\xe2\x80\xa8", true) == "\\u0085|\\u2028");
  CHECK(one_line("\xff|\xc3", false) == "\\xff|\\xc3");
  CHECK(one_line("\xff|\xc3", true) == "\\ufffd|\\ufffd");
}
