// When the snapshot file is written: kPause after a change, at most once every kSpacing, and at the
// end. The writing itself happens in the background, so that a slow disk delays nobody.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "control/background.h"
#include "control/scheduler.h"
#include "control/state_file.h"

namespace lictor {

class StateSaver {
 public:
  static constexpr Millis kPause{500};
  static constexpr Millis kSpacing{1'000};
  static constexpr Millis kRetry{5'000};

  using Collect = std::function<StateToSave()>;

  // `collect` is called on the loop, each time something is to be written.
  StateSaver(Scheduler& scheduler, Background background, const std::string& path, Collect collect);

  // Something has changed.
  void touch();
  // Writes what has not been written yet, before it returns. Nothing follows.
  void finish();

 private:
  struct Job {
    StateToSave state;
    std::string error;
  };
  void write();
  void on_written(Job& job);
  void plan(Millis delay);
  void note(const std::string& error);

  Scheduler& scheduler_;
  const Background background_;
  const std::shared_ptr<StateFile> file_;  // work that was dropped may still use it
  const Collect collect_;
  std::unique_ptr<ScheduledCall> timer_;
  std::shared_ptr<void> writing_;
  Millis began_;  // the last writing
  uint64_t number_ = 0;
  bool changed_ = false;  // since the last writing began
  bool planned_ = false;
  std::string trouble_;  // that the log has
};

}  // namespace lictor
