#include "model/path_pattern.h"

#include <doctest/doctest.h>

using lictor::parse_host_pattern;
using lictor::parse_path_pattern;

TEST_CASE("path patterns are taken apart") {
  struct Case {
    const char* text;
    const char* shape;
    size_t captures;
  };
  for (const auto& [text, shape, captures] : {
           Case{"/", "/", 0},
           Case{"/*", "/*", 0},
           Case{"/user", "/user", 0},
           Case{"/user/", "/user/", 0},
           Case{"/user/*", "/user/*", 0},
           Case{"/orders/{id}/items", "/orders/{}/items", 1},
           Case{"/{a}/{b}/*", "/{}/{}/*", 2},
           Case{"/{_x9}", "/{}", 1},
           Case{"/.well-known/acme", "/.well-known/acme", 0},
           Case{"/a..b/...", "/a..b/...", 0},
           Case{"/%7Euser/%2d", "/~user/-", 0},
           Case{"/caf\u00e9", "/caf%C3%A9", 0},
           Case{"/caf%c3%a9", "/caf%C3%A9", 0},
           Case{"/a;b=1,c@d:e!$&'()+", "/a;b=1,c@d:e!$&'()+", 0},
       }) {
    CAPTURE(text);
    const auto pattern = parse_path_pattern(text);
    REQUIRE(pattern);
    CHECK(pattern->shape() == shape);
    CHECK(pattern->captures().size() == captures);
  }
}

TEST_CASE("what is no path pattern is refused with the reason") {
  struct Case {
    const char* text;
    const char* reason;
  };
  for (const auto& [text, reason] : {
           Case{"", "begins with '/'"},
           Case{"user", "begins with '/'"},
           Case{"*", "begins with '/'"},
           Case{"~^/v[0-9]+/", "begins with '/'"},
           Case{"//", "empty segment"},
           Case{"/a//b", "empty segment"},
           Case{"/a/./b", "dot segment"},
           Case{"/a/../b", "dot segment"},
           Case{"/..", "dot segment"},
           Case{"/%2e%2E/a", "climbs"},
           Case{"/a/%2e", "dot segment"},
           Case{"/a*", "stands alone"},
           Case{"/*/a", "stands alone"},
           Case{"/*.png", "stands alone"},
           Case{"/**", "stands alone"},
           Case{"/a{id}", "whole segment"},
           Case{"/{id}x", "whole segment"},
           Case{"/{id", "whole segment"},
           Case{"/{}", "capture's name"},
           Case{"/{a-b}", "capture's name"},
           Case{"/{9a}", "capture's name"},
           Case{"/{id}/{id}", "twice"},
           Case{"/a?b", "can't be in a path"},
           Case{"/a#b", "can't be in a path"},
           Case{"/a b", "can't be in a path"},
           Case{"/a\\b", "can't be in a path"},
           Case{"/a\nb", "can't be in a path"},
           Case{"/%", "bad escape"},
           Case{"/%zz", "bad escape"},
           Case{"/%00", "encoded NUL"},
           Case{"/a%2fb", "encoded NUL, backslash or slash"},
       }) {
    CAPTURE(text);
    const auto pattern = parse_path_pattern(text);
    REQUIRE_FALSE(pattern);
    CHECK(pattern.error().find(reason) != std::string::npos);
  }
}

TEST_CASE("patterns have bounds") {
  std::string captures;
  for (int i = 0; i < 16; ++i) captures += "/{c" + std::to_string(i) + "}";
  CHECK(parse_path_pattern(captures));
  CHECK_FALSE(parse_path_pattern(captures + "/{more}"));
  std::string segments;
  for (int i = 0; i < 64; ++i) segments += "/a";
  CHECK(parse_path_pattern(segments));
  CHECK_FALSE(parse_path_pattern(segments + "/a"));
  CHECK_FALSE(parse_path_pattern("/" + std::string(1024, 'a')));
  CHECK_FALSE(parse_path_pattern("/" + std::string(1'000'000, '/')));
}

TEST_CASE("hosts are normalised") {
  CHECK(parse_host_pattern("API.Example.COM") == "api.example.com");
  CHECK(parse_host_pattern("api.example.com.") == "api.example.com");
  CHECK(parse_host_pattern("*.Example.org") == "*.example.org");
  CHECK(parse_host_pattern("localhost") == "localhost");
  CHECK(parse_host_pattern("10.0.0.1") == "10.0.0.1");
  CHECK(parse_host_pattern("[::1]") == "[::1]");
  for (const auto* text : {"", "*", "*.", ".example.com", "a..b", "a*b.example", "*.*.example",
                           "a b", "example.com:80", "[::1]:80", "*.[::1]", "http://example.com",
                           "caf\u00e9.example", "example.com/", "a_b?c", "user@example.com"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_host_pattern(text));
  }
}
