#include "control/uv_background.h"

#include <uv.h>

#include <utility>

namespace lictor {
namespace {

using Done = std::function<void()>;

struct Job {
  uv_work_t uv;
  std::function<void()> work;
  std::weak_ptr<Done> done;
};

void on_ended(uv_work_t* uv, int) {
  const std::unique_ptr<Job> job(static_cast<Job*>(uv->data));
  if (const auto done = job->done.lock()) (*done)();
}

}  // namespace

Background uv_background(uv_loop_t* loop) {
  return [loop](std::function<void()> work, Done done) -> std::shared_ptr<void> {
    auto handle = std::make_shared<Done>(std::move(done));
    auto job = std::make_unique<Job>();
    job->work = std::move(work);
    job->done = handle;
    job->uv.data = job.get();
    const auto run = [](uv_work_t* uv) { static_cast<Job*>(uv->data)->work(); };
    if (uv_queue_work(loop, &job->uv, run, on_ended) == 0) {
      (void)job.release();  // on_ended takes it back
    }
    return handle;
  };
}

}  // namespace lictor
