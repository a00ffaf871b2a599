#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "http/h1_codec.h"
#include "http/h1_codec_bench.h"

using lictor::Failure;
using lictor::H1Codec;
using lictor::Method;
using lictor::testing::check;
using lictor::testing::check_each;
using lictor::testing::chunked;
using lictor::testing::get;
using lictor::testing::post;
using lictor::testing::Reader;
using namespace std::string_literals;
using namespace std::string_view_literals;

TEST_CASE("requests are read") {
  check({},
        {
            {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / 1.1 h none keep"},
            {"GET /a?b HTTP/1.1\r\nhost:h:80\r\nA: b\r\nC:\td \t\r\nE:\r\n\r\n",
             "GET /a?b 1.1 h:80 none A=b C=d E= keep"},
            {"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / 1.1 h none keep"},
            {"GET / HTTP/1.0\r\n\r\n", "GET / 1.0  none close"},
            {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
             "GET / 1.0  none Connection=keep-alive keep"},
            {"GET / HTTP/1.1\r\nHost: h\r\nConnection: Close\r\n\r\n",
             "GET / 1.1 h none Connection=Close close"},
            {"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, close\r\n\r\n",
             "GET / 1.1 h none Connection=keep-alive, close close"},
            {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
             "POST / 1.1 h 3 | abc keep"},
            {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "POST / 1.1 h 0 keep"},
            {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 003\r\n\r\nabc",
             "POST / 1.1 h 3 | abc keep"},
            {"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", "POST / 1.0  3 | abc close"},
            {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", "GET / 1.1 h 1 | x keep"},
            {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * 1.1 h none keep"},
            {"GET http://x/y HTTP/1.1\r\nHost: h\r\n\r\n", "GET http://x/y 1.1 h none keep"},
            {"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", "CONNECT h:443 1.1 h:443 none keep"},
            {"PATCH / HTTP/1.1\r\nHost: h\r\n\r\n", "PATCH / 1.1 h none keep"},
            {"PROPFIND / HTTP/1.1\r\nHost: h\r\n\r\n", "PROPFIND / 1.1 h none keep"},
            {"GET / HTTP/1.1\r\nHost: h\r\nX: caf\xc3\xa9\r\n\r\n",
             "GET / 1.1 h none X=caf\xc3\xa9 keep"},
            {"GET / HTTP/1.1\r\nHost: h\r\nX: a\tb\r\n\r\n", "GET / 1.1 h none X=a\tb keep"},
        });
}

TEST_CASE("request lines that are not exactly one are refused") {
  check({}, {
                {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET /  HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {" GET / HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.1\nHost: h\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.1\rHost: h\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.1\r\rHost: h\r\n\r\n", "bad_request"},
                {"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET /\r\n\r\n", "bad_request"},
                {"GET\r\n\r\n", "bad_request"},
                {"GET / \r\n\r\n", "bad_request"},
                {"GET HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"G@T / HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"{} / HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"\x16\x03\x01\x02\x01\x01\xfc\x03\x03", "bad_request"},
                {"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"\r\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"\r\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET / HTTP/11\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET / http/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET / HTTPS/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET / HTTP/ 1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET / HTTP/01.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET / HTTP/0.9\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "http_version"},
                {"GET / HTTP/3.0\r\nHost: h\r\n\r\n", "http_version"},
                {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http_version"},
                {"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "not_implemented"},
                {"BREW  / HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"BREW / HTTP/0.9\r\nHost: h\r\n\r\n", "bad_request"},
                {"get / HTTP/1.1\r\nHost: h\r\n\r\n", "not_implemented"},
                {"DESCRIBE / HTTP/1.1\r\nHost: h\r\n\r\n", "not_implemented"},
                {"PRI / HTTP/1.1\r\nHost: h\r\n\r\n", "not_implemented"},
                {"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", "not_implemented"},
                {"GETS / HTTP/1.1\r\nHost: h\r\n\r\n", "not_implemented"},
                {"GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"sv, "bad_request"},
            });
}

TEST_CASE("fields that several readers would read several ways are refused") {
  check_each({}, get,
             {
                 {"A : b\r\n\r\n", "bad_request"},
                 {"A\t: b\r\n\r\n", "bad_request"},
                 {" A: b\r\n\r\n", "bad_request"},
                 {"A: b\r\n c\r\n\r\n", "bad_request"},
                 {"A: b\r\n\tc\r\n\r\n", "bad_request"},
                 {"A: b\n\r\n", "bad_request"},
                 {"A: b\nC: d\r\n\r\n", "bad_request"},
                 {"A: b\rC: d\r\n\r\n", "bad_request"},
                 {"A: b\r\r\n\r\n", "bad_request"},
                 {"A: b\r\n\n", "bad_request"},
                 {"A: b\r\n\rX", "bad_request"},
                 {": b\r\n\r\n", "bad_request"},
                 {"A\r\n\r\n", "bad_request"},
                 {"A b\r\n\r\n", "bad_request"},
                 {"A\0B: c\r\n\r\n"sv, "bad_request"},
                 {"A: b\0c\r\n\r\n"sv, "bad_request"},
                 {"A: b\x01\r\n\r\n", "bad_request"},
                 {"A: b\x7f\r\n\r\n", "bad_request"},
                 {"A(B): c\r\n\r\n", "bad_request"},
                 {"A/B: c\r\n\r\n", "bad_request"},
                 {"caf\xc3\xa9: c\r\n\r\n", "bad_request"},
                 {"\"A\": c\r\n\r\n", "bad_request"},
             });
}

TEST_CASE("Host is exactly one valid host") {
  check({}, {
                {"GET / HTTP/1.1\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.1\r\nHost: h\r\nhost: i\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.1\r\nHost: h:x\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", "bad_request"},
                {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / 1.1 [::1]:80 none keep"},
            });
}

TEST_CASE("Content-Length is exactly one plain number") {
  check_each({}, post,
             {
                 {"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", "bad_request"},
                 {"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy", "bad_request"},
                 {"Content-Length: 1, 1\r\n\r\nx", "bad_request"},
                 {"Content-Length: +1\r\n\r\nx", "bad_request"},
                 {"Content-Length: -1\r\n\r\nx", "bad_request"},
                 {"Content-Length: 1 1\r\n\r\nx", "bad_request"},
                 {"Content-Length: 0x1\r\n\r\nx", "bad_request"},
                 {"Content-Length: 1e1\r\n\r\nx", "bad_request"},
                 {"Content-Length: 1.0\r\n\r\nx", "bad_request"},
                 {"Content-Length: \r\n\r\n", "bad_request"},
                 {"Content-Length:\r\n\r\n", "bad_request"},
                 {"Content-Length: 9223372036854775808\r\n\r\n", "bad_request"},
                 {"Content-Length: 18446744073709551617\r\n\r\nx", "bad_request"},
                 {"Content-Length: 99999999999999999999999999999999\r\n\r\nx", "bad_request"},
                 {"Content-Length: 9223372036854775807\r\n\r\nx", "incomplete"},
                 {"Content-Length:  1  \r\n\r\nx", "POST / 1.1 h 1 | x keep"},
                 {"Content_Length: 5\r\n\r\n", "POST / 1.1 h none Content_Length=5 keep"},
             });
}

TEST_CASE("Transfer-Encoding is one chunked, and alone") {
  check_each(
      {}, post,
      {
          {"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", "bad_request"},
          {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad_request"},
          {"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "bad_request"},
          {"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad_request"},
          {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           "bad_request"},
          {"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "bad_request"},
          {"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "bad_request"},
          {"Transfer-Encoding: identity\r\n\r\n", "bad_request"},
          {"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "bad_request"},
          {"Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "bad_request"},
          {"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", "bad_request"},
          {"Transfer-Encoding: \x0b"
           "chunked\r\n\r\n0\r\n\r\n",
           "bad_request"},
          {"Transfer-Encoding:\r\n\r\n", "bad_request"},
          {"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", "bad_request"},
          {"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "bad_request"},
          {"transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n", "POST / 1.1 h unknown keep"},
      });
  check({}, {{"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad_request"}});
}

TEST_CASE("chunks are joined") {
  check_each(
      {}, chunked,
      {
          {"0\r\n\r\n", "POST / 1.1 h unknown keep"},
          {"3\r\nabc\r\n0\r\n\r\n", "POST / 1.1 h unknown | abc keep"},
          {"1\r\na\r\nA\r\n0123456789\r\n0\r\n\r\n", "POST / 1.1 h unknown | a0123456789 keep"},
          {"0003\r\nabc\r\n000\r\n\r\n", "POST / 1.1 h unknown | abc keep"},
          {"3;a=b\r\nabc\r\n0;x\r\n\r\n", "POST / 1.1 h unknown | abc keep"},
          {"3;a=\"b;c\"\r\nabc\r\n0\r\n\r\n", "POST / 1.1 h unknown | abc keep"},
          {"3;a=\"\";b;c=d\r\nabc\r\n0\r\n\r\n", "POST / 1.1 h unknown | abc keep"},
          {"3\r\n\r\n0\r\n0\r\n\r\n", "POST / 1.1 h unknown | \r\n0 keep"},
          {"3\r\nabc", "incomplete"},
          {"3\r\nabc\r\n0\r\n", "incomplete"},
      });
}

TEST_CASE("chunks that are not exactly so are refused") {
  check_each({}, chunked,
             {
                 {"3\nabc\r\n0\r\n\r\n", "bad_request in the body"},
                 {"3\rabc\r\n0\r\n\r\n", "bad_request in the body"},
                 {"3\r\nabc\n0\r\n\r\n", "bad_request in the body"},
                 {"3\r\nabcd\r\n0\r\n\r\n", "bad_request in the body"},
                 {"3\r\nabc\r\n0\n\n", "bad_request in the body"},
                 {"3\r\nabc\r\n0\r\n\n", "bad_request in the body"},
                 {"g\r\n", "bad_request in the body"},
                 {"-1\r\n", "bad_request in the body"},
                 {"+1\r\na\r\n", "bad_request in the body"},
                 {"0x1\r\na\r\n", "bad_request in the body"},
                 {" 1\r\na\r\n", "bad_request in the body"},
                 {"1 \r\na\r\n", "bad_request in the body"},
                 {"1_0\r\na\r\n", "bad_request in the body"},
                 {"\r\n", "bad_request in the body"},
                 {";a\r\n", "bad_request in the body"},
                 {"10000000000000000\r\na", "bad_request in the body"},
                 {"fffffffffffffffff\r\na", "bad_request in the body"},
                 {"3;\r\nabc\r\n", "bad_request in the body"},
                 {"3;;a\r\nabc\r\n", "bad_request in the body"},
                 {"3;=a\r\nabc\r\n", "bad_request in the body"},
                 {"3;a=\r\nabc\r\n", "bad_request in the body"},
                 {"3;a=;b\r\nabc\r\n", "bad_request in the body"},
                 {"3;a\nb\r\nabc\r\n", "bad_request in the body"},
                 {"3;a\rb\r\nabc\r\n", "bad_request in the body"},
                 {"3;\0\r\nabc\r\n"sv, "bad_request in the body"},
             });
}

TEST_CASE("trailers are kept apart from the head, the dangerous ones dropped") {
  check_each(
      {}, chunked,
      {
          {"0\r\nA: b\r\nC: d\r\n\r\n", "POST / 1.1 h unknown | A=b C=d keep"},
          {"1\r\nx\r\n0\r\nX-Sum:\t1 \r\n\r\n", "POST / 1.1 h unknown | x | X-Sum=1 keep"},
          {"0\r\nHost: evil\r\nTE: x\r\nKeep-Alive: x\r\nX-Forwarded-For: x\r\n"
           "Authorization: x\r\nSet-Cookie: a\r\nConnection: close\r\nTrailer: x\r\nOk: 1\r\n\r\n",
           "POST / 1.1 h unknown | Ok=1 keep"},
          {"0\r\nContent-Length: 5\r\n\r\n", "bad_request in the body"},
          {"0\r\nTransfer-Encoding: chunked\r\n\r\n", "bad_request in the body"},
          {"0\r\nA : b\r\n\r\n", "bad_request in the body"},
          {"0\r\nA: b\r\n c\r\n\r\n", "bad_request in the body"},
          {"0\r\nA: b\n\r\n", "bad_request in the body"},
          {"0\r\nA\r\n\r\n", "bad_request in the body"},
      });
}

TEST_CASE("an upgrade needs Connection: upgrade and HTTP/1.1") {
  check_each({}, get,
             {
                 {"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                  "GET / 1.1 h none ^websocket Connection=Upgrade Upgrade=websocket keep"},
                 {"Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n\r\n",
                  "GET / 1.1 h none ^websocket Upgrade=websocket Connection=keep-alive, upgrade "
                  "keep"},
                 {"Upgrade: a\r\nUpgrade: b\r\nConnection: upgrade\r\n\r\n",
                  "GET / 1.1 h none ^a, b Upgrade=a Upgrade=b Connection=upgrade keep"},
                 {"Upgrade: websocket\r\n\r\n", "GET / 1.1 h none Upgrade=websocket keep"},
                 {"Connection: upgrade\r\n\r\n", "GET / 1.1 h none Connection=upgrade keep"},
                 {"Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nab",
                  "GET / 1.1 h 2 ^x Connection=upgrade Upgrade=x | ab keep"},
             });
  check({}, {{"GET / HTTP/1.0\r\nConnection: upgrade, keep-alive\r\nUpgrade: x\r\n\r\n",
              "GET / 1.0  none Connection=upgrade, keep-alive Upgrade=x keep"}});
}

TEST_CASE("what follows a request is left for the next") {
  for (const auto& request :
       {get("\r\n"), post("Content-Length: 3\r\n\r\nabc"), chunked("1\r\na\r\n0\r\nT: x\r\n\r\n"),
        get("Connection: upgrade\r\nUpgrade: x\r\n\r\n"),
        "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n"s, get("Connection: close\r\n\r\n")}) {
    CAPTURE(request);
    const std::string bytes = request + "GET /next HTTP/1.1\r\n";
    for (size_t split = 1; split < bytes.size(); ++split) {
      Reader reader(H1Codec::Kind::kRequest, Method::kGet, {});
      reader.begin();
      std::string left;
      if (reader.feed(std::string_view(bytes).substr(0, split))) {
        reader.feed(std::string_view(bytes).substr(split));
        left = reader.left();
      } else {
        left = std::string(reader.left()) + bytes.substr(split);
      }
      REQUIRE(reader.codec().complete());
      REQUIRE(reader.ended());
      REQUIRE(left == "GET /next HTTP/1.1\r\n");
    }
  }
}

TEST_CASE("one codec reads many requests") {
  Reader reader(H1Codec::Kind::kRequest, Method::kGet, {});
  for (int i = 0; i < 3; ++i) {
    reader.begin();
    CHECK_FALSE(reader.codec().started());
    CHECK(reader.codec().in_head());
    reader.feed(chunked("1\r\na\r\n0\r\n\r\n"));
    CHECK(reader.verdict() == "POST / 1.1 h unknown | a keep");
    reader.begin();
    reader.feed(get("Connection: close\r\n\r\n"));
    CHECK(reader.verdict() == "GET / 1.1 h none Connection=close close");
  }
}

TEST_CASE("a request that ends too early is the client's abort") {
  for (const auto& bytes :
       {""s, "GET"s, get(""), post("Content-Length: 3\r\n\r\nab"), chunked("1\r\na\r\n")}) {
    CAPTURE(bytes);
    Reader reader(H1Codec::Kind::kRequest, Method::kGet, {});
    reader.begin();
    reader.feed(bytes);
    const auto whole = reader.codec().finish();
    REQUIRE_FALSE(whole);
    CHECK(whole.error().failure == Failure::kClientAbort);
  }
}
