#include "control/uv_scheduler.h"

#include <uv.h>

#include <chrono>
#include <utility>

namespace lictor {
namespace {

class UvTimer final : public ScheduledCall {
 public:
  UvTimer(uv_loop_t* loop, std::function<void()> fire) : handle_(new Handle) {
    handle_->fire = std::move(fire);
    uv_timer_init(loop, &handle_->uv);
    handle_->uv.data = handle_;
  }
  ~UvTimer() override {
    // The function stays until the handle is closed: it may be what destroys this.
    uv_close(reinterpret_cast<uv_handle_t*>(&handle_->uv),
             [](uv_handle_t* uv) { delete static_cast<Handle*>(uv->data); });
  }
  UvTimer(const UvTimer&) = delete;
  UvTimer& operator=(const UvTimer&) = delete;

  void start(Millis delay) override {
    const auto ms = delay.count() < 0 ? 0 : static_cast<uint64_t>(delay.count());
    // uv's clock stands still within a turn; a delay counts from now.
    uv_update_time(handle_->uv.loop);
    uv_timer_start(
        &handle_->uv, [](uv_timer_t* uv) { static_cast<Handle*>(uv->data)->fire(); }, ms, 0);
  }
  void stop() override { uv_timer_stop(&handle_->uv); }

 private:
  struct Handle {
    uv_timer_t uv;
    std::function<void()> fire;
  };
  Handle* handle_;
};

}  // namespace

UvScheduler::UvScheduler(uv_loop_t* loop) : loop_(loop), random_(std::random_device{}()) {}

Millis UvScheduler::now() const { return Millis(static_cast<int64_t>(uv_hrtime() / 1'000'000)); }

int64_t UvScheduler::wall_ms() const {
  using std::chrono::system_clock;
  return std::chrono::duration_cast<Millis>(system_clock::now().time_since_epoch()).count();
}

double UvScheduler::random() { return std::uniform_real_distribution<double>(0, 1)(random_); }

std::unique_ptr<ScheduledCall> UvScheduler::timer(std::function<void()> fire) {
  return std::make_unique<UvTimer>(loop_, std::move(fire));
}

}  // namespace lictor
