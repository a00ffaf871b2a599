#include "control/uv_doorbell.h"

#include <uv.h>

#include <mutex>
#include <utility>

namespace lictor {
namespace {

struct Handle {
  uv_async_t uv;
  std::function<void()> answer;
};

class UvDoorbell final : public Doorbell {
 public:
  UvDoorbell(uv_loop_t* loop, std::function<void()> answer)
      : handle_(new Handle{{}, std::move(answer)}) {
    uv_async_init(loop, &handle_->uv,
                  [](uv_async_t* uv) { static_cast<Handle*>(uv->data)->answer(); });
    handle_->uv.data = handle_;
    uv_unref(reinterpret_cast<uv_handle_t*>(&handle_->uv));
  }
  void ring() override {
    const std::lock_guard lock(mutex_);
    if (handle_ != nullptr) uv_async_send(&handle_->uv);
  }
  void close() override {
    const std::lock_guard lock(mutex_);
    if (handle_ == nullptr) return;
    uv_close(reinterpret_cast<uv_handle_t*>(&std::exchange(handle_, nullptr)->uv),
             [](uv_handle_t* uv) { delete static_cast<Handle*>(uv->data); });
  }

 private:
  std::mutex mutex_;
  Handle* handle_;  // guarded by mutex_; null once closed
};

}  // namespace

MakeDoorbell uv_doorbell(uv_loop_t* loop) {
  return [loop](std::function<void()> answer) {
    return std::make_shared<UvDoorbell>(loop, std::move(answer));
  };
}

}  // namespace lictor
