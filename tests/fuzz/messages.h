// Reads a connection's bytes with the codec and writes down what they were, in pieces of any size:
// what is written down must not depend on them.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/h1_codec.h"

namespace lictor::fuzz {

// Ends the run and so shows the input.
inline void require(bool holds, const char* what, std::string_view seen = {}) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n%.*s\n", what, static_cast<int>(seen.size()), seen.data());
  std::abort();
}

struct Message {
  std::string method;
  std::string body;
  std::string id;      // X-Request-Id
  bool whole = false;  // else it was cut short, or went wrong
};

// The messages of one connection, one after the other.
class Messages final : public H1CodecUser {
 public:
  // `asked`: the methods that responses answer, in order; after them GET.
  Messages(H1Codec::Kind kind, const H1Limits& limits, std::vector<Method> asked = {})
      : kind_(kind), limits_(limits), asked_(std::move(asked)), codec_(kind, *this) {}

  // What all these bytes were, fed `first` of them and then `step` at a time.
  void read(std::string_view bytes, size_t first, size_t step) {
    begin();
    for (size_t at = 0, size = first; at < bytes.size() && !done(); at += size, size = step) {
      feed(bytes.substr(at, size));
    }
    if (done() || kind_ == H1Codec::Kind::kRequest || whole_) return;
    whole_ = codec_.finish().has_value();
    if (whole_) text_ += "=";
  }
  const std::string& text() const { return text_; }
  Failure failure() const { return failure_; }
  // Where one byte more decides, one may tell of the bytes and the other of their number.
  bool over_a_limit() const {
    return failure_ == Failure::kHeadersTooLarge || failure_ == Failure::kUriTooLong;
  }
  const std::vector<Method>& methods() const { return methods_; }
  // Of what could not be read.
  Method refused() const { return refused_; }
  size_t finals() const { return finals_; }  // responses but interim ones
  bool between() const { return whole_; }    // the last byte ended a message, or there was none
  bool switched() const { return switched_; }
  const std::vector<Message>& all() const { return all_; }  // those that began

  void on_codec_head(Head& head, bool end) override {
    methods_.push_back(head.method);
    switched_ = head.status == 101;
    if (head.status >= 200) ++finals_;
    Message& message = all_.emplace_back();
    message.method = head.method_name;
    message.id = head.fields.get(FieldId::kXRequestId);
    text_ += '[';
    text_ += head.method_name;
    text_ += ' ';
    text_ += head.target;
    text_ += ' ';
    text_ += std::to_string(head.status);
    text_ += head.reason;
    text_ += ' ';
    text_ += head.authority;
    text_ += ' ';
    text_ += version_name(head.version);
    text_ += ' ';
    text_ += std::to_string(static_cast<int>(head.body)) + " " + std::to_string(head.length);
    text_ += '^';
    text_ += head.upgrade;
    add(head.fields);
    text_ += end ? "]." : "]";
    check(head);
  }
  void on_codec_body(std::string_view bytes) override {
    text_ += bytes;
    all_.back().body += bytes;
  }
  void on_codec_end(Fields& trailers) override {
    add(trailers);
    text_ += '.';
  }

 private:
  bool done() const { return failure_ != Failure::kNone || switched_; }
  void begin() {
    head_ = Head();
    arena_.reset();
    codec_.begin(head_, arena_, limits_, finals_ < asked_.size() ? asked_[finals_] : Method::kGet);
  }
  void feed(std::string_view bytes) {
    while (!bytes.empty() && !done()) {
      // A copy of its exact size, so that the sanitizer sees who reads on.
      const std::vector<char> copy(bytes.begin(), bytes.end());
      const auto used = codec_.feed({copy.data(), copy.size()});
      if (!used) {
        failure_ = used.error().failure;
        refused_ = head_.method;
        return;
      }
      require(*used > 0 && *used <= bytes.size(), "every byte is used once");
      bytes.remove_prefix(*used);
      whole_ = codec_.complete();
      if (!whole_) continue;
      all_.back().whole = true;
      text_ += codec_.keep_alive() ? "+" : "-";
      begin();
    }
  }
  void add(const Fields& fields) {
    for (const Field& field : fields) {
      text_ += '|';
      text_ += field.name;
      text_ += ':';
      text_ += field.value;
    }
  }
  // What nobody behind the codec may ever see.
  void check(const Head& head) const {
    for (const Field& field : head.fields) {
      require(field.id != FieldId::kContentLength && field.id != FieldId::kTransferEncoding,
              "no framing field goes on", text_);
    }
    constexpr std::string_view kBreaks("\r\n\0", 3);
    require(head.target.find_first_of(kBreaks) == std::string_view::npos &&
                head.reason.find_first_of(kBreaks) == std::string_view::npos,
            "no line break in a start line", text_);
    for (const Field& field : head.fields) {
      require(!field.name.empty() && field.name.find_first_of(kBreaks) == std::string_view::npos &&
                  field.value.find_first_of(kBreaks) == std::string_view::npos,
              "no line break in a field", text_);
    }
  }

  H1Codec::Kind kind_;
  H1Limits limits_;
  std::vector<Method> asked_;
  Arena arena_;
  Head head_;
  std::string text_;
  std::vector<Method> methods_;
  std::vector<Message> all_;
  size_t finals_ = 0;
  Failure failure_ = Failure::kNone;
  Method refused_ = Method::kGet;
  bool switched_ = false;
  bool whole_ = true;
  H1Codec codec_;
};

// The same messages and the same verdict whole, byte by byte and split anywhere.
inline void check_pieces(H1Codec::Kind kind, std::string_view bytes, const H1Limits& limits,
                         const std::vector<Method>& asked = {}) {
  Messages whole(kind, limits, asked);
  whole.read(bytes, bytes.size(), 1);
  const auto compare = [&](size_t first, size_t step) {
    Messages split(kind, limits, asked);
    split.read(bytes, first, step);
    const bool same = split.failure() == whole.failure() ||
                      (whole.failure() != Failure::kNone && split.failure() != Failure::kNone &&
                       (whole.over_a_limit() || split.over_a_limit()));
    require(same, "the verdict does not depend on the pieces", whole.text() + "\n" + split.text());
    require(split.text() == whole.text(), "what was read does not depend on the pieces",
            whole.text() + "\n" + split.text());
  };
  compare(1, 1);
  compare(7, 7);
  const size_t boundaries = bytes.size() <= 192 ? 1 : bytes.size() / 48;
  for (size_t at = 1; at < bytes.size(); at += boundaries) compare(at, bytes.size());
}

}  // namespace lictor::fuzz
