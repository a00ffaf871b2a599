#include "http/message.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace lictor {
namespace {

constexpr std::array<std::string_view, 9> kMethods = {
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

struct Known {
  std::string_view name;  // lower case
  FieldId id;
};

constexpr auto kKnown = std::to_array<Known>({
    {"te", FieldId::kTe},
    {"via", FieldId::kVia},
    {"host", FieldId::kHost},
    {"date", FieldId::kDate},
    {"cookie", FieldId::kCookie},
    {"expect", FieldId::kExpect},
    {"server", FieldId::kServer},
    {"referer", FieldId::kReferer},
    {"trailer", FieldId::kTrailer},
    {"upgrade", FieldId::kUpgrade},
    {"forwarded", FieldId::kForwarded},
    {"x-real-ip", FieldId::kXRealIp},
    {"connection", FieldId::kConnection},
    {"keep-alive", FieldId::kKeepAlive},
    {"tracestate", FieldId::kTracestate},
    {"user-agent", FieldId::kUserAgent},
    {"traceparent", FieldId::kTraceparent},
    {"content-type", FieldId::kContentType},
    {"x-request-id", FieldId::kXRequestId},
    {"authorization", FieldId::kAuthorization},
    {"content-length", FieldId::kContentLength},
    {"http2-settings", FieldId::kHttp2Settings},
    {"x-forwarded-for", FieldId::kXForwardedFor},
    {"proxy-connection", FieldId::kProxyConnection},
    {"x-forwarded-host", FieldId::kXForwardedHost},
    {"x-forwarded-port", FieldId::kXForwardedPort},
    {"transfer-encoding", FieldId::kTransferEncoding},
    {"x-forwarded-proto", FieldId::kXForwardedProto},
    {"x-forwarded-prefix", FieldId::kXForwardedPrefix},
    {"proxy-authenticate", FieldId::kProxyAuthenticate},
    {"proxy-authorization", FieldId::kProxyAuthorization},
});

// kKnown by length: the candidates of one length are few, and most names have none.
constexpr size_t kLongest = 20;
struct LengthRange {
  uint8_t first = 0;
  uint8_t last = 0;
};
constexpr auto kByLength = [] {
  std::array<LengthRange, kLongest> ranges{};
  for (size_t i = 0; i < kKnown.size(); ++i) {
    auto& range = ranges[kKnown[i].name.size()];
    if (range.last == 0) range.first = static_cast<uint8_t>(i);
    range.last = static_cast<uint8_t>(i + 1);
  }
  return ranges;
}();
static_assert(std::is_sorted(kKnown.begin(), kKnown.end(), [](const Known& a, const Known& b) {
  return a.name.size() < b.name.size();
}));

}  // namespace

Method parse_method(std::string_view name) {
  for (size_t i = 0; i < kMethods.size(); ++i) {
    if (kMethods[i] == name) return static_cast<Method>(i);
  }
  return Method::kOther;
}

std::string_view method_label(Method method) {
  return method == Method::kOther ? "OTHER" : kMethods[static_cast<size_t>(method)];
}

std::string_view version_name(Version version) {
  switch (version) {
    case Version::kHttp10:
      return "HTTP/1.0";
    case Version::kHttp11:
      return "HTTP/1.1";
    case Version::kHttp2:
      break;
  }
  return "HTTP/2";
}

bool equals_ignore_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

FieldId field_id(std::string_view name) {
  if (name.size() >= kLongest) return FieldId::kOther;
  const LengthRange range = kByLength[name.size()];
  for (size_t i = range.first; i < range.last; ++i) {
    if (lower(name[0]) == kKnown[i].name[0] && equals_ignore_case(name, kKnown[i].name)) {
      return kKnown[i].id;
    }
  }
  return FieldId::kOther;
}

void Fields::grow(Arena& arena) {
  const uint32_t wanted = capacity_ == 0 ? 24 : capacity_ * 2;
  auto* data = static_cast<Field*>(arena.allocate(sizeof(Field) * wanted, alignof(Field)));
  std::copy_n(data_, size_, data);
  data_ = data;
  capacity_ = wanted;
}

void Fields::set(Arena& arena, std::string_view name, std::string_view value) {
  remove(name);
  add(arena, name, value);
}

void Fields::remove(std::string_view name) {
  remove_if([name](const Field& field) { return equals_ignore_case(field.name, name); });
}

const Field* Fields::find(FieldId id) const {
  const Field* found = std::find_if(begin(), end(), [id](const Field& f) { return f.id == id; });
  return found == end() ? nullptr : found;
}

const Field* Fields::find(std::string_view name) const {
  const Field* found = std::find_if(
      begin(), end(), [name](const Field& f) { return equals_ignore_case(f.name, name); });
  return found == end() ? nullptr : found;
}

std::string_view Fields::get(FieldId id) const {
  const Field* found = find(id);
  return found == nullptr ? std::string_view{} : found->value;
}

}  // namespace lictor
