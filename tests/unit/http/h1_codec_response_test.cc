#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>

#include "http/h1_codec.h"
#include "http/h1_codec_bench.h"

using lictor::H1Codec;
using lictor::Method;
using lictor::testing::check;
using lictor::testing::Reader;
using lictor::testing::Reading;
using lictor::testing::responses;
using namespace std::string_literals;
using namespace std::string_view_literals;

TEST_CASE("responses are read") {
  check(responses(),
        {
            {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "1.1 200 OK 2 | hi keep"},
            {"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "1.1 200  0 keep"},
            {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "1.1 200  0 keep"},
            {"HTTP/1.1 404 Not Found Here\r\nContent-Length: 0\r\n\r\n",
             "1.1 404 Not Found Here 0 keep"},
            {"HTTP/1.1 599 X\r\nContent-Length: 0\r\n\r\n", "1.1 599 X 0 keep"},
            {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: x\r\n\r\n",
             "1.1 200 OK unknown | hi | T=x keep"},
            {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
             "1.1 200 OK 1 Connection=close | x close"},
            {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "1.0 200 OK 1 | x close"},
            {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
             "1.0 200 OK 1 Connection=keep-alive | x keep"},
            {"HTTP/1.1 200 OK\r\nHost: a b\r\nContent-Length: 0\r\n\r\n",
             "1.1 200 OK 0 Host=a b keep"},
        });
}

TEST_CASE("a response without framing lasts until the connection ends") {
  check(responses(Method::kGet, true),
        {
            {"HTTP/1.1 200 OK\r\n\r\n", "1.1 200 OK unknown close"},
            {"HTTP/1.1 200 OK\r\n\r\nall of it", "1.1 200 OK unknown | all of it close"},
            {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx",
             "1.0 200 OK unknown Connection=keep-alive | x close"},
        });
  check(responses(), {{"HTTP/1.1 200 OK\r\n\r\nsome", "incomplete"}});
}

TEST_CASE("a response that ends too early was cut short") {
  check(
      responses(Method::kGet, true),
      {
          {"H", "connection_terminated"},
          {"HTTP/1.1 200 OK\r\n", "connection_terminated"},
          {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "connection_terminated"},
          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "connection_terminated"},
          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
           "connection_terminated"},
      });
}

TEST_CASE("some responses have no body whatever they say") {
  check(responses(Method::kHead),
        {
            {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "1.1 200 OK 5 keep"},
            {"HTTP/1.1 200 OK\r\n\r\n", "1.1 200 OK none keep"},
            {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1.1 200 OK none keep"},
        });
  check(responses(),
        {
            {"HTTP/1.1 204 No\r\n\r\n", "1.1 204 No none keep"},
            {"HTTP/1.1 304 Not\r\n\r\n", "1.1 304 Not none keep"},
            {"HTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\n", "1.1 304 Not 5 keep"},
            {"HTTP/1.1 304 Not\r\nTransfer-Encoding: chunked\r\n\r\n", "1.1 304 Not none keep"},
            {"HTTP/1.1 100 Continue\r\n\r\n", "1.1 100 Continue none keep"},
            {"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n", "1.1 103 Early none Link=a keep"},
            {"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", "1.1 204 No none keep"},
        });
}

TEST_CASE("bytes after a response without body are left") {
  for (const auto& [method, bytes] :
       {std::pair{Method::kHead, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/"s},
        std::pair{Method::kGet, "HTTP/1.1 204 No\r\n\r\nHTTP/"s},
        std::pair{Method::kGet, "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\nHTTP/"s},
        std::pair{Method::kGet, "HTTP/1.1 100 Continue\r\n\r\nHTTP/"s},
        std::pair{Method::kGet, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/"s},
        std::pair{Method::kGet,
                  "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nHTTP/"s}}) {
    CAPTURE(bytes);
    Reader reader(H1Codec::Kind::kResponse, method, {});
    reader.begin();
    CHECK_FALSE(reader.feed(bytes));
    CHECK(reader.left() == "HTTP/");
  }
}

TEST_CASE("responses with doubtful framing are refused") {
  check(
      responses(),
      {
          {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
           "http_protocol_error"},
          {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
           "http_protocol_error"},
          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "http_protocol_error"},
          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "http_protocol_error"},
          {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "http_protocol_error"},
          {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "http_protocol_error"},
          {"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n", "http_protocol_error"},
          {"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", "http_protocol_error"},
          {"HTTP/1.1 100 C\r\nContent-Length: 2\r\n\r\n", "http_protocol_error"},
          {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "http_protocol_error"},
          {"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "http_protocol_error"},
          {"HTTP/1.1 200 OK\nA: b\r\n\r\n", "http_protocol_error"},
          {"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n"sv, "http_protocol_error"},
          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
           "http_protocol_error in the body"},
      });
}

TEST_CASE("status lines that are not exactly one are refused") {
  check(responses(), {
                         {"HTTP/1.1 099 X\r\n\r\n", "http_protocol_error"},
                         {"HTTP/1.1 600 X\r\n\r\n", "http_protocol_error"},
                         {"HTTP/1.1 99 X\r\n\r\n", "http_protocol_error"},
                         {"HTTP/1.1 2000 X\r\n\r\n", "http_protocol_error"},
                         {"HTTP/1.1 2x0 X\r\n\r\n", "http_protocol_error"},
                         {"HTTP/1.1  200 X\r\n\r\n", "http_protocol_error"},
                         {"HTTP/2.0 200 X\r\n\r\n", "http_protocol_error"},
                         {"HTTP/0.9 200 X\r\n\r\n", "http_protocol_error"},
                         {"ICY 200 X\r\n\r\n", "http_protocol_error"},
                         {"RTSP/1.0 200 OK\r\n\r\n", "http_protocol_error"},
                         {"garbage\r\n\r\n", "http_protocol_error"},
                         {"\r\nHTTP/1.1 200 OK\r\n\r\n", "http_protocol_error"},
                         {"\nHTTP/1.1 200 OK\r\n\r\n", "http_protocol_error"},
                         {"HTTP/1.1 200 O\0K\r\n\r\n"sv, "http_protocol_error"},
                         {"HTTP/1.1 200 O\x01K\r\n\r\n", "http_protocol_error"},
                         {"HTTP/1.1 200 O\x7fK\r\n\r\n", "http_protocol_error"},
                         {"GET / HTTP/1.1\r\n\r\n", "http_protocol_error"},
                         {"220 mail.example ESMTP\r\n", "http_protocol_error"},
                     });
}

TEST_CASE("a 101 leaves the tunnel's bytes alone") {
  const Reading reading = responses();
  CHECK(reading.read("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n") ==
        "1.1 101 Go none ^websocket Connection=Upgrade Upgrade=websocket keep");
  CHECK(reading.read("HTTP/1.1 101 Go\r\n\r\n") == "1.1 101 Go none keep");
}
