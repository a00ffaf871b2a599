// How the running gateway hears of changes in a folder: libuv's inotify.
#pragma once

#include "control/directory_source.h"

using uv_loop_t = struct uv_loop_s;

namespace lictor {

// The loop must run once more after the last handle's death.
DirectorySource::WatchFolder uv_watch_folder(uv_loop_t* loop);

}  // namespace lictor
