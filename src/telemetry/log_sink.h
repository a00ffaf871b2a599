// Where the lines of the access log go: standard output, a file, or a FIFO. Writes whole lines,
// never one after half of another, and gives up on what the system won't take. For one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace lictor {

class LogSink {
 public:
  // What to do while the reader of a pipe takes nothing. Asked every 50 ms or so.
  enum class Interrupt : uint8_t { kNone, kReopen, kGiveUp };
  using Check = std::function<Interrupt()>;

  explicit LogSink(std::string path);  // "-" is stdout; throws std::runtime_error
  ~LogSink();
  LogSink(const LogSink&) = delete;
  LogSink& operator=(const LogSink&) = delete;

  // Opens the path again. When that fails, what was open stays.
  void reopen();
  // Returns how many of these lines were lost.
  uint64_t write(std::string_view lines, const Check& check);

 private:
  enum class Kind : uint8_t { kFile, kPipe, kSocket };
  enum class Wait : uint8_t { kReady, kReopened, kGiveUp };
  struct Progress {
    std::string_view rest;
    uint64_t lost = 0;
  };

  int open_path() const;  // an fd, or -1 with errno
  void use(int fd);
  void push(Progress& progress, const Check& check);
  long write_some(std::string_view text) const;
  Wait wait_writable(const Check& check);
  void complain(int error);

  const std::string path_;
  int fd_ = -1;
  Kind kind_ = Kind::kFile;
  bool torn_ = false;     // what was written last ends within a line
  bool failing_ = false;  // a full disk is told once, and once that it is over
};

}  // namespace lictor
