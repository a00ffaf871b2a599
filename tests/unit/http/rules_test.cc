#include "http/rules.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using lictor::field_id;
using namespace std::string_view_literals;

TEST_CASE("tokens") {
  for (const auto text : {"a", "GET", "x-y", "!#$%&'*+-.^_`|~09"}) CHECK(lictor::is_token(text));
  for (const auto text : {""sv, "a b"sv, "a:"sv, "a,b"sv, "\"a\""sv, "a/b"sv, "a=b"sv, "[a]"sv,
                          "a\0"sv, "caf\xc3\xa9"sv, "a\x7f"sv}) {
    CAPTURE(text);
    CHECK_FALSE(lictor::is_token(text));
  }
}

TEST_CASE("field values") {
  for (const auto text : {""sv, "a b"sv, "a\tb"sv, "caf\xc3\xa9"sv, "\xff"sv}) {
    CHECK(lictor::is_field_value(text));
  }
  for (const auto text : {"\r"sv, "\n"sv, "a\0b"sv, "\x1b"sv, "\x7f"sv}) {
    CHECK_FALSE(lictor::is_field_value(text));
  }
}

TEST_CASE("lists are taken apart without blanks and empty elements") {
  struct Case {
    std::string_view list;
    const char* elements;
  };
  for (const auto& [list, elements] :
       {Case{"", ""}, Case{"a", "a;"}, Case{" a ,\tb\t", "a;b;"}, Case{",, ,a,,", "a;"},
        Case{"a b, c", "a b;c;"}, Case{" ", ""}}) {
    std::string all;
    lictor::for_each_element(list, [&](std::string_view element) {
      all += std::string(element) + ";";
      return true;
    });
    CHECK(all == elements);
  }
}

TEST_CASE("a walk over a list may stop") {
  int seen = 0;
  lictor::for_each_element("a, b, c", [&](std::string_view) { return ++seen < 2; });
  CHECK(seen == 2);
}

TEST_CASE("tokens in lists are whole elements") {
  CHECK(lictor::list_has_token("keep-alive, Upgrade", "upgrade"));
  CHECK(lictor::list_has_token("close", "close"));
  CHECK_FALSE(lictor::list_has_token("not-close", "close"));
  CHECK_FALSE(lictor::list_has_token("close d", "close"));
  CHECK_FALSE(lictor::list_has_token("", "close"));
}

TEST_CASE("underscore twins") {
  using lictor::is_underscore_twin;
  CHECK(is_underscore_twin("X_Forwarded_For", "x-forwarded-for"));
  CHECK(is_underscore_twin("x-forwarded_for", "X-Forwarded-For"));
  CHECK_FALSE(is_underscore_twin("X-Forwarded-For", "X-Forwarded-For"));
  CHECK_FALSE(is_underscore_twin("X_Forwarded_Fo", "X-Forwarded-For"));
  CHECK_FALSE(is_underscore_twin("X_Forwarded_Foo", "X-Forwarded-For"));
  CHECK_FALSE(is_underscore_twin("X.Forwarded.For", "X-Forwarded-For"));
  CHECK_FALSE(is_underscore_twin("", ""));
}

TEST_CASE("fields of one hop") {
  for (const auto* name :
       {"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
        "TE", "Transfer-Encoding", "Upgrade", "HTTP2-Settings"}) {
    CHECK(lictor::is_hop_by_hop(field_id(name)));
  }
  for (const auto* name : {"Host", "Trailer", "Cookie", "Via", "Authorization", "X-Other"}) {
    CHECK_FALSE(lictor::is_hop_by_hop(field_id(name)));
  }
}

TEST_CASE("trailers that would change what the head said are not allowed") {
  const auto allowed = [](std::string_view name) {
    return lictor::is_allowed_trailer({name, "x", field_id(name)});
  };
  for (const auto* name : {"Transfer-Encoding",
                           "Content-Length",
                           "Host",
                           "Connection",
                           "TE",
                           "Trailer",
                           "Upgrade",
                           "Keep-Alive",
                           "Authorization",
                           "Proxy-Authorization",
                           "Cookie",
                           "Set-Cookie",
                           "Expect",
                           "Content-Type",
                           "Content-Encoding",
                           "Content-Range",
                           "Cache-Control",
                           "Range",
                           "Vary",
                           "Location",
                           "Retry-After",
                           "WWW-Authenticate",
                           "Max-Forwards",
                           "Via",
                           "X-Forwarded-For",
                           "X-Request-Id",
                           "X-Real-IP",
                           "Forwarded"}) {
    CAPTURE(name);
    CHECK_FALSE(allowed(name));
  }
  for (const auto* name : {"Grpc-Status", "Server-Timing", "Digest", "ETag", "X-Checksum"}) {
    CHECK(allowed(name));
  }
}
