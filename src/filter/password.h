// Passwords by their hashes of crypt(5): bcrypt, SHA-crypt and yescrypt, as mkpasswd and htpasswd
// -B make them.
#pragma once

#include <string>
#include <string_view>

namespace lictor {

// What is wrong with a hash; empty when it can be used. Weak kinds are refused, and what would cost
// more than about a second or 64 MiB: documents come from others.
std::string check_password_hash(std::string_view hash);

// Takes from milliseconds to a second: not on a loop's thread. The hash is one that was checked.
bool verify_password(const std::string& password, const std::string& hash);

}  // namespace lictor
