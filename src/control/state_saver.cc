#include "control/state_saver.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace lictor {

StateSaver::StateSaver(Scheduler& scheduler, Background background, const std::string& path,
                       Collect collect)
    : scheduler_(scheduler),
      background_(std::move(background)),
      file_(std::make_shared<StateFile>(path)),
      collect_(std::move(collect)),
      timer_(scheduler.timer([this] { write(); })),
      began_(scheduler.now() - kSpacing) {}

void StateSaver::touch() {
  changed_ = true;
  if (!writing_) plan(kPause);
}

void StateSaver::plan(Millis delay) {
  if (std::exchange(planned_, true)) return;
  timer_->start(std::max(delay, began_ + kSpacing - scheduler_.now()));
}

void StateSaver::write() {
  planned_ = changed_ = false;
  began_ = scheduler_.now();
  // Dies on the loop, with what it shares.
  const auto job = std::make_shared<Job>(Job{collect_(), {}});
  writing_ = background_(
      [job, file = file_, number = ++number_] { job->error = file->write(number, job->state); },
      [this, job] { on_written(*job); });
}

void StateSaver::on_written(Job& job) {
  writing_.reset();
  note(job.error);
  if (!job.error.empty()) {
    changed_ = true;
    plan(kRetry);
  } else if (changed_) {
    plan(kPause);
  }
}

void StateSaver::note(const std::string& error) {
  if (error == trouble_) return;
  if (!error.empty()) {
    log::warn("snapshot: {} can't be written: {}; trying again", file_->path(), error);
  } else {
    log::info("snapshot: {} is written again", file_->path());
  }
  trouble_ = error;
}

void StateSaver::finish() {
  if (!timer_) return;
  timer_.reset();
  const bool unsure = changed_ || writing_ != nullptr;
  writing_.reset();
  if (unsure) note(file_->write(++number_, collect_()));
}

}  // namespace lictor
