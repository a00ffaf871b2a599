// The doorbell of the running gateway: a uv_async_t.
#pragma once

#include "control/doorbell.h"

using uv_loop_t = struct uv_loop_s;

namespace lictor {

// Bells must be closed, and the loop run once more, before it dies.
MakeDoorbell uv_doorbell(uv_loop_t* loop);

}  // namespace lictor
