#include "filter/base64.h"

#include <doctest/doctest.h>

using lictor::decode_base64;
using lictor::decode_base64url;

namespace {

std::string url(std::string_view text) {
  std::string out;
  return decode_base64url(text, out) ? out : "malformed";
}

std::string standard(std::string_view text) {
  std::string out;
  return decode_base64(text, out) ? out : "malformed";
}

}  // namespace

TEST_CASE("base64url: the values of RFC 4648, without padding") {
  CHECK(url("").empty());
  CHECK(url("Zg") == "f");
  CHECK(url("Zm8") == "fo");
  CHECK(url("Zm9v") == "foo");
  CHECK(url("Zm9vYmFy") == "foobar");
  CHECK(url("-_-_") == "\xfb\xff\xbf");
}

TEST_CASE("base64url: one text for each value") {
  CHECK(url("Zh") == "malformed");  // bits behind the last byte
  CHECK(url("Zm9") == "malformed");
  CHECK(url("Z") == "malformed");
  CHECK(url("Zg==") == "malformed");
  CHECK(url("Zm9v\n") == "malformed");
  CHECK(url("Zm 9v") == "malformed");
  CHECK(url("+/+/") == "malformed");
  CHECK(url(std::string_view("Zm9\0", 4)) == "malformed");
  CHECK(url("Zm9\xff") == "malformed");
}

TEST_CASE("base64: with padding, no more and no less") {
  CHECK(standard("Zg==") == "f");
  CHECK(standard("Zm8=") == "fo");
  CHECK(standard("+/+/") == "\xfb\xff\xbf");
  CHECK(standard("Zg") == "malformed");
  CHECK(standard("Zg=") == "malformed");
  CHECK(standard("Zm8==") == "malformed");
  CHECK(standard("Z===") == "malformed");
  CHECK(standard("Zg==Zg==") == "malformed");
  CHECK(standard("-_-_") == "malformed");
}
