#include "http/uri.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <string_view>

using lictor::Arena;
using lictor::Failure;
using lictor::Method;
using lictor::normalise_host;
using lictor::normalise_path;
using lictor::parse_target;
using lictor::TargetForm;
using lictor::valid_authority;
using namespace std::string_view_literals;

TEST_CASE("request targets are taken apart") {
  struct Case {
    std::string_view text;
    TargetForm form;
    std::string_view scheme, authority, path, query;
    bool has_query;
  };
  constexpr auto kOrigin = TargetForm::kOrigin;
  constexpr auto kAbsolute = TargetForm::kAbsolute;
  for (const auto& [text, form, scheme, authority, path, query, has_query] : {
           Case{"/", kOrigin, "", "", "/", "", false},
           Case{"/a/b?c=d", kOrigin, "", "", "/a/b", "c=d", true},
           Case{"/a?", kOrigin, "", "", "/a", "", true},
           Case{"/a?b?c", kOrigin, "", "", "/a", "b?c", true},
           Case{"/?/../%zz", kOrigin, "", "", "/", "/../%zz", true},
           Case{"//a", kOrigin, "", "", "//a", "", false},
           Case{"/a:b@c;d=1,2!$&'()*+", kOrigin, "", "", "/a:b@c;d=1,2!$&'()*+", "", false},
           Case{"/caf\xc3\xa9", kOrigin, "", "", "/caf\xc3\xa9", "", false},
           Case{"/q?a={b|c}^`\"", kOrigin, "", "", "/q", "a={b|c}^`\"", true},
           Case{"http://h/p?q", kAbsolute, "http", "h", "/p", "q", true},
           Case{"HTTPS://h:8443/p", kAbsolute, "HTTPS", "h:8443", "/p", "", false},
           Case{"http://h", kAbsolute, "http", "h", "/", "", false},
           Case{"http://h?q", kAbsolute, "http", "h", "/", "q", true},
           Case{"http://[::1]:80/x", kAbsolute, "http", "[::1]:80", "/x", "", false},
       }) {
    CAPTURE(text);
    const auto target = parse_target(Method::kGet, text);
    REQUIRE(target);
    CHECK(target->form == form);
    CHECK(target->scheme == scheme);
    CHECK(target->authority == authority);
    CHECK(target->path == path);
    CHECK(target->query == query);
    CHECK(target->has_query == has_query);
  }
}

TEST_CASE("what is no request target is a bad request") {
  for (const std::string_view text : {""sv,
                                      "a"sv,
                                      "?q"sv,
                                      "*"sv,
                                      "/#f"sv,
                                      "/a?b#c"sv,
                                      "/a b"sv,
                                      "/a\tb"sv,
                                      "/a\0b"sv,
                                      "/a?\0"sv,
                                      "/\x7f"sv,
                                      "/a?b\x7f"sv,
                                      "/\\"sv,
                                      "/?\\"sv,
                                      "/<a>"sv,
                                      "/a?<b"sv,
                                      "/\""sv,
                                      "/{a}"sv,
                                      "/a|b"sv,
                                      "/^"sv,
                                      "/`"sv,
                                      "/%"sv,
                                      "/%2"sv,
                                      "/%zz"sv,
                                      "/a%2"sv,
                                      "/%%41"sv,
                                      "/%4g"sv,
                                      "/%-1"sv,
                                      "http:/h"sv,
                                      "http:h"sv,
                                      "http://"sv,
                                      "http:///p"sv,
                                      "ftp://h/"sv,
                                      "ws://h/"sv,
                                      "://h/"sv,
                                      "http://u@h/"sv,
                                      "http://u:p@h/"sv,
                                      "http://h:99999/"sv,
                                      "http://h:a/"sv,
                                      "http://[::1/"sv,
                                      "http://h#f"sv,
                                      "http://h\\p"sv,
                                      "h:80"sv,
                                      "javascript:x"sv,
                                      "\\/"sv}) {
    CAPTURE(text);
    const auto target = parse_target(Method::kGet, text);
    REQUIRE_FALSE(target);
    CHECK(target.error().failure == Failure::kBadRequest);
  }
}

TEST_CASE("the asterisk is for OPTIONS, the authority for CONNECT") {
  const auto asterisk = parse_target(Method::kOptions, "*");
  REQUIRE(asterisk);
  CHECK(asterisk->form == TargetForm::kAsterisk);
  CHECK_FALSE(parse_target(Method::kOptions, "**"));
  const auto tunnel = parse_target(Method::kConnect, "h:443");
  REQUIRE(tunnel);
  CHECK(tunnel->form == TargetForm::kAuthority);
  CHECK(tunnel->authority == "h:443");
  for (const auto* text : {"h", "/", "*", "http://h:443", "u@h:443", ":443", "h:443/"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_target(Method::kConnect, text));
  }
}

TEST_CASE("authorities") {
  for (const std::string_view text : {"h", "h:80", "h:", "h:0", "h:65535", "a.b-c_d~e", "H.EXAMPLE",
                                      "h.", "10.0.0.1", "10.0.0.1:8080", "[::1]", "[::1]:80",
                                      "[2001:db8::1]:", "[::ffff:1.2.3.4]", "xn--caf-dma"}) {
    CAPTURE(text);
    CHECK(valid_authority(text));
  }
  for (const std::string_view text :
       {""sv,      ":"sv,       ":80"sv,        "h:65536"sv,     "h:000080"sv, "h:8a"sv,
        "h:-1"sv,  "h:80:80"sv, "u@h"sv,        "h/"sv,          "h?"sv,       "h#"sv,
        "h\\"sv,   "h h"sv,     " h"sv,         "h "sv,          "h\t"sv,      "h\0"sv,
        "h%41"sv,  "h,h"sv,     "h;h"sv,        "caf\xc3\xa9"sv, "["sv,        "[]"sv,
        "[::1"sv,  "[[::1]]"sv, "[10.0.0.1]"sv, "[::1]80"sv,     "[::1]:x"sv,  "[::1%25eth0]"sv,
        "[::g]"sv, "::1"sv,     "[h]"sv,        "<h>"sv,         "*"sv,        "h:+1"sv}) {
    CAPTURE(text);
    CHECK_FALSE(valid_authority(text));
  }
  CHECK(valid_authority(std::string(255, 'a') + ":65535"));
  CHECK_FALSE(valid_authority(std::string(262, 'a')));
}

TEST_CASE("hosts are compared in lower case, without port and trailing dot") {
  struct Case {
    std::string_view authority, host;
  };
  Arena arena;
  for (const auto& [authority, host] :
       {Case{"h", "h"}, Case{"h:80", "h"}, Case{"H.Example:80", "h.example"}, Case{"h.", "h"},
        Case{"h.:80", "h"}, Case{"[::1]:80", "[::1]"}, Case{"[::A]", "[::a]"}, Case{".", "."},
        Case{"", ""}}) {
    CAPTURE(authority);
    CHECK(normalise_host(authority, arena) == host);
  }
  const std::string_view plain = "a.example:80";
  CHECK(normalise_host(plain, arena).data() == plain.data());
}

TEST_CASE("paths are normalised") {
  struct Case {
    std::string_view path, normal;
  };
  Arena arena;
  for (const auto& [path, normal] : {
           Case{"/", "/"},
           Case{"/a", "/a"},
           Case{"/a/", "/a/"},
           Case{"//", "/"},
           Case{"///a//b///", "/a/b/"},
           Case{"/.", "/"},
           Case{"/./", "/"},
           Case{"/a/.", "/a/"},
           Case{"/a/./b", "/a/b"},
           Case{"/a/..", "/"},
           Case{"/a/../", "/"},
           Case{"/a/b/..", "/a/"},
           Case{"/a/b/../c", "/a/c"},
           Case{"/a/b/../../c", "/c"},
           Case{"/a//../b", "/b"},
           Case{"/a/.//../b", "/b"},
           Case{"/...", "/..."},
           Case{"/a/...", "/a/..."},
           Case{"/.a", "/.a"},
           Case{"/..a/b..", "/..a/b.."},
           Case{"/a./b", "/a./b"},
           Case{"/..;/a", "/..;/a"},
           Case{"/%2e/a", "/a"},
           Case{"/a/%2E%2e/b", "/b"},
           Case{"/a/.%2e/b", "/b"},
           Case{"/%41%5a%61%7a%30%39%2d%2e%5f%7E", "/AZaz09-._~"},
           Case{"/%7euser", "/~user"},
           Case{"/%3f%23%25%20", "/%3F%23%25%20"},
           Case{"/%c3%a9", "/%C3%A9"},
           Case{"/%C3%A9", "/%C3%A9"},
           Case{"/%252e%252e/a", "/%252e%252e/a"},
           Case{"/%0a%0D%09", "/%0A%0D%09"},
           Case{"/a;b=%3B", "/a;b=%3B"},
           Case{"/%7f%ff", "/%7F%FF"},
       }) {
    CAPTURE(path);
    const auto result = normalise_path(path, arena);
    REQUIRE(result);
    CHECK(*result == normal);
  }
}

TEST_CASE("a path that is normal already is not copied") {
  Arena arena;
  for (const std::string_view path : {"/", "/a/b", "/a.b/c", "/caf\xc3\xa9", "/a;b"}) {
    CHECK(normalise_path(path, arena)->data() == path.data());
  }
  CHECK(arena.allocated() == 0);
}

TEST_CASE("paths that climb or hide are bad requests") {
  Arena arena;
  for (const std::string_view path :
       {"/..",   "/../",   "/../a",       "/a/../..", "/a/../../b",
        "/./..", "//..",   "/%2e%2e",     "/%2e./a",  "/a/%2e%2e/%2e%2e/",
        "/%00",  "/a%00b", "/%2f",        "/a%2Fb",   "/a/..%2f..",
        "/%5c",  "/a%5Cb", "/%2e%2e%2fa", "/%",       "/%4",
        "/%zz",  "/a/%2"}) {
    CAPTURE(path);
    const auto result = normalise_path(path, arena);
    REQUIRE_FALSE(result);
    CHECK(result.error().failure == Failure::kBadRequest);
  }
}

TEST_CASE("what was normalised is normal") {
  std::mt19937 random(1);
  constexpr std::string_view kPieces[] = {"/",   "//", ".",   "..", "a",   "%2e", "%2E", "%41",
                                          "%3f", ";",  "%25", "2e", "%c3", "/.",  "/..", "b"};
  for (int i = 0; i < 20'000; ++i) {
    std::string path = "/";
    for (size_t pieces = random() % 10; pieces > 0; --pieces) {
      path += kPieces[random() % std::size(kPieces)];
    }
    CAPTURE(path);
    Arena arena;
    const auto once = normalise_path(path, arena);
    if (!once) continue;
    REQUIRE(once->starts_with('/'));
    REQUIRE(once->find("//") == std::string_view::npos);
    REQUIRE((std::string(*once) + "/").find("/../") == std::string::npos);
    REQUIRE((std::string(*once) + "/").find("/./") == std::string::npos);
    const auto twice = normalise_path(*once, arena);
    REQUIRE(twice);
    REQUIRE(*twice == *once);
  }
}
