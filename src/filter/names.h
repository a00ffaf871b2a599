// Which names documents may use. They end up in KV keys, URLs, metrics and logs, so they are short
// and plain. Each returns what is wrong with a name, empty when it is fine.
#pragma once

#include <string>
#include <string_view>

namespace lictor {

// Routes, shared filters, listeners: 1 to 128 of A-Z a-z 0-9 . _ -, a letter or digit first.
std::string check_name(std::string_view name);
// Consul takes nearly anything: 1 to 255 printable ASCII characters but space / " \.
std::string check_service_name(std::string_view name);
// A method token (RFC 9110, section 5.6.2), at most 32 bytes.
std::string check_method(std::string_view method);

}  // namespace lictor
