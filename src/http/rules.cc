#include "http/rules.h"

#include <algorithm>
#include <array>

namespace lictor {
namespace {

constexpr auto kTokenChars = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (const char c :
       {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

}  // namespace

bool is_token_char(char c) { return kTokenChars[static_cast<unsigned char>(c)]; }

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool is_field_value(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  });
}

bool list_has_token(std::string_view list, std::string_view token) {
  bool found = false;
  for_each_element(list, [&](std::string_view element) {
    found = equals_ignore_case(element, token);
    return !found;
  });
  return found;
}

bool is_hop_by_hop(FieldId id) {
  switch (id) {
    case FieldId::kConnection:
    case FieldId::kHttp2Settings:
    case FieldId::kKeepAlive:
    case FieldId::kProxyAuthenticate:
    case FieldId::kProxyAuthorization:
    case FieldId::kProxyConnection:
    case FieldId::kTe:
    case FieldId::kTransferEncoding:
    case FieldId::kUpgrade:
      return true;
    default:
      return false;
  }
}

bool is_underscore_twin(std::string_view name, std::string_view field) {
  if (name.size() != field.size()) return false;
  bool underscore = false;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '_' && field[i] == '-') {
      underscore = true;
    } else if (lower(name[i]) != lower(field[i])) {
      return false;
    }
  }
  return underscore;
}

bool is_allowed_trailer(const Field& field) {
  switch (field.id) {
    case FieldId::kAuthorization:
    case FieldId::kContentLength:
    case FieldId::kContentType:
    case FieldId::kCookie:
    case FieldId::kExpect:
    case FieldId::kForwarded:
    case FieldId::kHost:
    case FieldId::kTrailer:
    case FieldId::kVia:
    case FieldId::kXForwardedFor:
    case FieldId::kXForwardedHost:
    case FieldId::kXForwardedPort:
    case FieldId::kXForwardedPrefix:
    case FieldId::kXForwardedProto:
    case FieldId::kXRealIp:
    case FieldId::kXRequestId:
      return false;
    default:
      break;
  }
  constexpr auto kMore = std::to_array<std::string_view>(
      {"set-cookie", "content-encoding", "content-range", "cache-control", "location",
       "max-forwards", "range", "retry-after", "vary", "www-authenticate"});
  return !is_hop_by_hop(field.id) &&
         std::none_of(kMore.begin(), kMore.end(),
                      [&](std::string_view name) { return equals_ignore_case(name, field.name); });
}

}  // namespace lictor
