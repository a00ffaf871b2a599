#include "control/state_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace lictor {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool good() const { return fd_ >= 0; }
  int close() { return fd_ < 0 ? 0 : ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

std::string error_text() { return std::generic_category().message(errno); }

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

std::string write_new(const std::string& path, const StateToSave& state) {
  Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.good() || fchmod(file.get(), 0600) != 0) return error_text();
  const bool whole =
      encode_state(state, [&](std::string_view piece) { return write_all(file.get(), piece); });
  if (!whole || fsync(file.get()) != 0 || file.close() != 0) return error_text();
  return {};
}

}  // namespace

std::expected<std::unique_ptr<SavedState>, std::string> read_state_file(const std::string& path) {
  // Not to wait for a writer, should it be a pipe.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.good() && errno == ENOENT) return nullptr;
  struct stat info{};
  if (!file.good() || fstat(file.get(), &info) != 0) return std::unexpected(error_text());
  if (!S_ISREG(info.st_mode)) return std::unexpected("not a file");
  if (static_cast<uint64_t>(info.st_size) > kMaxStateFile) return std::unexpected("too large");
  std::string text(static_cast<size_t>(info.st_size), '\0');
  size_t have = 0;
  while (have < text.size()) {
    const ssize_t got = read(file.get(), text.data() + have, text.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(error_text());
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  text.resize(have);
  auto state = decode_state(text);
  if (!state) return std::unexpected(state.error());
  return std::make_unique<SavedState>(std::move(*state));
}

bool can_write_state_file(const std::string& path) {
  return access(folder_of(path).c_str(), W_OK | X_OK) == 0;
}

std::string StateFile::write(uint64_t number, const StateToSave& state) {
  const std::lock_guard lock(mutex_);
  if (number <= written_) return {};
  // Of this process alone: a gateway that takes over from this one may write at the same time.
  const std::string fresh = path_ + ".tmp-" + std::to_string(getpid());
  if (auto error = write_new(fresh, state); !error.empty()) {
    unlink(fresh.c_str());
    return error;
  }
  if (rename(fresh.c_str(), path_.c_str()) != 0) {
    auto error = error_text();
    unlink(fresh.c_str());
    return error;
  }
  written_ = number;
  const Descriptor folder(open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.good() || fsync(folder.get()) != 0) return error_text();
  return {};
}

}  // namespace lictor
