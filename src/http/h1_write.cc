#include "http/h1_write.h"

#include <charconv>
#include <cstring>

namespace lictor::h1 {
namespace {

// Writes pieces into one reserved block when the head fits in it, as nearly all do.
class Writer {
 public:
  Writer(Buffer& out, size_t size) : out_(out) {
    if (size <= Buffer::kMaxReserve) at_ = begin_ = out.reserve(size);
  }
  ~Writer() {
    if (begin_ != nullptr) out_.commit(static_cast<size_t>(at_ - begin_));
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void put(std::string_view text) {
    if (begin_ == nullptr) {
      out_.append(text);
    } else if (!text.empty()) {
      std::memcpy(at_, text.data(), text.size());
      at_ += text.size();
    }
  }
  void field(std::string_view name, std::string_view value) {
    put(name);
    put(": ");
    put(value);
    put("\r\n");
  }
  void fields(const Fields& fields) {
    for (const Field& one : fields) field(one.name, one.value);
  }

 private:
  Buffer& out_;
  char* begin_ = nullptr;
  char* at_ = nullptr;
};

struct Decimal {
  explicit Decimal(uint64_t value, int base = 10)
      : size(static_cast<size_t>(std::to_chars(text, text + sizeof(text), value, base).ptr -
                                 text)) {}
  std::string_view view() const { return {text, size}; }

  char text[24];
  size_t size;
};

// Framing, Connection and Upgrade fields take less than this, their variable parts aside.
constexpr size_t kOwnFields = 160;

size_t size_of(const Fields& fields) {
  size_t size = 0;
  for (const Field& field : fields) size += field.name.size() + field.value.size() + 4;
  return size;
}

}  // namespace

void write_request_head(Buffer& out, const Head& head, Framing framing) {
  Writer writer(out, head.method_name.size() + head.target.size() + head.authority.size() +
                         head.upgrade.size() + size_of(head.fields) + kOwnFields);
  writer.put(head.method_name);
  writer.put(" ");
  writer.put(head.target);
  writer.put(" HTTP/1.1\r\nHost: ");
  writer.put(head.authority);
  writer.put("\r\n");
  writer.fields(head.fields);
  if (framing == Framing::kLength) writer.field("Content-Length", Decimal(head.length).view());
  if (framing == Framing::kChunked) writer.field("Transfer-Encoding", "chunked");
  if (!head.upgrade.empty()) {
    writer.field("Connection", "Upgrade");
    writer.field("Upgrade", head.upgrade);
  }
  writer.put("\r\n");
}

Framing response_framing(const Head& head, Method request_method, Version client) {
  if (head.status < 200 || head.status == 204) return Framing::kNone;
  const bool bodiless = head.status == 304 || request_method == Method::kHead;
  if (head.body == BodyKind::kLength) return Framing::kLength;
  if (bodiless) return Framing::kNone;
  if (head.body == BodyKind::kNone) return Framing::kLength;  // "Content-Length: 0"
  return client == Version::kHttp10 ? Framing::kUntilClose : Framing::kChunked;
}

void write_response_head(Buffer& out, const Head& head, Framing framing, Connection connection) {
  Writer writer(out, head.reason.size() + head.upgrade.size() + size_of(head.fields) + kOwnFields);
  writer.put("HTTP/1.1 ");
  writer.put(Decimal(head.status).view());
  writer.put(" ");
  writer.put(head.reason);
  writer.put("\r\n");
  writer.fields(head.fields);
  if (framing == Framing::kLength) {
    writer.field("Content-Length",
                 Decimal(head.body == BodyKind::kLength ? head.length : 0).view());
  }
  if (framing == Framing::kChunked) writer.field("Transfer-Encoding", "chunked");
  if (!head.upgrade.empty()) {
    writer.field("Connection", "Upgrade");
    writer.field("Upgrade", head.upgrade);
  } else if (connection == Connection::kClose) {
    writer.field("Connection", "close");
  } else if (connection == Connection::kKeepAlive) {
    writer.field("Connection", "keep-alive");
  }
  writer.put("\r\n");
}

void write_chunk_start(Buffer& out, size_t size) {
  const Decimal digits(size, 16);
  char* at = out.reserve(digits.size + 2);
  std::memcpy(at, digits.text, digits.size);
  std::memcpy(at + digits.size, "\r\n", 2);
  out.commit(digits.size + 2);
}

void write_last_chunk(Buffer& out, const Fields* trailers) {
  out.append(std::string_view("0\r\n"));
  if (trailers != nullptr && !trailers->empty()) {
    Writer writer(out, size_of(*trailers));
    writer.fields(*trailers);
  }
  out.append(std::string_view("\r\n"));
}

std::string_view reason_phrase(uint16_t status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 410:
      return "Gone";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 421:
      return "Misdirected Request";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 508:
      return "Loop Detected";
    default:
      return "";
  }
}

}  // namespace lictor::h1
