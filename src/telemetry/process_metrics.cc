#include "telemetry/process_metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace lictor {
namespace {

std::string read_file(const char* path) {
  std::string text;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  std::array<char, 4096> buffer;
  ssize_t got = 0;
  while ((got = read(fd, buffer.data(), buffer.size())) > 0) {
    text.append(buffer.data(), static_cast<size_t>(got));
  }
  close(fd);
  return text;
}

// The index-th blank-separated word of a text.
std::optional<uint64_t> number_at(std::string_view text, size_t index) {
  for (; index > 0; --index) {
    const size_t blank = text.find(' ');
    if (blank == std::string_view::npos) return std::nullopt;
    text.remove_prefix(blank + 1);
  }
  uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc{}) return std::nullopt;
  return value;
}

// Of the epoch. Asked once: it moves when the clock is set.
std::optional<uint64_t> boot_time_s() {
  static const std::optional<uint64_t> value = []() -> std::optional<uint64_t> {
    const std::string stat = read_file("/proc/stat");
    const size_t at = stat.find("\nbtime ");
    if (at == std::string::npos) return std::nullopt;
    return number_at(std::string_view(stat).substr(at + 7), 0);
  }();
  return value;
}

std::optional<uint64_t> open_descriptors() {
  struct Close {
    void operator()(DIR* dir) const { closedir(dir); }
  };
  const std::unique_ptr<DIR, Close> dir(opendir("/proc/self/fd"));
  if (!dir) return std::nullopt;
  uint64_t count = 0;
  while (const dirent* entry = readdir(dir.get())) count += entry->d_name[0] != '.' ? 1 : 0;
  return count - 1;  // the one that reads the folder
}

void render_descriptors(Exposition& out) {
  if (const auto count = open_descriptors()) {
    out.gauge("process_open_fds", "Open file descriptors.");
    out.sample({}, *count);
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    out.gauge("process_max_fds", "Most file descriptors the process may open.");
    out.sample({}, static_cast<uint64_t>(limit.rlim_cur));
  }
}

}  // namespace

void render_process_metrics(Exposition& out) {
  // proc(5): the second field is the name in brackets, which may hold blanks and brackets, so the
  // count starts behind the last bracket: state is 0, utime 11, stime 12, starttime 19, vsize 20,
  // rss 21.
  const std::string stat = read_file("/proc/self/stat");
  const size_t bracket = stat.rfind(')');
  if (bracket != std::string::npos && bracket + 2 < stat.size()) {
    const auto fields = std::string_view(stat).substr(bracket + 2);
    const auto ticks = static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
    const auto user = number_at(fields, 11);
    const auto system = number_at(fields, 12);
    if (user && system) {
      out.counter("process_cpu_seconds_total", "User and system CPU time spent.");
      out.sample_seconds({}, (*user + *system) * 1'000'000 / ticks);
    }
    if (const auto resident = number_at(fields, 21)) {
      out.gauge("process_resident_memory_bytes", "Resident memory size.");
      out.sample({}, *resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
    }
    if (const auto virtual_size = number_at(fields, 20)) {
      out.gauge("process_virtual_memory_bytes", "Virtual memory size.");
      out.sample({}, *virtual_size);
    }
    const auto start = number_at(fields, 19);
    if (start && boot_time_s()) {
      out.gauge("process_start_time_seconds", "Start of the process, since the epoch.");
      out.sample_seconds({}, *boot_time_s() * 1'000'000 + *start * 1'000'000 / ticks);
    }
  }
  render_descriptors(out);
}

}  // namespace lictor
