#include "http/pairs.h"

#include <doctest/doctest.h>

#include <string>

using namespace lictor;  // NOLINT: many names, one test

namespace {

std::string all(std::string_view text, char separator) {
  std::string out;
  PairReader reader(text, separator);
  for (Pair pair; reader.next(pair);) {
    out.append("[").append(pair.name).append("|").append(pair.value).append("]");
  }
  return out;
}

}  // namespace

TEST_CASE("pairs are read one by one, as they came") {
  CHECK(all("", '&').empty());
  CHECK(all("&&", '&').empty());
  CHECK(all("a=1&b=2", '&') == "[a|1][b|2]");
  CHECK(all("a&b=&=c&d=e=f", '&') == "[a|][b|][|c][d|e=f]");
  CHECK(all("a=1;  b=\"2\" ; ", ';') == "[a|1][b|\"2\" ]");
  CHECK(all("a%20=b+c", '&') == "[a%20|b+c]");
}

TEST_CASE("the first value of a name") {
  Arena arena;
  Fields fields;
  fields.add(arena, "X-Cookie", "a=no");
  fields.add(arena, "Cookie", "b=1; a=2");
  fields.add(arena, "cookie", "c=3; b=4");
  CHECK(find_cookie(fields, "a") == "2");
  CHECK(find_cookie(fields, "b") == "1");
  CHECK(find_cookie(fields, "c") == "3");
  CHECK_FALSE(find_cookie(fields, "d"));
  CHECK(find_query("x=1&y&x=2", "x") == "1");
  CHECK(find_query("x=1&y&x=2", "y") == "");
  CHECK_FALSE(find_query("xy=1", "x"));
}
