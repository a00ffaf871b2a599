#include "control/directory_source.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/json.h"
#include "base/log.h"

namespace lictor {
namespace {

constexpr std::string_view kSuffix = ".json";
constexpr std::array<const char*, 4> kFolders = {"routes", "upstreams", "filters", "consumers"};

std::string error_text(int error) { return std::generic_category().message(error); }

int64_t nanos(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

bool is_document(std::string_view name) {
  return name.size() > kSuffix.size() && name.ends_with(kSuffix) && name.front() != '.';
}

// The names in a folder, or why there are none.
std::optional<std::vector<std::string>> list_folder(const std::string& path, int& error) {
  DIR* folder = opendir(path.c_str());
  if (folder == nullptr) {
    error = errno;
    return std::nullopt;
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(folder)) names.emplace_back(entry->d_name);
  error = errno;
  closedir(folder);
  if (error != 0) return std::nullopt;
  return names;
}

// The whole of a regular file of a document's size, or an error.
std::string read_whole(int fd, std::string& text) {
  text.assign(kMaxDocumentBytes + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return "can't be read: " + error_text(errno);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  if (size > kMaxDocumentBytes) return "larger than 1 MiB";
  text.resize(size);
  text.shrink_to_fit();
  return {};
}

}  // namespace

DirectorySource::DirectorySource(Scheduler& scheduler, WatchFolder watch_folder,
                                 std::string directory, Sink sink)
    : scheduler_(scheduler),
      watch_folder_(std::move(watch_folder)),
      directory_(std::move(directory)),
      sink_(std::move(sink)),
      pause_(scheduler.timer([this] { scan(); })),
      rescan_(scheduler.timer([this] { scan(); })) {}

// From the loop, not from here: a sink is never called inside start().
void DirectorySource::start() { pause_->start(Millis(0)); }

void DirectorySource::on_event() {
  const Millis now = scheduler_.now();
  if (!first_event_) first_event_ = now;
  pause_->start(std::clamp(*first_event_ + kLongestPause - now, Millis(0), kPause));
}

void DirectorySource::scan() {
  first_event_.reset();
  Files seen;
  const bool whole = scan_folder("", seen);
  if (!whole && !read_once_) {  // nothing to go on with: not an empty set
    rescan_->start(kRetry);
    return;
  }
  for (const char* folder : kFolders) {
    if (whole) {
      scan_folder(folder, seen);
    } else {
      keep_folder(folder, seen);
    }
  }
  dirty_ = dirty_ || seen.size() != files_.size();
  files_ = std::move(seen);
  const bool fresh =
      std::any_of(files_.begin(), files_.end(), [](const auto& f) { return f.second.fresh; });
  rescan_->start(!whole ? kRetry : fresh ? kFresh : kRescan);
  if (dirty_ || !read_once_) deliver();
}

// False when it is there but can't be read; then its documents stay as they were.
bool DirectorySource::scan_folder(const std::string& folder, Files& seen) {
  const std::string path = folder.empty() ? directory_ : directory_ + "/" + folder;
  // Before the reading: what comes between the two must not go unnoticed.
  watch_folder(folder, path);
  int error = 0;
  const auto names = list_folder(path, error);
  if (!names) {
    if (error == ENOENT && !folder.empty()) return true;
    const std::string text = error_text(error);
    if (said_[folder] != text) log::warn("source: {} can't be read: {}", path, text);
    said_[folder] = text;
    keep_folder(folder, seen);
    return false;
  }
  if (said_.erase(folder) != 0) log::info("source: {} can be read again", path);
  const std::string before = folder.empty() ? "" : folder + "/";
  for (const auto& name : *names) {
    if (!is_document(name) || (folder.empty() && name != "gateway.json")) continue;
    std::string key = before;
    key.append(name, 0, name.size() - kSuffix.size());
    std::string file = path;
    file.append("/").append(name);
    scan_file(key, file, seen);
  }
  return true;
}

void DirectorySource::scan_file(const std::string& key, const std::string& path, Files& seen) {
  const auto known = files_.find(key);
  File file = known == files_.end() ? File{} : known->second;
  const std::string error_before = file.error;
  struct stat info{};
  // Not to wait for a writer, should it be a pipe.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT) return;  // removed since the folder was listed
  if (fd < 0 || fstat(fd, &info) != 0) {
    file.error = "can't be read: " + error_text(errno);
    file.stamp = {};
  } else if (!S_ISREG(info.st_mode)) {
    file.error = "not a file";
    file.stamp = {};
  } else {
    const Stamp stamp{info.st_dev, info.st_ino, info.st_size, nanos(info.st_mtim)};
    const bool same = known != files_.end() && stamp == file.stamp && !file.fresh;
    const int64_t age = scheduler_.wall_ms() - nanos(info.st_mtim) / 1'000'000;
    file.fresh = age >= 0 && age < kFresh.count();
    if (!same) {
      std::string text;
      file.stamp = stamp;
      file.error = read_whole(fd, text);
      if (file.error.empty()) {
        dirty_ = dirty_ || !file.has_text || text != file.text;
        file.has_text = true;
        file.text = std::move(text);
        file.modified_ms = static_cast<uint64_t>(nanos(info.st_mtim) / 1'000'000);
      }
    }
  }
  if (fd >= 0) close(fd);
  dirty_ = dirty_ || file.error != error_before;
  seen[key] = std::move(file);
}

void DirectorySource::keep_folder(const std::string& folder, Files& seen) {
  for (const auto& [key, file] : files_) {
    const size_t slash = key.find('/');
    if (key.substr(0, slash == std::string::npos ? 0 : slash) == folder) seen[key] = file;
  }
}

// A folder that was replaced is another one to inotify: watched again.
void DirectorySource::watch_folder(const std::string& folder, const std::string& path) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    folders_.erase(folder);
    return;
  }
  const Stamp stamp{info.st_dev, info.st_ino, 0, 0};
  Folder& known = folders_[folder];
  if (known.watch && known.stamp == stamp) return;
  known.watch.reset();
  known.stamp = stamp;
  known.watch = watch_folder_(path, [this] { on_event(); });
}

void DirectorySource::deliver() {
  read_once_ = true;
  dirty_ = false;
  DocumentSet set;
  for (const auto& [key, file] : files_) {
    if (file.has_text) set.documents.push_back({key, file.text, file.modified_ms});
    if (!file.error.empty()) set.unreadable.push_back({key, file.error});
  }
  sink_(std::move(set));
}

}  // namespace lictor
