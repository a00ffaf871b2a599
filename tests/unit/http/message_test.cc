#include "http/message.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using lictor::Arena;
using lictor::equals_ignore_case;
using lictor::field_id;
using lictor::FieldId;
using lictor::Fields;
using lictor::Method;
using lictor::parse_method;

TEST_CASE("fields with rules are known by name, in any case") {
  struct Case {
    const char* name;
    FieldId id;
  };
  for (const auto& [name, id] : {
           Case{"Authorization", FieldId::kAuthorization},
           Case{"Connection", FieldId::kConnection},
           Case{"Content-Length", FieldId::kContentLength},
           Case{"Content-Type", FieldId::kContentType},
           Case{"Cookie", FieldId::kCookie},
           Case{"Date", FieldId::kDate},
           Case{"Expect", FieldId::kExpect},
           Case{"Forwarded", FieldId::kForwarded},
           Case{"Host", FieldId::kHost},
           Case{"HTTP2-Settings", FieldId::kHttp2Settings},
           Case{"Keep-Alive", FieldId::kKeepAlive},
           Case{"Proxy-Authenticate", FieldId::kProxyAuthenticate},
           Case{"Proxy-Authorization", FieldId::kProxyAuthorization},
           Case{"Proxy-Connection", FieldId::kProxyConnection},
           Case{"Referer", FieldId::kReferer},
           Case{"Server", FieldId::kServer},
           Case{"TE", FieldId::kTe},
           Case{"Traceparent", FieldId::kTraceparent},
           Case{"tracestate", FieldId::kTracestate},
           Case{"Trailer", FieldId::kTrailer},
           Case{"Transfer-Encoding", FieldId::kTransferEncoding},
           Case{"Upgrade", FieldId::kUpgrade},
           Case{"User-Agent", FieldId::kUserAgent},
           Case{"Via", FieldId::kVia},
           Case{"X-Forwarded-For", FieldId::kXForwardedFor},
           Case{"X-Forwarded-Host", FieldId::kXForwardedHost},
           Case{"X-Forwarded-Port", FieldId::kXForwardedPort},
           Case{"X-Forwarded-Prefix", FieldId::kXForwardedPrefix},
           Case{"X-Forwarded-Proto", FieldId::kXForwardedProto},
           Case{"X-Real-IP", FieldId::kXRealIp},
           Case{"X-Request-Id", FieldId::kXRequestId},
       }) {
    const std::string as_written = name;
    CAPTURE(as_written);
    std::string lower, upper;
    for (const char c : as_written) {
      lower += static_cast<char>(std::tolower(c));
      upper += static_cast<char>(std::toupper(c));
    }
    CHECK(field_id(as_written) == id);
    CHECK(field_id(lower) == id);
    CHECK(field_id(upper) == id);
    for (size_t i = 0; i < as_written.size(); ++i) {
      std::string other = as_written;
      other[i] = '_';
      CHECK(field_id(other) == FieldId::kOther);
    }
    CHECK(field_id(as_written + "s") == FieldId::kOther);
    CHECK(field_id(as_written.substr(1)) == FieldId::kOther);
  }
}

TEST_CASE("other names are none of them") {
  for (const std::string& name :
       {std::string(), std::string("a"), std::string("Accept"), std::string(19, 'x'),
        std::string(20, 'x'), std::string(1'000, 'x'), std::string("Hos\xf4"),
        std::string("H\0st", 4)}) {
    CHECK(field_id(name) == FieldId::kOther);
  }
}

TEST_CASE("case is that of ASCII letters alone") {
  CHECK(equals_ignore_case("aZ09-_", "Az09-_"));
  CHECK_FALSE(equals_ignore_case("a", "ab"));
  CHECK_FALSE(equals_ignore_case("@", "`"));
  CHECK_FALSE(equals_ignore_case("[", "{"));
  CHECK_FALSE(equals_ignore_case("\xc4", "\xe4"));
}

TEST_CASE("methods have their case") {
  for (const auto* name :
       {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}) {
    CHECK(lictor::method_label(parse_method(name)) == name);
  }
  for (const auto* name : {"", "get", "Get", "GETS", "GE", "PROPFIND"}) {
    CHECK(parse_method(name) == Method::kOther);
  }
  CHECK(lictor::method_label(Method::kOther) == "OTHER");
}

TEST_CASE("fields keep their order through changes") {
  Arena arena;
  Fields fields;
  for (int i = 0; i < 100; ++i) {
    fields.add(arena, i % 3 == 0 ? "Three" : "x", arena.copy(std::to_string(i)));
  }
  CHECK(fields.size() == 100);
  fields.remove("THREE");
  CHECK(fields.size() == 66);
  CHECK(fields.begin()[0].value == "1");
  CHECK(fields.begin()[1].value == "2");
  CHECK(fields.back().value == "98");
  fields.set(arena, "X", "only");
  CHECK(fields.size() == 1);
  CHECK(fields.find("x")->value == "only");
  fields.clear();
  CHECK(fields.empty());
  CHECK(fields.find("x") == nullptr);
  CHECK(fields.get(FieldId::kHost).empty());
}

TEST_CASE("the first of several is found") {
  Arena arena;
  Fields fields;
  fields.add(arena, "a", "0");
  fields.add(arena, "VIA", "1");
  fields.add(arena, "via", "2");
  CHECK(fields.get(FieldId::kVia) == "1");
  CHECK(fields.find("Via")->value == "1");
  fields.remove(FieldId::kVia);
  CHECK(fields.size() == 1);
}
