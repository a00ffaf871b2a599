#include <brotli/decode.h>
#include <doctest/doctest.h>
#include <zlib.h>
#include <zstd.h>

#include <string>

#include "filter/fake_call.h"

using lictor::BodyKind;
using lictor::Buffer;
using lictor::FakeCall;
using lictor::FilterPtr;
using lictor::make;
using lictor::Method;
using lictor::problem_of;

using Texts = std::vector<std::string>;

namespace {

constexpr const char* kDefault = R"({"compress": {}})";

std::string take(Buffer& buffer) {
  std::string out;
  for (; !buffer.empty(); buffer.consume(buffer.front().size())) out += buffer.front();
  return out;
}

// Decodes a stream that may not have ended yet: what a browser has seen so far.
class Decoder {
 public:
  explicit Decoder(std::string coding) : coding_(std::move(coding)) {
    if (coding_ == "gzip") REQUIRE(inflateInit2(&gzip_, 15 + 16) == Z_OK);
  }
  ~Decoder() {
    inflateEnd(&gzip_);
    BrotliDecoderDestroyInstance(brotli_);
    ZSTD_freeDCtx(zstd_);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  std::string feed(std::string_view bytes) {
    std::string out(1 << 20, '\0');
    if (coding_ == "gzip") {
      gzip_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
      gzip_.avail_in = static_cast<uInt>(bytes.size());
      gzip_.next_out = reinterpret_cast<Bytef*>(out.data());
      gzip_.avail_out = static_cast<uInt>(out.size());
      ended = inflate(&gzip_, Z_NO_FLUSH) == Z_STREAM_END;
      out.resize(out.size() - gzip_.avail_out);
    } else if (coding_ == "br") {
      size_t left = bytes.size();
      const auto* next = reinterpret_cast<const uint8_t*>(bytes.data());
      size_t room = out.size();
      auto* to = reinterpret_cast<uint8_t*>(out.data());
      ended = BrotliDecoderDecompressStream(brotli_, &left, &next, &room, &to, nullptr) ==
              BROTLI_DECODER_RESULT_SUCCESS;
      out.resize(out.size() - room);
    } else {
      ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
      ZSTD_outBuffer output{out.data(), out.size(), 0};
      while (input.pos < input.size) {
        const size_t left = ZSTD_decompressStream(zstd_, &output, &input);
        REQUIRE(ZSTD_isError(left) == 0);
        ended = left == 0;
      }
      out.resize(output.pos);
    }
    return out;
  }
  bool ended = false;

 private:
  std::string coding_;
  z_stream gzip_{};
  BrotliDecoderState* brotli_ = BrotliDecoderCreateInstance(nullptr, nullptr, nullptr);
  ZSTD_DCtx* zstd_ = ZSTD_createDCtx();
};

// A call whose client accepts `accepts`, and whose response is JSON of `length` bytes.
struct Trip {
  explicit Trip(const std::string& accepts, FilterPtr its_filter = make(kDefault))
      : filter(std::move(its_filter)) {
    accept = accepts;
    if (!accept.empty()) call.field("Accept-Encoding", accept);
    call.response().status = 200;
    call.response().body = BodyKind::kLength;
    call.response().length = 5'000;
    call.response_field("Content-Type", "application/json; charset=utf-8");
  }
  ~Trip() { filter->on_done(call); }
  Texts fields() {
    filter->on_request(call);
    filter->on_response(call);
    return FakeCall::list(call.response().fields);
  }
  bool encodes() {
    fields();
    const bool encoded = !call.transforms().empty();
    if (encoded) CHECK(call.response().fields.back().name == "Content-Encoding");
    return encoded;
  }
  bool varies() { return call.response().fields.find("Vary") != nullptr; }
  FilterPtr filter;
  std::string accept;
  FakeCall call;
};

}  // namespace

TEST_CASE("compress encodes, and says so") {
  Trip trip("gzip");
  trip.call.response_field("ETag", R"("abc")").response_field("Accept-Ranges", "bytes");
  trip.call.response_field("Repr-Digest", "sha-256=:x:")
      .response_field("Cache-Control", "no-cache");
  CHECK(trip.fields() == Texts{"Content-Type: application/json; charset=utf-8", R"(ETag: W/"abc")",
                               "Cache-Control: no-cache", "Vary: Accept-Encoding",
                               "Content-Encoding: gzip"});
}

TEST_CASE("compress: every coding gives back what went in, whatever the pieces") {
  std::string text;
  for (int i = 0; text.size() < 200'000; ++i) text += "{\"id\": " + std::to_string(i * 7919) + "},";
  for (const std::string coding : {"gzip", "br", "zstd"}) {
    for (const size_t piece : {size_t{1'000}, size_t{65'536}, text.size()}) {
      CAPTURE(coding);
      CAPTURE(piece);
      Trip trip(coding);
      REQUIRE(trip.encodes());
      Buffer out;
      for (size_t at = 0; at < text.size(); at += piece) {
        const bool end = at + piece >= text.size();
        REQUIRE(trip.call.transforms().run(text.substr(at, piece), end, out));
      }
      const std::string encoded = take(out);
      CHECK(encoded.size() < text.size() / 3);
      Decoder decoder(coding);
      CHECK((decoder.feed(encoded) == text));
      CHECK(decoder.ended);
    }
  }
}

TEST_CASE("compress: what came is there after a flush, and an empty flush says nothing") {
  for (const std::string coding : {"gzip", "br", "zstd"}) {
    CAPTURE(coding);
    Trip trip(coding);
    REQUIRE(trip.encodes());
    Decoder decoder(coding);
    for (const std::string word : {"hello ", "slow ", "world"}) {
      Buffer out;
      REQUIRE(trip.call.transforms().run(word, false, out));
      REQUIRE(trip.call.transforms().flush(out));
      CHECK(decoder.feed(take(out)) == word);
      REQUIRE(trip.call.transforms().flush(out));
      CHECK(out.empty());
    }
    Buffer out;
    REQUIRE(trip.call.transforms().run("", true, out));
    CHECK(decoder.feed(take(out)).empty());
    CHECK(decoder.ended);
  }
}

TEST_CASE("compress: an encoder that broke off half way serves the next body") {
  for (const std::string coding : {"gzip", "br", "zstd"}) {
    CAPTURE(coding);
    {
      Trip first(coding);
      REQUIRE(first.encodes());
      Buffer out;
      REQUIRE(first.call.transforms().run("half of a bo", false, out));
    }
    Trip second(coding);
    REQUIRE(second.encodes());
    Buffer out;
    REQUIRE(second.call.transforms().run("whole", true, out));
    Decoder decoder(coding);
    CHECK(decoder.feed(take(out)) == "whole");
    CHECK(decoder.ended);
  }
}

TEST_CASE("compress: not for every response") {
  Trip trip("gzip");
  lictor::Head& response = trip.call.response();
  bool varies = false;
  SUBCASE("one that is encoded already") { trip.call.response_field("Content-Encoding", "br"); }
  SUBCASE("no-transform") { trip.call.response_field("Cache-Control", "public, No-Transform"); }
  SUBCASE("small ones") { response.length = 1'023; }
  SUBCASE("206") { response.status = 206; }
  SUBCASE("Content-Range") { trip.call.response_field("Content-Range", "bytes */5"); }
  SUBCASE("204") {
    response.status = 204;
    response.body = BodyKind::kNone;
  }
  SUBCASE("101") { response.status = 101; }
  SUBCASE("another type") { response.fields.set(trip.call.arena(), "Content-Type", "image/png"); }
  SUBCASE("no type") { response.fields.remove(lictor::FieldId::kContentType); }
  SUBCASE("event streams") {
    response.fields.set(trip.call.arena(), "Content-Type", "text/event-stream; charset=utf-8");
  }
  SUBCASE("a client that does not want it") {
    trip.call.request().fields.set(trip.call.arena(), "Accept-Encoding", "identity");
    varies = true;
  }
  CHECK_FALSE(trip.encodes());
  CHECK(trip.varies() == varies);
  CHECK(trip.call.response().body != BodyKind::kUnknown);
}

TEST_CASE("compress: bodies of unknown length, and text of any kind") {
  Trip trip("br");
  trip.call.response().body = BodyKind::kUnknown;
  trip.call.response().fields.set(trip.call.arena(), "Content-Type", "TEXT/Html");
  CHECK(trip.encodes());
}

TEST_CASE("compress: Vary is there once") {
  Trip trip("gzip");
  SUBCASE("in a list") { trip.call.response_field("Vary", "Origin, accept-encoding"); }
  SUBCASE("or as all") { trip.call.response_field("Vary", "*"); }
  trip.fields();
  int count = 0;
  for (const auto& field : trip.call.response().fields) count += field.name == "Vary" ? 1 : 0;
  CHECK(count == 1);
}

TEST_CASE("compress: HEAD says what GET would") {
  Trip trip("gzip");
  trip.call.request().method = Method::kHead;
  trip.call.request().method_name = "HEAD";
  SUBCASE("of a known length") {
    trip.call.response_field("ETag", R"("a")");
    CHECK(trip.fields() == Texts{"Content-Type: application/json; charset=utf-8", R"(ETag: W/"a")",
                                 "Vary: Accept-Encoding", "Content-Encoding: gzip"});
    CHECK(trip.call.response().body == BodyKind::kNone);
  }
  SUBCASE("of a small one") {
    trip.call.response().length = 10;
    CHECK(trip.fields().size() == 1);
    CHECK(trip.call.response().length == 10);
  }
  SUBCASE("of one that nobody told, but for how it may be encoded") {
    trip.call.response().body = BodyKind::kNone;
    CHECK(trip.fields() ==
          Texts{"Content-Type: application/json; charset=utf-8", "Vary: Accept-Encoding"});
  }
  CHECK(trip.call.transforms().empty());
}

TEST_CASE("compress: 304 is about the response that was encoded") {
  for (const bool wants : {true, false}) {
    Trip trip(wants ? "gzip" : "");
    trip.call.response().status = 304;
    trip.call.response().body = BodyKind::kNone;
    trip.call.response_field("ETag", R"("a")");
    CHECK(trip.fields().back() == (wants ? R"(ETag: W/"a")" : R"(ETag: "a")"));
    CHECK(trip.call.response().fields.find("Content-Encoding") == nullptr);
  }
}

TEST_CASE("compress: no more encoders at once than a worker can hold") {
  std::deque<Trip> trips;
  const auto filter = make(kDefault);
  for (int i = 0; i < 128; ++i) REQUIRE(trips.emplace_back("gzip", filter).encodes());
  Trip late("gzip", filter);
  CHECK_FALSE(late.encodes());
  CHECK(late.varies());
  CHECK(late.call.response().length == 5'000);
  trips.pop_back();
  Trip later("gzip", filter);
  CHECK(later.encodes());
}

TEST_CASE("compress: what a document may say") {
  Trip only("br, gzip", make(R"({"compress": {"types": ["image/svg+xml"], "min_bytes": "2KiB",
                                "encodings": ["gzip"]}})"));
  only.call.response().fields.set(only.call.arena(), "Content-Type", "image/svg+xml");
  CHECK(only.fields().back() == "Content-Encoding: gzip");

  CHECK(problem_of(R"({"compress": {"types": ["json"]}})") ==
        R"($.compress.types[0]: "json" is no media type such as "application/json" or "text/*")");
  CHECK(problem_of(R"({"compress": {"types": ["*/json"]}})").find("types[0]") != std::string::npos);
  CHECK(problem_of(R"({"compress": {"encodings": ["gzi"]}})") ==
        R"($.compress.encodings[0]: "gzi" is none of "zstd", "br", "gzip" (did you mean "gzip"?))");
  CHECK(problem_of(R"({"compress": {"encodings": ["br", "br"]}})").find("twice") !=
        std::string::npos);
  CHECK(problem_of(R"({"compress": {"encodings": []}})").find("$.compress.encodings") == 0);
}
