#include "http/h1_codec.h"

#include <llhttp.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "http/rules.h"
#include "http/uri.h"

namespace lictor {

// llhttp's callbacks, handed on to the codec behind them.
struct H1Callbacks {
  static H1Codec& codec(llhttp_t* parser) { return *static_cast<H1Codec*>(parser->data); }

  template <int (H1Codec::*Method)(std::string_view)>
  static int data(llhttp_t* parser, const char* at, size_t size) {
    return (codec(parser).*Method)(std::string_view(at, size));
  }
  template <int (H1Codec::*Method)()>
  static int event(llhttp_t* parser) {
    return (codec(parser).*Method)();
  }
  static int url(llhttp_t* parser, const char* at, size_t size) {
    H1Codec& self = codec(parser);
    return self.on_text(self.head_->target, {at, size}, self.limits_->uri_bytes,
                        Failure::kUriTooLong, "the request target is too long");
  }
  static int method(llhttp_t* parser, const char* at, size_t size) {
    H1Codec& self = codec(parser);
    return self.on_text(self.head_->method_name, {at, size}, H1Codec::kMaxMethodBytes,
                        Failure::kNotImplemented, "the method is not known");
  }
  static int status(llhttp_t* parser, const char* at, size_t size) {
    H1Codec& self = codec(parser);
    return self.on_text(self.head_->reason, {at, size}, 1024, Failure::kUpstreamProtocol,
                        "the reason phrase is too long");
  }
  static int version_done(llhttp_t* parser) {
    codec(parser).line_parsed_ = true;
    return 0;
  }
  static int body(llhttp_t* parser, const char* at, size_t size) {
    H1Codec& self = codec(parser);
    self.user_->on_codec_body({at, size});
    return self.stopped_ ? HPE_USER : 0;
  }
  static int extension(llhttp_t* parser, const char*, size_t size) {
    return codec(parser).on_extension(size);
  }
  static int extension_done(llhttp_t* parser) { return codec(parser).on_extension_done(); }
  static const llhttp_settings_t* settings() {
    static const llhttp_settings_t made = [] {
      llhttp_settings_t s;
      llhttp_settings_init(&s);
      s.on_url = url;
      s.on_method = method;
      s.on_status = status;
      s.on_version_complete = version_done;
      s.on_header_field = data<&H1Codec::on_field_name>;
      s.on_header_value = data<&H1Codec::on_field_value>;
      s.on_header_value_complete = event<&H1Codec::on_field_done>;
      s.on_headers_complete = event<&H1Codec::on_head_done>;
      s.on_body = body;
      s.on_message_complete = event<&H1Codec::on_message_done>;
      s.on_chunk_extension_name = extension;
      s.on_chunk_extension_value = extension;
      s.on_chunk_extension_name_complete = extension_done;
      s.on_chunk_extension_value_complete = extension_done;
      return s;
    }();
    return &made;
  }
};

namespace {

llhttp_t* parser_of(std::array<std::byte, H1Codec::kParserSize>& storage) {
  static_assert(sizeof(llhttp_t) <= H1Codec::kParserSize);
  return std::launder(reinterpret_cast<llhttp_t*>(storage.data()));
}

bool is_version_char(size_t at, char c) {
  constexpr std::string_view kPattern = "HTTP/d.d";
  return kPattern[at] == 'd' ? c >= '0' && c <= '9' : c == kPattern[at];
}

bool is_bodiless(uint16_t status) { return status < 200 || status == 204 || status == 304; }

}  // namespace

H1Codec::H1Codec(Kind kind, H1CodecUser& user) : user_(&user), kind_(kind) {
  auto* parser = new (parser_.data()) llhttp_t;
  llhttp_init(parser, kind == Kind::kRequest ? HTTP_REQUEST : HTTP_RESPONSE,
              H1Callbacks::settings());
  parser->data = this;
}

void H1Codec::begin(Head& head, Arena& arena, const H1Limits& limits, Method request_method) {
  llhttp_reset(parser_of(parser_));
  head_ = &head;
  arena_ = &arena;
  limits_ = &limits;
  request_method_ = request_method;
  trailers_ = Fields();
  name_ = value_ = upgrade_ = {};
  error_ = {};
  bytes_ = 0;
  field_count_ = 0;
  extension_bytes_ = extension_part_ = spare_bytes_ = head_bytes_ = 0;
  state_ = State::kHead;
  started_ = stopped_ = false;
  keep_alive_ = true;
  line_ = {};
  line_error_ = line_parsed_ = false;
  has_length_ = has_chunked_ = has_host_ = false;
  connection_upgrade_ = connection_close_ = connection_keep_alive_ = false;
}

Result<size_t> H1Codec::feed(std::string_view bytes) {
  auto used = read(bytes);
  // The answer to a bad HEAD has no body either, wherever behind its line the fault is.
  if (!used && line_parsed_ && line_.state == Line::kDone)
    head_->method = parse_method(head_->method_name);
  return used;
}

Result<size_t> H1Codec::read(std::string_view bytes) {
  if (bytes.empty() || complete()) return size_t{0};
  if (!std::exchange(started_, true) && kind_ == Kind::kResponse && bytes.front() != 'H') {
    // llhttp would skip line breaks, which are the leftovers of something else.
    return fail(malformed(), "the response does not begin with its version");
  }
  const bool was_in_head = in_head();
  if (was_in_head) bytes = bytes.substr(0, kHeadStep - head_bytes_ % kHeadStep);
  if (kind_ == Kind::kRequest && line_.state != Line::kDone) {
    if (const auto good = scan_request_line(bytes); !good) return std::unexpected(good.error());
    if (line_error_ && line_.state != Line::kDone) return bytes.size();
  }
  const uint64_t bytes_before = bytes_;
  llhttp_t* parser = parser_of(parser_);
  if (line_error_) return std::unexpected(parser_error());
  const llhttp_errno code = llhttp_execute(parser, bytes.data(), bytes.size());
  if (stopped_) return bytes.size();
  if (error_.failure != Failure::kNone) return std::unexpected(error_);
  if (code != HPE_OK && code != HPE_PAUSED && code != HPE_PAUSED_UPGRADE) {
    if (kind_ == Kind::kRequest && !line_parsed_ && line_.state != Line::kDone) {
      line_error_ = true;  // what it is shows at the line's end, however the bytes come
      return bytes.size();
    }
    return std::unexpected(parser_error());
  }
  if (was_in_head && in_head()) {
    // Blank lines before the start line and blanks around values are in no field, and endless too.
    spare_bytes_ += bytes.size() - std::min<uint64_t>(bytes.size(), bytes_ - bytes_before);
    head_bytes_ += bytes.size();
    if (head_bytes_ % kHeadStep == 0 && spare_bytes_ > limits_->uri_bytes + limits_->header_bytes) {
      return fail(kind_ == Kind::kRequest ? Failure::kHeadersTooLarge : Failure::kUpstreamProtocol,
                  "the head is too large");
    }
  }
  if (code == HPE_OK) return bytes.size();
  const auto used = static_cast<size_t>(llhttp_get_error_pos(parser) - bytes.data());
  return std::min(used, bytes.size());
}

// method SP target SP HTTP/d.d CRLF, nothing else (RFC 9112, section 3): llhttp lets some white
// space pass, and can't tell a bad line from a method or version that it doesn't know.
Result<void> H1Codec::scan_request_line(std::string_view bytes) {
  for (const char c : bytes) {
    switch (line_.state) {
      case Line::kBefore:
        if (c == '\r') {
          line_.state = Line::kBeforeLf;
          break;
        }
        line_.state = Line::kMethod;
        [[fallthrough]];
      case Line::kMethod:
        if (c == ' ' && line_.part > 0) {
          line_.state = Line::kTarget;
          line_.part = 0;
        } else if (!is_token_char(c)) {
          return fail(Failure::kBadRequest, "the request line does not begin with a method");
        } else if (++line_.part > kMaxMethodBytes) {
          return fail(Failure::kNotImplemented, "the method is not known");
        }
        break;
      case Line::kBeforeLf:
        line_.state = Line::kBefore;
        if (c != '\n') return fail(Failure::kBadRequest, "a CR without LF before the request line");
        break;
      case Line::kTarget:
        if (c == ' ' && line_.part > 0) {
          line_.state = Line::kVersion;
          line_.part = 0;
        } else if (static_cast<unsigned char>(c) <= ' ') {
          return fail(Failure::kBadRequest, "the request line is not method, target and version");
        } else if (++line_.part > limits_->uri_bytes) {
          return fail(Failure::kUriTooLong, "the request target is too long");
        }
        break;
      case Line::kVersion:
        if (c == '\r' && line_.part == line_.version.size()) {
          line_.state = Line::kCr;
        } else if (line_.part == line_.version.size() || !is_version_char(line_.part, c)) {
          return fail(Failure::kBadRequest, "the request line does not end with a version");
        } else {
          line_.version[line_.part++] = c;
        }
        break;
      case Line::kCr:
        if (c != '\n') return fail(Failure::kBadRequest, "a CR without LF in the request line");
        if (auto good = check_version(); !good) return good;
        line_.state = Line::kDone;
        return {};
      default:
        break;
    }
  }
  return {};
}

Result<void> H1Codec::check_version() const {
  const std::string_view version(line_.version.data(), line_.version.size());
  if (version == "HTTP/1.1" || version == "HTTP/1.0") return {};
  if (version[5] == '0') return fail(Failure::kBadRequest, "HTTP/0.9 is not spoken here");
  return fail(Failure::kHttpVersion, "only HTTP/1.1 and HTTP/1.0 are spoken here");
}

Result<void> H1Codec::finish() {
  if (complete()) return {};
  // By what came: whoever has the head may have changed it.
  const bool until_close = kind_ == Kind::kResponse && !has_length_ && !has_chunked_;
  if (state_ == State::kBody && until_close) {
    on_message_done();
    return {};
  }
  return fail(kind_ == Kind::kRequest ? Failure::kClientAbort : Failure::kUpstreamReset,
              "the message was cut short");
}

int H1Codec::fail_with(const Error& error) {
  error_ = error;
  return HPE_USER;
}
int H1Codec::fail_with(Failure failure, const char* detail) {
  return fail_with(Error{failure, false, detail});
}

Error H1Codec::parser_error() const {
  const auto* parser = std::launder(reinterpret_cast<const llhttp_t*>(parser_.data()));
  // The line is well-formed, so this is a token that llhttp has no method for, or has it in another
  // protocol: not the client's fault.
  const auto code = llhttp_get_errno(parser);
  const bool in_line = kind_ == Kind::kRequest && !line_parsed_;
  if ((in_line && (code == HPE_INVALID_METHOD || code == HPE_INVALID_CONSTANT)) ||
      head_->method_name == "PRI") {
    return {Failure::kNotImplemented, false, "the method is not known"};
  }
  const char* reason = llhttp_get_error_reason(parser);
  const bool told = reason != nullptr && *reason != '\0';
  return {malformed(), false, told ? reason : "the message is malformed"};
}

int H1Codec::on_text(std::string_view& text, std::string_view bytes, uint64_t limit,
                     Failure failure, const char* detail) {
  if (text.size() + bytes.size() > limit) return fail_with(failure, detail);
  text = text.empty() ? arena_->copy(bytes) : arena_->extend(text, bytes);
  return 0;
}

int H1Codec::on_field_name(std::string_view bytes) {
  bytes_ += bytes.size();
  if (bytes_ > (state_ == State::kHead ? limits_->header_bytes : kMaxTrailerBytes)) {
    return fail_with(kind_ == Kind::kRequest ? Failure::kHeadersTooLarge : malformed(),
                     "the header fields are too large");
  }
  name_ = name_.empty() ? arena_->copy(bytes) : arena_->extend(name_, bytes);
  return 0;
}

int H1Codec::on_field_value(std::string_view bytes) {
  bytes_ += bytes.size();
  if (bytes_ > (state_ == State::kHead ? limits_->header_bytes : kMaxTrailerBytes)) {
    return fail_with(kind_ == Kind::kRequest ? Failure::kHeadersTooLarge : malformed(),
                     "the header fields are too large");
  }
  value_ = value_.empty() ? arena_->copy(bytes) : arena_->extend(value_, bytes);
  return 0;
}

int H1Codec::on_field_done() {
  while (!value_.empty() && (value_.back() == ' ' || value_.back() == '\t'))
    value_.remove_suffix(1);
  const Field field{name_, value_, field_id(name_)};
  name_ = value_ = {};
  const bool too_many = ++field_count_ > limits_->header_count;
  if (state_ != State::kHead) {
    if (too_many) return fail_with(malformed(), "there are too many trailer fields");
    if (is_allowed_trailer(field)) trailers_.add(*arena_, field);
    return 0;
  }
  if (too_many) {
    return fail_with(kind_ == Kind::kRequest ? Failure::kHeadersTooLarge : malformed(),
                     "there are too many header fields");
  }
  if (const auto taken = take_field(field); !taken) return fail_with(taken.error());
  return 0;
}

Result<void> H1Codec::take_field(Field field) {
  switch (field.id) {
    case FieldId::kContentLength:
      return take_length(field.value);
    case FieldId::kTransferEncoding:
      if (has_chunked_ || !equals_ignore_case(field.value, "chunked")) {
        return fail(malformed(), "Transfer-Encoding is anything but one chunked");
      }
      has_chunked_ = true;
      return {};
    case FieldId::kHost:
      if (kind_ == Kind::kRequest) return take_host(field.value);
      break;
    case FieldId::kUpgrade:
      upgrade_ = upgrade_.empty() ? field.value : arena_->concat(upgrade_, ", ", field.value);
      break;
    case FieldId::kConnection:
      if (list_has_token(field.value, "upgrade")) connection_upgrade_ = true;
      if (list_has_token(field.value, "close")) connection_close_ = true;
      if (list_has_token(field.value, "keep-alive")) connection_keep_alive_ = true;
      break;
    default:
      break;
  }
  head_->fields.add(*arena_, field);
  return {};
}

Result<void> H1Codec::take_length(std::string_view value) {
  if (has_length_) return fail(malformed(), "there are two Content-Length fields");
  has_length_ = true;
  if (value.empty() || value.size() > 19) {
    return fail(malformed(), "Content-Length is not a number of at most 2^63-1");
  }
  uint64_t length = 0;
  for (const char c : value) {
    if (c < '0' || c > '9') return fail(malformed(), "Content-Length is not a plain number");
    length = length * 10 + static_cast<uint64_t>(c - '0');
  }
  if (length > INT64_MAX) return fail(malformed(), "Content-Length is over 2^63-1");
  head_->length = length;
  return {};
}

Result<void> H1Codec::take_host(std::string_view value) {
  if (has_host_) return fail(malformed(), "there are two Host fields");
  has_host_ = true;
  head_->authority = value;
  // Empty is for targets without an authority (RFC 9110, section 7.2); HTTP requests have one.
  if (!valid_authority(value)) return fail(malformed(), "Host is not a valid host[:port]");
  return {};
}

Result<void> H1Codec::check_framing() {
  if (has_length_ && has_chunked_) {
    return fail(malformed(), "Content-Length together with Transfer-Encoding");
  }
  if (has_chunked_ && head_->version == Version::kHttp10) {
    return fail(malformed(), "Transfer-Encoding in HTTP/1.0");
  }
  return {};
}

Result<void> H1Codec::check_request() {
  head_->method = parse_method(head_->method_name);
  if (head_->version == Version::kHttp11 && !has_host_) {
    return fail(Failure::kBadRequest, "Host is missing");
  }
  if (has_chunked_) {
    head_->body = BodyKind::kUnknown;
  } else {
    head_->body = has_length_ ? BodyKind::kLength : BodyKind::kNone;
  }
  return {};
}

Result<void> H1Codec::check_response() {
  if (head_->status < 100 || head_->status > 599) {
    return fail(malformed(), "the status is not between 100 and 599");
  }
  if (!is_field_value(head_->reason)) return fail(malformed(), "a control in the reason phrase");
  const bool bodiless = is_bodiless(head_->status) || request_method_ == Method::kHead;
  if (bodiless) {
    const bool framed = has_chunked_ || (has_length_ && head_->length > 0);
    if (framed && (head_->status < 200 || head_->status == 204)) {
      return fail(malformed(), "a body in a response that has none by its status");
    }
    head_->body = has_length_ && head_->status >= 200 && head_->status != 204 ? BodyKind::kLength
                                                                              : BodyKind::kNone;
    return {};
  }
  head_->body = has_length_ ? BodyKind::kLength : BodyKind::kUnknown;
  return {};
}

int H1Codec::on_head_done() {
  llhttp_t* parser = parser_of(parser_);
  const int major = llhttp_get_http_major(parser);
  const int minor = llhttp_get_http_minor(parser);
  if (major != 1) return fail_with(malformed(), "the version is neither 1.0 nor 1.1");
  head_->version = minor == 0 ? Version::kHttp10 : Version::kHttp11;
  head_->status =
      static_cast<uint16_t>(kind_ == Kind::kResponse ? llhttp_get_status_code(parser) : 0);
  if (const auto good = check_framing(); !good) return fail_with(good.error());
  if (const auto good = kind_ == Kind::kRequest ? check_request() : check_response(); !good) {
    return fail_with(good.error());
  }
  if (connection_upgrade_ && head_->version == Version::kHttp11) head_->upgrade = upgrade_;
  const bool switched = kind_ == Kind::kResponse && head_->status == 101;
  const bool bodiless =
      kind_ == Kind::kResponse && (is_bodiless(head_->status) || request_method_ == Method::kHead);
  const bool end = !switched && (bodiless || head_->body == BodyKind::kNone ||
                                 (head_->body == BodyKind::kLength && head_->length == 0));
  state_ = end || switched ? State::kComplete : State::kBody;
  const bool until_close =
      kind_ == Kind::kResponse && !end && head_->body == BodyKind::kUnknown && !has_chunked_;
  keep_alive_ = !connection_close_ && !until_close &&
                (head_->version == Version::kHttp11 || connection_keep_alive_);
  bytes_ = 0;
  field_count_ = 0;
  user_->on_codec_head(*head_, end);
  if (stopped_) return HPE_USER;
  return bodiless || switched ? 1 : 0;
}

int H1Codec::on_message_done() {
  if (state_ == State::kBody) {
    state_ = State::kComplete;
    user_->on_codec_end(trailers_);
    if (stopped_) return HPE_USER;
  }
  return HPE_PAUSED;
}

int H1Codec::on_extension(size_t size) {
  extension_bytes_ += size;
  extension_part_ += size;
  return extension_bytes_ > kMaxExtensionBytes ? fail_with(malformed(), "too many chunk extensions")
                                               : 0;
}

// A name or a value is through; neither may be empty (RFC 9112, section 7.1.1).
int H1Codec::on_extension_done() {
  if (std::exchange(extension_part_, 0) > 0) return 0;
  return fail_with(malformed(), "a chunk extension with an empty part");
}

}  // namespace lictor
