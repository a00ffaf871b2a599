// Reads messages with the codec, in all kinds of pieces, and writes down what they were.
#pragma once

#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "http/h1_codec.h"

namespace lictor::testing {

inline std::string text_of(const Fields& fields) {
  std::string text;
  for (const auto& field : fields)
    text += " " + std::string(field.name) + "=" + std::string(field.value);
  return text;
}

// The name that tells one failure from the others.
inline std::string_view name_of(Failure failure) {
  const auto& info = lictor::describe(failure);
  return info.status == 502 ? info.proxy_error : info.code;
}

// Reads one message and writes down what it was: "GET / 1.1 h none Name=value | body | Trailer=x",
// " keep" or " close" at the end, or what was wrong.
class Reader final : public H1CodecUser {
 public:
  Reader(H1Codec::Kind kind, Method method, const H1Limits& limits)
      : kind_(kind), method_(method), limits_(limits), codec_(kind, *this) {}

  void begin() {
    head_ = Head();
    arena_.reset();
    text_.clear();
    body_.clear();
    trailers_.clear();
    in_body_ = ended_ = wrong_ = false;
    codec_.begin(head_, arena_, limits_, method_);
  }
  // False when no more bytes are wanted.
  bool feed(std::string_view bytes) {
    while (!bytes.empty() && !codec_.complete()) {
      // A copy of its exact size, so that a sanitizer sees who reads on.
      std::vector<char> copy(bytes.begin(), bytes.end());
      const auto used = codec_.feed({copy.data(), copy.size()});
      if (!used) {
        wrong_ = true;
        text_ = std::string(name_of(used.error().failure)) + (in_body_ ? " in the body" : "");
        return false;
      }
      if (*used == 0) {
        wrong_ = true;
        text_ = "stuck";
        return false;
      }
      bytes.remove_prefix(*used);
    }
    left_ = bytes;
    return !codec_.complete();
  }
  void end() {
    const auto whole = codec_.finish();
    if (whole) return;
    wrong_ = true;
    text_ = name_of(whole.error().failure);
  }
  std::string verdict() const {
    if (wrong_) return text_;
    if (!codec_.complete()) return "incomplete";
    return text_ + (body_.empty() ? "" : " | " + body_) +
           (trailers_.empty() ? "" : " |" + trailers_) + (codec_.keep_alive() ? " keep" : " close");
  }
  std::string_view left() const { return left_; }
  H1Codec& codec() { return codec_; }
  size_t memory() const { return arena_.allocated(); }
  bool ended() const { return ended_; }

  void on_codec_head(Head& head, bool end) override {
    in_body_ = !end;
    ended_ = end;
    if (kind_ == H1Codec::Kind::kRequest) {
      text_ = std::string(head.method_name) + " " + std::string(head.target) + " ";
    }
    text_ += head.version == lictor::Version::kHttp10 ? "1.0" : "1.1";
    if (kind_ == H1Codec::Kind::kRequest) {
      text_ += " " + std::string(head.authority);
    } else {
      text_ += " " + std::to_string(head.status) + " " + std::string(head.reason);
    }
    if (head.body == BodyKind::kNone) text_ += " none";
    if (head.body == BodyKind::kLength) text_ += " " + std::to_string(head.length);
    if (head.body == BodyKind::kUnknown) text_ += " unknown";
    if (!head.upgrade.empty()) text_ += " ^" + std::string(head.upgrade);
    text_ += text_of(head.fields);
  }
  void on_codec_body(std::string_view bytes) override { body_ += bytes; }
  void on_codec_end(Fields& trailers) override {
    in_body_ = false;
    ended_ = true;
    trailers_ = text_of(trailers);
  }

 private:
  H1Codec::Kind kind_;
  Method method_;
  H1Limits limits_;
  Arena arena_;
  Head head_;
  std::string text_;
  std::string body_;
  std::string trailers_;
  std::string_view left_;
  bool in_body_ = false;
  bool ended_ = false;
  bool wrong_ = false;
  H1Codec codec_;
};

struct Reading {
  H1Codec::Kind kind = H1Codec::Kind::kRequest;
  Method method = Method::kGet;  // that a response answers
  H1Limits limits = {};
  bool eof = false;

  std::string in_pieces(std::string_view bytes, size_t first, size_t then) const {
    Reader reader(kind, method, limits);
    // A codec that broke off in the middle of another message must not remember it.
    reader.begin();
    reader.feed(kind == H1Codec::Kind::kRequest
                    ? "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: z\r\nConnection: clo"
                    : "HTTP/1.0 206 Z\r\nContent-Length: 7\r\nConnection: close, upgrade\r\nZ: z");
    reader.begin();
    size_t at = 0;
    for (size_t size = first; at < bytes.size(); at += size, size = then) {
      if (!reader.feed(bytes.substr(at, size))) break;
    }
    if (eof) reader.end();
    return reader.verdict();
  }

  // The verdict, which must not depend on how the bytes came.
  std::string read(std::string_view bytes) const {
    const std::string whole = in_pieces(bytes, bytes.size(), 1);
    CHECK(in_pieces(bytes, 1, 1) == whole);
    const size_t step = bytes.size() / 400 + 1;
    for (size_t at = 1; at < bytes.size(); at += step) {
      CAPTURE(at);
      REQUIRE(in_pieces(bytes, at, bytes.size()) == whole);
    }
    return whole;
  }
};

inline Reading responses(Method to = Method::kGet, bool eof = false) {
  return {H1Codec::Kind::kResponse, to, {}, eof};
}

struct Case {
  std::string_view bytes;
  std::string_view verdict;
};

inline void check(const Reading& reading, std::initializer_list<Case> cases) {
  for (const auto& [bytes, verdict] : cases) {
    CAPTURE(bytes);
    CHECK(reading.read(bytes) == verdict);
  }
}

// A request to host h with these lines of fields and whatever follows.
inline std::string get(std::string_view rest) {
  return "GET / HTTP/1.1\r\nHost: h\r\n" + std::string(rest);
}
inline std::string post(std::string_view rest) {
  return "POST / HTTP/1.1\r\nHost: h\r\n" + std::string(rest);
}
inline std::string chunked(std::string_view chunks) {
  return post("Transfer-Encoding: chunked\r\n\r\n" + std::string(chunks));
}

inline void check_each(const Reading& reading, std::string (*make)(std::string_view),
                       std::initializer_list<Case> cases) {
  for (const auto& [rest, verdict] : cases) {
    CAPTURE(rest);
    CHECK(reading.read(make(rest)) == verdict);
  }
}

}  // namespace lictor::testing
