#include "control/uv_watch_folder.h"

#include <uv.h>

#include <utility>

namespace lictor {
namespace {

struct Handle {
  uv_fs_event_t uv;
  std::function<void()> changed;
};

void close_handle(Handle* handle) {
  uv_close(reinterpret_cast<uv_handle_t*>(&handle->uv),
           [](uv_handle_t* uv) { delete static_cast<Handle*>(uv->data); });
}

}  // namespace

DirectorySource::WatchFolder uv_watch_folder(uv_loop_t* loop) {
  return [loop](const std::string& path, std::function<void()> changed) -> std::shared_ptr<void> {
    auto* handle = new Handle{{}, std::move(changed)};
    uv_fs_event_init(loop, &handle->uv);
    handle->uv.data = handle;
    const std::shared_ptr<Handle> owner(handle, close_handle);
    const int error = uv_fs_event_start(
        &handle->uv,
        [](uv_fs_event_t* uv, const char*, int, int) { static_cast<Handle*>(uv->data)->changed(); },
        path.c_str(), 0);
    return error == 0 ? owner : nullptr;
  };
}

}  // namespace lictor
