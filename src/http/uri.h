// Request targets, authorities and paths (RFC 9112, section 3.2; RFC 3986).
#pragma once

#include <string_view>

#include "base/arena.h"
#include "base/error.h"
#include "http/message.h"

namespace lictor {

enum class TargetForm : uint8_t { kOrigin, kAbsolute, kAuthority, kAsterisk };

struct Target {
  TargetForm form = TargetForm::kOrigin;
  std::string_view scheme;     // absolute form only
  std::string_view authority;  // absolute and authority form
  std::string_view path;       // "/" at least; empty for authority and asterisk form
  std::string_view query;      // without '?'
  bool has_query = false;
};

// Splits and validates; views into `text`. kBadRequest on anything that is not one of the four
// forms, has a fragment, a raw backslash, a control, a space, or a '%' without two hex digits
// behind it.
Result<Target> parse_target(Method method, std::string_view text);

// host [":" port] without userinfo (RFC 9110, section 7.2): names, IPv4, [IPv6].
bool valid_authority(std::string_view text);
// Lower case, without port and trailing dot; a view into `text` when nothing had to change.
std::string_view normalise_host(std::string_view authority, Arena& arena);

// RFC 3986, section 6.2.2: dot segments resolved, encoded unreserved characters decoded, other
// escapes in upper case, "//" merged. kBadRequest when it climbs above "/" or has an encoded NUL,
// '\' or '/'. A view of `path` when nothing had to change; else in `arena`.
Result<std::string_view> normalise_path(std::string_view path, Arena& arena);

}  // namespace lictor
