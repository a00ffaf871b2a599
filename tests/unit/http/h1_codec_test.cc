#include "http/h1_codec.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "http/h1_codec_bench.h"

using lictor::Arena;
using lictor::Fields;
using lictor::H1Codec;
using lictor::H1CodecUser;
using lictor::H1Limits;
using lictor::Head;
using lictor::Method;
using lictor::testing::chunked;
using lictor::testing::get;
using lictor::testing::post;
using lictor::testing::Reader;
using lictor::testing::Reading;
using lictor::testing::responses;
using namespace std::string_literals;
using namespace std::string_view_literals;

TEST_CASE("the request target has a limit") {
  Reading reading;
  reading.limits.uri_bytes = 20;
  const auto request = [](size_t size) {
    return "GET /" + std::string(size - 1, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n";
  };
  CHECK(reading.read(request(20)).starts_with("GET /a"));
  CHECK(reading.read(request(21)) == "uri_too_long");
  CHECK(reading.read(request(5'000)) == "uri_too_long");
  CHECK(reading.in_pieces("GET /" + std::string(5'000, 'a'), 1, 1) == "uri_too_long");
  // Whatever follows, and wherever the reads end.
  CHECK(reading.read("GET /" + std::string(100, 'a') + " nonsense\r\n\r\n") == "uri_too_long");
}

TEST_CASE("a method is as long as methods are") {
  const Reading reading;
  CHECK(reading.read(std::string(200, 'X') + " / HTTP/1.1\r\nHost: h\r\n\r\n") ==
        "not_implemented");
  CHECK(reading.read(std::string(20'000, 'X') + "\r\n") == "not_implemented");
}

TEST_CASE("names and values of a head have a limit together") {
  Reading reading;
  reading.limits.header_bytes = 100;  // "Host" and "h" are 5
  const auto request = [](size_t size) { return get("X: " + std::string(size, 'v') + "\r\n\r\n"); };
  CHECK(reading.read(request(94)).starts_with("GET / 1.1 h none X=v"));
  CHECK(reading.read(request(95)) == "headers_too_large");
  CHECK(reading.read(get(std::string(200, 'n') + ": v\r\n\r\n")) == "headers_too_large");
  CHECK(reading.read(get(std::string(10'000, 'n'))) == "headers_too_large");
}

TEST_CASE("fields have a limit in number, Host and framing among them") {
  Reading reading;
  reading.limits.header_count = 3;
  CHECK(reading.read(get("A: 1\r\nB: 2\r\n\r\n")) == "GET / 1.1 h none A=1 B=2 keep");
  CHECK(reading.read(get("A: 1\r\nB: 2\r\nC: 3\r\n\r\n")) == "headers_too_large");
  CHECK(reading.read(get("A: 1\r\nContent-Length: 0\r\nB: 2\r\n\r\n")) == "headers_too_large");
}

TEST_CASE("what is in no field is bounded too") {
  H1Limits small;
  small.uri_bytes = small.header_bytes = 500;
  for (const auto& start : {""s, "GET / HTTP/1.1\r\nHost: h\r\nX:"s}) {
    Reader reader(H1Codec::Kind::kRequest, Method::kGet, small);
    reader.begin();
    reader.feed(start);
    int pieces = 0;
    while (reader.feed(start.empty() ? "\r\n\r\n\r\n" : "    ") && pieces < 10'000) ++pieces;
    CHECK(reader.verdict() == "headers_too_large");
    CHECK(pieces < 2'000);
  }
}

TEST_CASE("what is in no field is bounded alike, however it comes") {
  Reading small;
  small.limits.uri_bytes = small.limits.header_bytes = 500;
  std::string blank;
  for (int i = 0; i < 400; ++i) blank += "\r\n";
  CHECK(small.read(blank + get("\r\n")) == "GET / 1.1 h none keep");
  for (int i = 0; i < 4'000; ++i) blank += "\r\n";
  CHECK(small.read(blank + get("\r\n")) == "headers_too_large");
  CHECK(small.read(get("A:" + std::string(9'000, ' ') + "b\r\n\r\n")) == "headers_too_large");
}

TEST_CASE("trailers have limits") {
  const Reading reading;
  const auto sized = [](size_t size) {
    return chunked("0\r\nX: " + std::string(size, 'v') + "\r\n\r\n");
  };
  CHECK(reading.read(sized(16'000)).starts_with("POST / 1.1 h unknown | X=v"));
  CHECK(reading.read(sized(17'000)) == "headers_too_large in the body");
  Reading few;
  few.limits.header_count = 2;
  CHECK(few.read(chunked("0\r\nA: 1\r\nB: 2\r\n\r\n")) == "POST / 1.1 h unknown | A=1 B=2 keep");
  CHECK(few.read(chunked("0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n")) == "bad_request in the body");
  CHECK(few.read(chunked("0\r\nTE: 1\r\nTE: 2\r\nTE: 3\r\n\r\n")) == "bad_request in the body");
}

TEST_CASE("chunk extensions have a limit for the whole message") {
  const Reading reading;
  CHECK(reading.read(chunked("1;" + std::string(16'000, 'e') + "\r\na\r\n0\r\n\r\n")) ==
        "POST / 1.1 h unknown | a keep");
  CHECK(reading.read(chunked("1;" + std::string(17'000, 'e') + "\r\na\r\n0\r\n\r\n")) ==
        "bad_request in the body");
  CHECK(reading.read(chunked("1;a=" + std::string(17'000, 'e') + "\r\na\r\n0\r\n\r\n")) ==
        "bad_request in the body");
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "1;ex\r\na\r\n";
  CHECK(Reading().in_pieces(chunked(many), SIZE_MAX, 1) == "bad_request in the body");
}

TEST_CASE("chunk extensions without names are bounded too") {
  CHECK(Reading().in_pieces(chunked("1" + std::string(40'000, ';') + "\r\na\r\n0\r\n\r\n"),
                            SIZE_MAX, 1) == "bad_request in the body");
}

TEST_CASE("a long body takes no memory") {
  Reader reader(H1Codec::Kind::kRequest, Method::kGet, {});
  reader.begin();
  reader.feed(post("Transfer-Encoding: chunked\r\n\r\n"));
  const size_t before = reader.memory();
  for (int i = 0; i < 1'000; ++i) reader.feed("3e8\r\n" + std::string(1'000, 'a') + "\r\n");
  CHECK(reader.memory() == before);
}

TEST_CASE("no callback follows a stop") {
  struct Stopper final : H1CodecUser {
    void on_codec_head(Head&, bool) override { note('h'); }
    void on_codec_body(std::string_view) override { note('b'); }
    void on_codec_end(Fields&) override { note('e'); }
    void note(char event) {
      events += event;
      if (event == stop_at) codec->stop();
    }
    H1Codec* codec = nullptr;
    char stop_at = '-';
    std::string events;
  };
  struct Expected {
    char stop_at;
    const char* events;
  };
  const std::string bytes = chunked("1\r\na\r\n1\r\nb\r\n0\r\n\r\n") + get("\r\n");
  for (const auto& [stop_at, events] :
       {Expected{'-', "hbbe"}, Expected{'h', "h"}, Expected{'b', "hb"}, Expected{'e', "hbbe"}}) {
    Stopper user;
    H1Codec codec(H1Codec::Kind::kRequest, user);
    user.codec = &codec;
    user.stop_at = stop_at;
    Head head;
    Arena arena;
    const H1Limits limits;
    codec.begin(head, arena, limits);
    CHECK(codec.feed(bytes));
    CHECK(user.events == events);
  }
}

// --- at random -----------------------------------------------------------------------------------

TEST_CASE("the verdict on messages with random faults does not depend on their pieces") {
  const std::vector<std::string> requests = {
      get("A: b\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
      post("Content-Length: 5\r\n\r\nhello"), chunked("3;a=\"b\"\r\nabc\r\n0\r\nT: x\r\n\r\n"),
      "PUT http://h/x?y HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx"};
  const std::vector<std::string> answers = {
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n",
      "HTTP/1.0 404 No\r\nA:  b \r\n\r\nuntil the end", "HTTP/1.1 304 Not\r\nE: t\r\n\r\n"};
  const std::string_view faults =
      "\r\n \t:;,\0\x80\x7f"
      "0aF/=\"H"sv;
  std::mt19937 random(20);
  const auto spoil = [&](std::string& bytes) {
    const size_t at = random() % bytes.size();
    const char fault = faults[random() % faults.size()];
    switch (random() % 4) {
      case 0:
        bytes[at] = fault;
        break;
      case 1:
        bytes.insert(at, 1, fault);
        break;
      case 2:
        bytes.erase(at, 1);
        break;
      default:
        bytes.insert(at, bytes.substr(at, random() % 12));
        break;
    }
  };
  for (int round = 0; round < 3'000; ++round) {
    const bool request = random() % 2 == 0;
    const auto& from = request ? requests : answers;
    std::string bytes = from[random() % from.size()];
    for (size_t count = 1 + random() % 3; count > 0; --count) spoil(bytes);
    CAPTURE(bytes);
    const Reading reading = request ? Reading() : responses(Method::kGet, true);
    const std::string whole = reading.in_pieces(bytes, bytes.size(), 1);
    REQUIRE(reading.in_pieces(bytes, 1, 1) == whole);
    REQUIRE(reading.in_pieces(bytes, 1 + random() % bytes.size(), bytes.size()) == whole);
    REQUIRE(reading.in_pieces(bytes, 1 + random() % 20, 1 + random() % 20) == whole);
  }
}
