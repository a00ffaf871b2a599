#include "io/offload.h"

#include <uv.h>

#include <new>

#include "io/loop.h"

namespace lictor {
namespace {

struct Job {
  uv_work_t uv;
  Loop* loop;
  std::unique_ptr<OffloadedWork> work;
};

}  // namespace

void offload(Loop& loop, std::unique_ptr<OffloadedWork> work) {
  auto job = std::make_unique<Job>();
  job->uv.data = job.get();
  job->loop = &loop;
  job->work = std::move(work);
  const int failed = uv_queue_work(
      loop.uv(), &job->uv, [](uv_work_t* uv) { static_cast<Job*>(uv->data)->work->work(); },
      [](uv_work_t* uv, int) {
        const std::unique_ptr<Job> ended(static_cast<Job*>(uv->data));
        ended->work->done();
        ended->loop->end_turn();
      });
  if (failed != 0) throw std::bad_alloc();
  (void)job.release();  // the callback takes it back
}

}  // namespace lictor
