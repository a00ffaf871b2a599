// Documents from a directory: the same tree as in KV, as files (gateway.json, routes/<name>.json,
// ...). Changes are noticed by inotify, with a pause so that a burst is read once, and by a slow
// rescan where inotify is blind (network file systems). Written for what people and tools do to
// files: only names that end in .json and don't begin with a dot count, so editors' temporary files
// don't; renames over a file and replaced folders (Kubernetes) are seen; a file or folder that
// can't be read keeps what was last read of it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "control/scheduler.h"
#include "control/source.h"

namespace lictor {

class DirectorySource final : public Source {
 public:
  static constexpr Millis kPause{30};
  static constexpr Millis kLongestPause{200};
  static constexpr Millis kRescan{10'000};
  static constexpr Millis kRetry{1'000};  // while the directory itself can't be read
  // A file that changed so lately may change again under the same time stamp.
  static constexpr Millis kFresh{100};

  // Calls `changed` for events in a folder while the returned handle lives; null when it can't.
  using WatchFolder =
      std::function<std::shared_ptr<void>(const std::string& path, std::function<void()> changed)>;

  DirectorySource(Scheduler& scheduler, WatchFolder watch_folder, std::string directory, Sink sink);
  void start() override;
  std::string_view name() const override { return "directory"; }
  std::string prefix() const override { return ""; }
  std::string describe() const override { return "directory " + directory_; }

 private:
  // Device, inode, size, time of change in ns: another one means another content.
  using Stamp = std::tuple<uint64_t, uint64_t, int64_t, int64_t>;
  struct File {
    Stamp stamp;
    bool fresh = false;  // too young for its stamp to be trusted
    bool has_text = false;
    std::string text;
    uint64_t modified_ms = 0;
    std::string error;  // of the last reading
  };
  struct Folder {
    Stamp stamp;
    std::shared_ptr<void> watch;
  };
  using Files = std::map<std::string, File>;  // by document key

  void on_event();
  void scan();
  bool scan_folder(const std::string& folder, Files& seen);
  void scan_file(const std::string& key, const std::string& path, Files& seen);
  void keep_folder(const std::string& folder, Files& seen);
  void watch_folder(const std::string& folder, const std::string& path);
  void deliver();

  Scheduler& scheduler_;
  const WatchFolder watch_folder_;
  const std::string directory_;
  const Sink sink_;
  std::unique_ptr<ScheduledCall> pause_;
  std::unique_ptr<ScheduledCall> rescan_;
  std::optional<Millis> first_event_;
  std::map<std::string, Folder> folders_;  // "" = the directory itself
  Files files_;
  bool read_once_ = false;
  bool dirty_ = false;
  std::map<std::string, std::string> said_;  // trouble with folders that the log has
};

}  // namespace lictor
