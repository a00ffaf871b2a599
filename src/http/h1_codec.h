// HTTP/1 bytes to messages (RFC 9112), on llhttp, with the checks that llhttp leaves to its users.
// One message at a time: `begin`, then `feed` until it is complete. Verdicts don't depend on how
// bytes were split.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/arena.h"
#include "base/error.h"
#include "http/message.h"

namespace lictor {

struct H1Limits {
  uint64_t header_bytes = 65536;  // names and values of a head
  uint32_t header_count = 128;
  uint64_t uri_bytes = 16384;
};

class H1CodecUser {
 public:
  // All of the head has been read; nothing follows when `end`.
  virtual void on_codec_head(Head& head, bool end) = 0;
  virtual void on_codec_body(std::string_view bytes) = 0;
  // The end of a message whose head had no `end`; `trailers` may be empty.
  virtual void on_codec_end(Fields& trailers) = 0;

 protected:
  ~H1CodecUser() = default;
};

class H1Codec {
 public:
  enum class Kind : uint8_t { kRequest, kResponse };
  static constexpr size_t kParserSize = 112;
  static constexpr size_t kMaxMethodBytes = 64;
  static constexpr size_t kMaxTrailerBytes = 16384;
  static constexpr size_t kMaxExtensionBytes = 16384;

  H1Codec(Kind kind, H1CodecUser& user);
  H1Codec(const H1Codec&) = delete;
  H1Codec& operator=(const H1Codec&) = delete;

  // Between messages: whose callbacks are called from now on.
  void set_user(H1CodecUser& user) { user_ = &user; }
  // The next message goes into `head`, its texts into `arena`; both must stay until the message is
  // complete. A response needs the method it answers.
  void begin(Head& head, Arena& arena, const H1Limits& limits,
             Method request_method = Method::kGet);

  // Reads on, to the end of this message at most; returns how many bytes were used. An error is
  // final for the connection, and leaves the method in the head if the line had one. The user's
  // callbacks happen inside, and may call stop().
  Result<size_t> feed(std::string_view bytes);
  // The peer ended its direction: completes a response that is read until close, else an error.
  Result<void> finish();
  // From inside a callback: feed returns after it, and no other callback follows.
  void stop() { stopped_ = true; }

  bool complete() const { return state_ == State::kComplete; }
  bool started() const { return started_; }  // a byte of this message has been seen
  bool in_head() const { return state_ == State::kHead; }
  // After the head: may the connection carry another message, as far as this one says?
  bool keep_alive() const { return keep_alive_; }

 private:
  friend struct H1Callbacks;
  enum class State : uint8_t { kHead, kBody, kComplete };
  // How far a request line has been read, by our own eyes.
  struct Line {
    enum State : uint8_t { kBefore, kBeforeLf, kMethod, kTarget, kVersion, kCr, kDone };
    State state = kBefore;
    std::array<char, 8> version{};
    uint64_t part = 0;  // bytes of the part that is being read
  };

  // At every such step of a head, wherever the reads ended, its spare bytes are looked at.
  static constexpr uint64_t kHeadStep = 4096;

  Result<size_t> read(std::string_view bytes);
  Result<void> scan_request_line(std::string_view bytes);
  Result<void> check_version() const;
  int on_text(std::string_view& text, std::string_view bytes, uint64_t limit, Failure failure,
              const char* detail);
  int on_field_name(std::string_view bytes);
  int on_field_value(std::string_view bytes);
  int on_field_done();
  int on_head_done();
  int on_message_done();
  int on_extension(size_t size);
  int on_extension_done();
  Result<void> take_field(Field field);
  Result<void> take_length(std::string_view value);
  Result<void> take_host(std::string_view value);
  Result<void> check_request();
  Result<void> check_response();
  Result<void> check_framing();
  int fail_with(const Error& error);
  int fail_with(Failure failure, const char* detail);
  Failure malformed() const {
    return kind_ == Kind::kRequest ? Failure::kBadRequest : Failure::kUpstreamProtocol;
  }
  Error parser_error() const;

  // llhttp_t, whose header only h1_codec.cc includes.
  alignas(8) std::array<std::byte, kParserSize> parser_;
  H1CodecUser* user_;
  Head* head_ = nullptr;
  Arena* arena_ = nullptr;
  const H1Limits* limits_ = nullptr;
  Fields trailers_;
  std::string_view name_;
  std::string_view value_;
  Error error_;
  uint64_t bytes_ = 0;  // names and values of the head, later of the trailers
  uint64_t extension_bytes_ = 0;
  uint64_t extension_part_ = 0;  // of the name or value that is being read
  uint64_t spare_bytes_ = 0;     // of a head, outside its fields
  uint64_t head_bytes_ = 0;      // of a head that goes on
  Kind kind_;
  Method request_method_ = Method::kGet;
  State state_ = State::kHead;
  Line line_;
  uint32_t field_count_ = 0;  // of the head, later of the trailers; whatever becomes of them
  bool line_error_ = false;   // llhttp gave up before the line's end
  bool line_parsed_ = false;  // llhttp is through with it
  bool started_ = false;
  bool stopped_ = false;
  bool keep_alive_ = true;
  bool has_length_ = false;
  bool has_chunked_ = false;
  bool has_host_ = false;
  bool connection_upgrade_ = false;
  bool connection_close_ = false;
  bool connection_keep_alive_ = false;
  std::string_view upgrade_;
};

}  // namespace lictor
