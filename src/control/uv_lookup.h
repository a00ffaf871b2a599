// The resolver's lookup in the running gateway: getaddrinfo on libuv's thread pool.
#pragma once

#include "control/resolver.h"

using uv_loop_t = struct uv_loop_s;

namespace lictor {

// A lookup that was dropped still ends on the loop, unseen: the loop must run until then.
Resolver::Lookup uv_lookup(uv_loop_t* loop);

}  // namespace lictor
