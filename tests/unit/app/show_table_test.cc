#include "app/show_table.h"

#include <doctest/doctest.h>

using namespace lictor;  // NOLINT: many names, one test

TEST_CASE("columns are aligned by characters, not bytes") {
  Table table({"A", "B"});
  table.add({Cell("caf\xc3\xa9"), Cell("1")});
  table.add({Cell("tea!!"), Cell("2")});
  CHECK(table.text(false) == "A      B\ncaf\xc3\xa9   1\ntea!!  2\n");
  CHECK(table.text(false, "> ").starts_with("> A"));
}

TEST_CASE("colour where there is some, and none else") {
  Table table({"A"});
  table.add({Cell("bad", Tone::kBad)});
  table.add({Cell("plain")});
  CHECK(table.text(true) == "\x1b[1mA\x1b[0m\n\x1b[31mbad\x1b[0m\nplain\n");
  CHECK(table.text(false) == "A\nbad\nplain\n");
}

TEST_CASE("a name steers no terminal") {
  CHECK(printable("a\x1b[2Jb\r\n\x7f") == "a?[2Jb???");
  CHECK(printable("\xc2\x9b"
                  "31m") == "?31m");  // CSI as C1
  CHECK(printable("\xe2\x80\xae"
                  "x") == "?x");         // turns the line around
  CHECK(printable("\xff\xc3") == "??");  // no UTF-8
  CHECK(printable("\xc3\xa9 \xf0\x9f\x8f\x9b") == "\xc3\xa9 \xf0\x9f\x8f\x9b");
  CHECK(toned({"\x1b", Tone::kGood}, true) == "\x1b[32m?\x1b[0m");
}
