// What ring_hash goes by: the hash of the request's header, cookie, query parameter or client.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/address.h"
#include "http/message.h"
#include "model/upstream.h"

namespace lictor {

// None when the request lacks it.
std::optional<uint64_t> hash_key(const HashOn& hash_on, const Head& request, std::string_view query,
                                 const IpAddress& client_ip);

// The value of a cookie or of a query parameter, as it came; none when absent.
std::optional<std::string_view> find_cookie(const Fields& fields, std::string_view name);
std::optional<std::string_view> find_query(std::string_view query, std::string_view name);

}  // namespace lictor
