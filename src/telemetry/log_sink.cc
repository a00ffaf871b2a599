#include "telemetry/log_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <stdexcept>
#include <system_error>

#include "base/log.h"

namespace lictor {
namespace {

constexpr int kCheckEveryMs = 50;

std::string reason(int error) { return std::generic_category().message(error); }

uint64_t count_lines(std::string_view text) {
  return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

// The kernel takes up to PIPE_BUF bytes whole or not at all, so lines stay whole among those that
// other processes write to the same pipe.
std::string_view lines_for_pipe(std::string_view text) {
  if (text.size() <= PIPE_BUF) return text;
  const size_t end = text.substr(0, PIPE_BUF).rfind('\n');
  return text.substr(0, end == std::string_view::npos ? text.find('\n') + 1 : end + 1);
}

// A blocking write to a pipe that nobody reads would hang the thread; O_NONBLOCK on descriptor 1
// itself would hit every process that shares it, so a pipe is opened anew.
int open_stdout() {
  struct stat info{};
  if (fstat(STDOUT_FILENO, &info) == 0 && S_ISFIFO(info.st_mode)) {
    const int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) return fd;
  }
  return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

}  // namespace

LogSink::LogSink(std::string path) : path_(path == "/dev/stdout" ? "-" : std::move(path)) {
  const int fd = open_path();
  if (fd < 0) {
    throw std::runtime_error("access log: can't open " + path_ + ": " + reason(errno));
  }
  use(fd);
}

LogSink::~LogSink() { close(fd_); }

int LogSink::open_path() const {
  if (path_ == "-") return open_stdout();
  struct stat info{};
  if (stat(path_.c_str(), &info) == 0 && S_ISFIFO(info.st_mode)) {
    // Readable too: else opening fails or waits while there is no reader.
    return open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  return open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

void LogSink::use(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
  torn_ = false;
  struct stat info{};
  kind_ = Kind::kFile;
  if (fstat(fd, &info) != 0) return;
  if (S_ISFIFO(info.st_mode)) kind_ = Kind::kPipe;
  if (S_ISSOCK(info.st_mode)) kind_ = Kind::kSocket;
}

void LogSink::reopen() {
  if (path_ == "-") return;
  const int fd = open_path();
  if (fd < 0) {
    log::error("access log: can't reopen {}: {}; the old file goes on", path_, reason(errno));
    return;
  }
  use(fd);
}

uint64_t LogSink::write(std::string_view lines, const Check& check) {
  if (torn_) {
    // Ends the line that an earlier failure cut, so that it harms no other.
    Progress end{.rest = "\n"};
    push(end, check);
    if (!end.rest.empty()) return count_lines(lines);
  }
  Progress progress{.rest = lines};
  push(progress, check);
  return progress.lost + count_lines(progress.rest);
}

// Writes until nothing is left or it gives up; `rest` is then what was not written.
void LogSink::push(Progress& progress, const Check& check) {
  std::string_view& rest = progress.rest;
  while (!rest.empty()) {
    const long written = write_some(kind_ == Kind::kPipe ? lines_for_pipe(rest) : rest);
    if (written > 0) {
      torn_ = rest[static_cast<size_t>(written) - 1] != '\n';
      rest.remove_prefix(static_cast<size_t>(written));
      if (failing_) log::info("access log: {} takes lines again", path_);
      failing_ = false;
      continue;
    }
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno != EAGAIN) {
      complain(errno);
      return;
    }
    const bool was_torn = torn_;
    const Wait wait = wait_writable(check);
    if (wait == Wait::kGiveUp) return;
    if (wait == Wait::kReopened && was_torn && !torn_) {  // its first half is in the old file
      rest.remove_prefix(std::min(rest.find('\n') + 1, rest.size()));
      ++progress.lost;
    }
  }
}

long LogSink::write_some(std::string_view text) const {
  if (kind_ == Kind::kSocket) {
    return send(fd_, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  return ::write(fd_, text.data(), text.size());
}

LogSink::Wait LogSink::wait_writable(const Check& check) {
  while (true) {
    pollfd wanted{.fd = fd_, .events = POLLOUT, .revents = 0};
    if (poll(&wanted, 1, kCheckEveryMs) > 0) return Wait::kReady;
    switch (check()) {
      case Interrupt::kNone:
        break;
      case Interrupt::kReopen:
        reopen();
        return Wait::kReopened;
      case Interrupt::kGiveUp:
        return Wait::kGiveUp;
    }
  }
}

void LogSink::complain(int error) {
  if (!failing_) {
    log::error("access log: can't write to {}: {}; lines are dropped until it can", path_,
               reason(error));
  }
  failing_ = true;
}

}  // namespace lictor
