// The one neutral message of the gateway: what every protocol reads into and writes from. A head
// holds no framing fields: Content-Length and Transfer-Encoding become `body` on the way in and are
// written anew by each protocol on the way out (RFC 9112, section 6; RFC 9113, section 8.1.1).
// All views point into the arena of the stream they came with, or to static text.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/arena.h"

namespace lictor {

enum class Method : uint8_t {
  kGet,
  kHead,
  kPost,
  kPut,
  kDelete,
  kConnect,
  kOptions,
  kTrace,
  kPatch,
  kOther
};
Method parse_method(std::string_view name);  // case-sensitive (RFC 9110, section 9.1)
// As a bounded label for metrics: "OTHER" for kOther.
std::string_view method_label(Method method);

enum class Version : uint8_t { kHttp10, kHttp11, kHttp2 };
std::string_view version_name(Version version);  // "HTTP/1.1", as in the access log

// Fields that the gateway has rules about; everything else is kOther. Twins with underscores
// ("X_Forwarded_For") are not these: see is_underscore_twin in rules.h.
enum class FieldId : uint8_t {
  kOther,
  kAuthorization,
  kConnection,
  kContentLength,
  kContentType,
  kCookie,
  kDate,
  kExpect,
  kForwarded,
  kHost,
  kHttp2Settings,
  kKeepAlive,
  kProxyAuthenticate,
  kProxyAuthorization,
  kProxyConnection,
  kReferer,
  kServer,
  kTe,
  kTraceparent,
  kTracestate,
  kTrailer,
  kTransferEncoding,
  kUpgrade,
  kUserAgent,
  kVia,
  kXForwardedFor,
  kXForwardedHost,
  kXForwardedPort,
  kXForwardedPrefix,
  kXForwardedProto,
  kXRealIp,
  kXRequestId,
};
FieldId field_id(std::string_view name);  // case-insensitive

bool equals_ignore_case(std::string_view a, std::string_view b);

struct Field {
  std::string_view name;  // as it came
  std::string_view value;
  FieldId id = FieldId::kOther;
};

// An ordered list of fields in an arena. Removal keeps the order.
class Fields {
 public:
  using iterator = Field*;

  Field* begin() { return data_; }
  Field* end() { return data_ + size_; }
  const Field* begin() const { return data_; }
  const Field* end() const { return data_ + size_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  Field& back() { return data_[size_ - 1]; }

  void add(Arena& arena, Field field) {
    if (size_ == capacity_) grow(arena);
    data_[size_++] = field;
  }
  void add(Arena& arena, std::string_view name, std::string_view value) {
    add(arena, Field{name, value, field_id(name)});
  }
  // Replaces every field of that name by one.
  void set(Arena& arena, std::string_view name, std::string_view value);
  void remove(std::string_view name);
  void remove(FieldId id) {
    remove_if([id](const Field& field) { return field.id == id; });
  }
  template <class Predicate>
  void remove_if(Predicate predicate) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < size_; ++i) {
      if (predicate(data_[i])) continue;
      if (kept != i) data_[kept] = data_[i];
      ++kept;
    }
    size_ = kept;
  }
  // The first of that name; null when there is none.
  const Field* find(FieldId id) const;
  const Field* find(std::string_view name) const;
  std::string_view get(FieldId id) const;  // empty when there is none
  void clear() { size_ = 0; }

 private:
  void grow(Arena& arena);

  Field* data_ = nullptr;
  uint32_t size_ = 0;
  uint32_t capacity_ = 0;
};

// How long the body is. kUnknown is chunked in HTTP/1.1 and read until close in HTTP/1.0.
enum class BodyKind : uint8_t { kNone, kLength, kUnknown };

struct Head {
  // Request.
  Method method = Method::kGet;
  std::string_view method_name;
  std::string_view target;     // as it came; after routing "path?query", ready to be sent
  std::string_view authority;  // Host, or that of an absolute-form target (RFC 9112, 3.2.2)
  std::string_view scheme;     // of an absolute-form target, else empty
  // Response.
  uint16_t status = 0;
  std::string_view reason;
  // Both.
  Version version = Version::kHttp11;
  BodyKind body = BodyKind::kNone;
  uint64_t length = 0;  // of kLength. With HEAD and 304 kLength tells what a GET would have had.
  // A request that asks for, or a 101 that grants, this protocol (RFC 9110, 7.8); else empty.
  std::string_view upgrade;
  Fields fields;
};

}  // namespace lictor
