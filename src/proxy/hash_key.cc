#include "proxy/hash_key.h"

#include "http/pairs.h"
#include "proxy/balancer.h"

namespace lictor {

std::optional<uint64_t> hash_key(const HashOn& hash_on, const Head& request, std::string_view query,
                                 const IpAddress& client_ip) {
  std::optional<std::string_view> value;
  switch (hash_on.kind) {
    case HashOn::Kind::kHeader:
      if (equals_ignore_case(hash_on.name, "host")) {
        value = request.authority;
      } else if (const Field* field = request.fields.find(hash_on.name)) {
        value = field->value;
      }
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
