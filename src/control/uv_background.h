// Background work of the running gateway: libuv's thread pool.
#pragma once

#include "control/background.h"

using uv_loop_t = struct uv_loop_s;

namespace lictor {

// Work that was dropped still ends on the loop, unseen: the loop must run until then.
Background uv_background(uv_loop_t* loop);

}  // namespace lictor
