#include "http/h1_write.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "base/error.h"

using lictor::Arena;
using lictor::BodyKind;
using lictor::Buffer;
using lictor::Head;
using lictor::Method;
using lictor::Version;
using lictor::h1::Connection;
using lictor::h1::Framing;

namespace {

std::string text_of(Buffer& buffer) {
  std::string text;
  while (!buffer.empty()) {
    text += buffer.front();
    buffer.consume(buffer.front().size());
  }
  return text;
}

Head request_head(Arena& arena) {
  Head head;
  head.method_name = "POST";
  head.target = "/a?b";
  head.authority = "h:80";
  head.fields.add(arena, "A", "b");
  head.length = 12;
  return head;
}

}  // namespace

TEST_CASE("request heads are written") {
  Arena arena;
  Buffer out;
  Head head = request_head(arena);
  lictor::h1::write_request_head(out, head, Framing::kNone);
  CHECK(text_of(out) == "POST /a?b HTTP/1.1\r\nHost: h:80\r\nA: b\r\n\r\n");
  lictor::h1::write_request_head(out, head, Framing::kLength);
  CHECK(text_of(out).ends_with("A: b\r\nContent-Length: 12\r\n\r\n"));
  lictor::h1::write_request_head(out, head, Framing::kChunked);
  CHECK(text_of(out).ends_with("A: b\r\nTransfer-Encoding: chunked\r\n\r\n"));
  head.upgrade = "websocket";
  lictor::h1::write_request_head(out, head, Framing::kNone);
  CHECK(text_of(out).ends_with("A: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
}

TEST_CASE("response heads are written") {
  struct Case {
    Framing framing;
    Connection connection;
    const char* upgrade;
    const char* rest;
  };
  for (const auto& [framing, connection, upgrade, rest] : {
           Case{Framing::kNone, Connection::kDefault, "", ""},
           Case{Framing::kLength, Connection::kDefault, "", "Content-Length: 7\r\n"},
           Case{Framing::kChunked, Connection::kDefault, "", "Transfer-Encoding: chunked\r\n"},
           Case{Framing::kUntilClose, Connection::kClose, "", "Connection: close\r\n"},
           Case{Framing::kLength, Connection::kKeepAlive, "",
                "Content-Length: 7\r\nConnection: keep-alive\r\n"},
           Case{Framing::kNone, Connection::kClose, "x", "Connection: Upgrade\r\nUpgrade: x\r\n"},
       }) {
    Head head;
    head.status = 200;
    head.reason = "Fine";
    head.body = BodyKind::kLength;
    head.length = 7;
    head.upgrade = upgrade;
    Buffer out;
    lictor::h1::write_response_head(out, head, framing, connection);
    CHECK(text_of(out) == "HTTP/1.1 200 Fine\r\n" + std::string(rest) + "\r\n");
  }
}

TEST_CASE("heads of any size are written whole") {
  for (const size_t size : {0, 1'000, 3'000, 3'900, 3'930, 3'950, 4'000, 4'096, 5'000, 40'000}) {
    CAPTURE(size);
    Arena arena;
    Head head = request_head(arena);
    const std::string value(size, 'v');
    const std::string before(16'000, 'x');  // near the end of a chunk
    head.fields.add(arena, "Big", value);
    Buffer out;
    out.append(std::string_view(before));
    lictor::h1::write_request_head(out, head, Framing::kChunked);
    CHECK(text_of(out).substr(16'000) == "POST /a?b HTTP/1.1\r\nHost: h:80\r\nA: b\r\nBig: " +
                                             value + "\r\nTransfer-Encoding: chunked\r\n\r\n");
    head.status = 200;
    lictor::h1::write_response_head(out, head, Framing::kLength, Connection::kClose);
    CHECK(text_of(out) == "HTTP/1.1 200 \r\nA: b\r\nBig: " + value +
                              "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  }
}

TEST_CASE("how a response is framed") {
  struct Case {
    uint16_t status;
    BodyKind body;
    Method method;
    Version client;
    Framing framing;
  };
  constexpr auto k10 = Version::kHttp10;
  constexpr auto k11 = Version::kHttp11;
  for (const auto& [status, body, method, client, framing] : {
           Case{200, BodyKind::kLength, Method::kGet, k11, Framing::kLength},
           Case{200, BodyKind::kUnknown, Method::kGet, k11, Framing::kChunked},
           Case{200, BodyKind::kNone, Method::kGet, k11, Framing::kLength},
           Case{200, BodyKind::kLength, Method::kGet, k10, Framing::kLength},
           Case{200, BodyKind::kUnknown, Method::kGet, k10, Framing::kUntilClose},
           Case{200, BodyKind::kLength, Method::kHead, k11, Framing::kLength},
           Case{200, BodyKind::kUnknown, Method::kHead, k11, Framing::kNone},
           Case{200, BodyKind::kNone, Method::kHead, k11, Framing::kNone},
           Case{304, BodyKind::kLength, Method::kGet, k11, Framing::kLength},
           Case{304, BodyKind::kUnknown, Method::kGet, k11, Framing::kNone},
           Case{204, BodyKind::kLength, Method::kGet, k11, Framing::kNone},
           Case{103, BodyKind::kNone, Method::kGet, k11, Framing::kNone},
           Case{101, BodyKind::kUnknown, Method::kGet, k11, Framing::kNone},
       }) {
    CAPTURE(status);
    Head head;
    head.status = status;
    head.body = body;
    CHECK(lictor::h1::response_framing(head, method, client) == framing);
  }
}

TEST_CASE("chunks are written") {
  Buffer out;
  for (const size_t size : {size_t{1}, size_t{255}, size_t{65'536}, SIZE_MAX}) {
    lictor::h1::write_chunk_start(out, size);
  }
  CHECK(text_of(out) == "1\r\nff\r\n10000\r\nffffffffffffffff\r\n");
  lictor::h1::write_last_chunk(out, nullptr);
  CHECK(text_of(out) == "0\r\n\r\n");
  Arena arena;
  lictor::Fields trailers;
  lictor::h1::write_last_chunk(out, &trailers);
  CHECK(text_of(out) == "0\r\n\r\n");
  const std::string value(10'000, 'v');
  trailers.add(arena, "A", "b");
  trailers.add(arena, "C", value);
  lictor::h1::write_last_chunk(out, &trailers);
  CHECK(text_of(out) == "0\r\nA: b\r\nC: " + value + "\r\n\r\n");
}

TEST_CASE("every status that the gateway answers with has a reason") {
  for (int failure = 1; failure <= static_cast<int>(lictor::Failure::kInternal); ++failure) {
    const auto status = lictor::describe(static_cast<lictor::Failure>(failure)).status;
    CAPTURE(status);
    if (status == 499) continue;  // never sent
    CHECK_FALSE(lictor::h1::reason_phrase(status).empty());
  }
  CHECK(lictor::h1::reason_phrase(299).empty());
}
