// The snapshot file on disk: read whole at the start, replaced in one step. Blocking calls.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <string>

#include "control/saved_state.h"

namespace lictor {

inline constexpr uint64_t kMaxStateFile = 512ULL << 20;

// What is in the file; null when there is none. The error is for people.
std::expected<std::unique_ptr<SavedState>, std::string> read_state_file(const std::string& path);

// Whether the file can be written: its folder is there and lets this process in.
bool can_write_state_file(const std::string& path);

// Writers on several threads take turns, and an older state never replaces a newer one.
class StateFile {
 public:
  explicit StateFile(std::string path) : path_(std::move(path)) {}

  // `number` grows with each state. To a file beside it, synced, then renamed over it; readable by
  // its owner alone, as documents may hold secrets. The error is for people; empty = written, or
  // a newer one was.
  std::string write(uint64_t number, const StateToSave& state);
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
  std::mutex mutex_;
  uint64_t written_ = 0;  // guarded by mutex_
};

}  // namespace lictor
