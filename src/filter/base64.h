// Base64 (RFC 4648), as strict as signatures need it: one text for each value and no other. No
// blanks, no bits set behind the last byte; base64url without padding, base64 with it.
#pragma once

#include <string>
#include <string_view>

namespace lictor {

// False when it is none; `out` is then anything.
bool decode_base64url(std::string_view text, std::string& out);
bool decode_base64(std::string_view text, std::string& out);

}  // namespace lictor
