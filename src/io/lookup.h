// The addresses of a name, by getaddrinfo on libuv's thread pool.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/address.h"

namespace lictor {

class Loop;

using LookupAnswer = std::function<void(std::vector<IpAddress>)>;

// In the system's order; none when there are none. The answer comes from a later turn, unless what
// this returns is dropped before; then the lookup still ends on the loop, unseen. Null when it
// can't even begin.
std::shared_ptr<void> look_up(Loop& loop, const std::string& name, LookupAnswer answer);

}  // namespace lictor
