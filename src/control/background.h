// Work that may block (a disk), away from the loop. The running gateway's is libuv's thread pool
// (uv_background.h); tests run it when they want to.
#pragma once

#include <functional>
#include <memory>

namespace lictor {

// Runs `work` on another thread, then `done` on the loop, never inside the call. Dropping the
// returned handle before that cancels `done`; work that has begun goes on to its end.
using Background =
    std::function<std::shared_ptr<void>(std::function<void()> work, std::function<void()> done)>;

}  // namespace lictor
