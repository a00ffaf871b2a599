#include "proxy/hash_key.h"

#include "proxy/balancer.h"

namespace lictor {
namespace {

// The value of `name` among "a=b" pairs between separators.
std::optional<std::string_view> find_pair(std::string_view text, char separator,
                                          std::string_view name) {
  while (!text.empty()) {
    const size_t end = text.find(separator);
    std::string_view pair = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) != name) continue;
    return equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string_view> find_cookie(const Fields& fields, std::string_view name) {
  for (const Field& field : fields) {
    if (field.id != FieldId::kCookie) continue;
    if (const auto value = find_pair(field.value, ';', name)) return value;
  }
  return std::nullopt;
}

std::optional<std::string_view> find_query(std::string_view query, std::string_view name) {
  return find_pair(query, '&', name);
}

std::optional<uint64_t> hash_key(const HashOn& hash_on, const Head& request, std::string_view query,
                                 const IpAddress& client_ip) {
  std::optional<std::string_view> value;
  switch (hash_on.kind) {
    case HashOn::Kind::kNone:
      break;
    case HashOn::Kind::kHeader:
      if (const Field* field = request.fields.find(hash_on.name)) value = field->value;
      break;
    case HashOn::Kind::kCookie:
      value = find_cookie(request.fields, hash_on.name);
      break;
    case HashOn::Kind::kQuery:
      value = find_query(query, hash_on.name);
      break;
    case HashOn::Kind::kClientIp: {
      const auto& bytes = client_ip.bytes();
      value = std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      break;
    }
  }
  if (!value) return std::nullopt;
  return stable_hash(*value);
}

}  // namespace lictor
