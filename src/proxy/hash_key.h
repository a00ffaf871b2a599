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

}  // namespace lictor
