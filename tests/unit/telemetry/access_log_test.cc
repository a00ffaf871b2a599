#include "telemetry/access_log.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"

namespace lictor {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class TempDir {
 public:
  TempDir() {
    std::string path = (std::filesystem::temp_directory_path() / "lictor-XXXXXX").string();
    REQUIRE(mkdtemp(path.data()) != nullptr);
    path_ = path;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// What goes to stderr on purpose in a test stays out of its output.
class QuietLog {
 public:
  QuietLog() { log::set_level(log::Level::kOff); }
  ~QuietLog() { log::set_level(before_); }

 private:
  const log::Level before_ = log::level();
};

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::string id_of(const std::string& line) {
  return nlohmann::json::parse(line)["request_id"].get<std::string>();
}

AccessLog::Options options_for(const std::string& path) {
  AccessLog::Options options;
  options.path = path;
  options.close_timeout = 50ms;
  return options;
}

void write_numbered(AccessLog& log, const std::string& prefix, int count, uint16_t status = 200) {
  for (int i = 0; i < count; ++i) {
    const std::string id = prefix + std::to_string(i);
    AccessRecord record;
    record.request_id = id;
    record.status = status;
    log.write(record);
  }
}

// For what another thread does without telling: the drop count, a file's presence.
template <class Condition>
bool eventually(Condition condition) {
  const auto limit = Clock::now() + 10s;
  while (Clock::now() < limit) {
    if (condition()) return true;
    std::this_thread::yield();
  }
  return false;
}

TEST_CASE("access log: every line is in the file once the log is closed") {
  const TempDir dir;
  {
    AccessLog log(options_for(dir / "log"));
    CHECK(log.enabled());
    write_numbered(log, "a", 1000);
  }
  const auto lines = lines_of(dir / "log");
  REQUIRE(lines.size() == 1000);
  for (size_t i = 0; i < lines.size(); ++i) CHECK(id_of(lines[i]) == "a" + std::to_string(i));
}

TEST_CASE("access log: a line is written while the log is open, and again after it was idle") {
  const TempDir dir;
  AccessLog log(options_for(dir / "log"));
  for (size_t count = 1; count <= 3; ++count) {
    write_numbered(log, "a", 1);
    CHECK(eventually([&] { return lines_of(dir / "log").size() == count; }));
  }
}

TEST_CASE("access log: appends to what is there") {
  const TempDir dir;
  for (int i = 0; i < 2; ++i) {
    AccessLog log(options_for(dir / "log"));
    write_numbered(log, "a", 2);
  }
  CHECK(lines_of(dir / "log").size() == 4);
}

TEST_CASE("access log: lines of several threads are whole and in each thread's order") {
  constexpr int kThreads = 4;
  constexpr int kLines = 5'000;
  const TempDir dir;
  {
    AccessLog log(options_for(dir / "log"));
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back(
          [&log, thread] { write_numbered(log, std::to_string(thread) + "-", kLines); });
    }
    for (auto& thread : threads) thread.join();
    CHECK(log.dropped() == 0);
  }
  std::map<std::string, int> next;
  for (const auto& line : lines_of(dir / "log")) {
    const std::string id = id_of(line);
    const size_t dash = id.find('-');
    CHECK(std::stoi(id.substr(dash + 1)) == next[id.substr(0, dash)]++);
  }
  CHECK(next.size() == kThreads);
  for (const auto& [thread, count] : next) CHECK(count == kLines);
}

TEST_CASE("access log: off writes and costs nothing") {
  AccessLog log(options_for("off"));
  CHECK_FALSE(log.enabled());
  write_numbered(log, "a", 10);
  log.reopen();
  CHECK(log.dropped() == 0);
}

TEST_CASE("access log: a file that can't be opened is an error at the start") {
  CHECK_THROWS_AS(AccessLog(options_for("/nonexistent/log")), std::runtime_error);
}

TEST_CASE("access log: a sample keeps its share, and every error") {
  const TempDir dir;
  auto options = options_for(dir / "log");
  options.sample = 0.25;
  {
    AccessLog log(options);
    write_numbered(log, "ok-", 8'000);
    write_numbered(log, "error-", 100, 503);
    CHECK(log.dropped() == 0);  // a line that wasn't wanted is no line lost
  }
  size_t ok = 0;
  size_t errors = 0;
  for (const auto& line : lines_of(dir / "log")) ++(id_of(line).starts_with("ok-") ? ok : errors);
  CHECK(errors == 100);
  CHECK(ok > 1'700);
  CHECK(ok < 2'300);

  options.path = dir / "none";
  options.sample = 0;
  {
    AccessLog log(options);
    write_numbered(log, "ok-", 1'000);
  }
  CHECK(lines_of(dir / "none").empty());
}

TEST_CASE("access log: reopening loses no line") {
  const TempDir dir;
  constexpr int kRounds = 20;
  constexpr int kLines = 500;
  {
    AccessLog log(options_for(dir / "log"));
    std::thread writer([&log] { write_numbered(log, "a", kRounds * kLines); });
    for (int round = 0; round < kRounds; ++round) {
      std::filesystem::rename(dir / "log", dir / ("log." + std::to_string(round)));
      log.reopen();
      CHECK(eventually([&] { return std::filesystem::exists(dir / "log"); }));
    }
    writer.join();
  }
  std::vector<std::string> lines;
  for (int round = 0; round < kRounds; ++round) {
    for (const auto& line : lines_of(dir / ("log." + std::to_string(round)))) lines.push_back(line);
  }
  for (const auto& line : lines_of(dir / "log")) lines.push_back(line);
  REQUIRE(lines.size() == kRounds * kLines);
  for (size_t i = 0; i < lines.size(); ++i) CHECK(id_of(lines[i]) == "a" + std::to_string(i));
}

TEST_CASE("access log: when reopening fails the old file goes on") {
  const QuietLog quiet;
  const TempDir dir;
  std::filesystem::create_directory(dir / "sub");
  {
    AccessLog log(options_for(dir / "sub/log"));
    write_numbered(log, "a", 10);
    std::filesystem::rename(dir / "sub", dir / "moved");
    log.reopen();
    write_numbered(log, "b", 10);
  }
  CHECK(lines_of(dir / "moved/log").size() == 20);
}

TEST_CASE("access log: a FIFO nobody reads drops lines, counts them and delays nobody") {
  constexpr int kLines = 20'000;
  const TempDir dir;
  REQUIRE(mkfifo((dir / "fifo").c_str(), 0600) == 0);
  auto options = options_for(dir / "fifo");
  options.queue_bytes = 64 << 10;
  AccessLog log(options);
  write_numbered(log, "a", kLines);
  const uint64_t dropped = log.dropped();
  CHECK(dropped > 0);
  CHECK(dropped < kLines);

  // A reader at last: all that was queued comes, whole and in order, and new lines after it.
  const int fd = open((dir / "fifo").c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  std::string text;
  const auto read_lines = [&](size_t count) {
    while (static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) < count) {
      pollfd wanted{.fd = fd, .events = POLLIN, .revents = 0};
      if (poll(&wanted, 1, 10'000) <= 0) return false;
      std::array<char, 65'536> buffer;
      const ssize_t got = read(fd, buffer.data(), buffer.size());
      if (got <= 0) return false;
      text.append(buffer.data(), static_cast<size_t>(got));
    }
    return true;
  };
  CHECK(read_lines(kLines - dropped));
  write_numbered(log, "b", 1);
  CHECK(read_lines(kLines - dropped + 1));
  close(fd);

  std::istringstream lines(text);
  int last = -1;
  for (std::string line; std::getline(lines, line);) {
    const std::string id = id_of(line);
    if (id[0] == 'b') continue;
    CHECK(std::stoi(id.substr(1)) > last);
    last = std::stoi(id.substr(1));
  }
  CHECK(text.find("\"b0\"") != std::string::npos);
  CHECK(log.dropped() == dropped);
}

TEST_CASE("access log: closing doesn't wait for ever for a FIFO nobody reads") {
  const TempDir dir;
  REQUIRE(mkfifo((dir / "fifo").c_str(), 0600) == 0);
  const auto start = Clock::now();
  {
    AccessLog log(options_for(dir / "fifo"));
    write_numbered(log, "a", 10'000);
  }
  CHECK(Clock::now() - start < 10s);
}

TEST_CASE("access log: reopening ends the wait for a FIFO nobody reads") {
  const TempDir dir;
  REQUIRE(mkfifo((dir / "log").c_str(), 0600) == 0);
  constexpr int kLines = 2'000;  // more than the pipe takes
  {
    AccessLog log(options_for(dir / "log"));
    write_numbered(log, "a", kLines);
    const int fd = open((dir / "log").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int waiting = 0;
    CHECK(eventually([&] { return ioctl(fd, FIONREAD, &waiting) == 0 && waiting > 50'000; }));
    close(fd);
    std::filesystem::rename(dir / "log", dir / "fifo");
    log.reopen();
    CHECK(eventually([&] { return std::filesystem::exists(dir / "log"); }));
    CHECK(log.dropped() <= 1);
  }
  const auto lines = lines_of(dir / "log");
  CHECK(lines.size() > 0);
  CHECK(lines.size() < kLines);
  for (const auto& line : lines) CHECK(nlohmann::json::accept(line));
  CHECK(id_of(lines.back()) == "a" + std::to_string(kLines - 1));
}

TEST_CASE("access log: a full disk drops lines and counts them") {
  const QuietLog quiet;
  AccessLog log(options_for("/dev/full"));
  write_numbered(log, "a", 1'000);
  CHECK(eventually([&] { return log.dropped() == 1'000; }));
}

TEST_CASE("access log: a line cut by a full disk harms no other") {
  const QuietLog quiet;
  const TempDir dir;
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{.rlim_cur = 1000, .rlim_max = before.rlim_max};
  {
    AccessLog log(options_for(dir / "log"));
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    write_numbered(log, "a", 100);
    const bool lost = eventually([&] { return log.dropped() > 0; });
    setrlimit(RLIMIT_FSIZE, &before);
    REQUIRE(lost);
    write_numbered(log, "b", 5);
  }
  size_t broken = 0;
  size_t after = 0;
  for (const auto& line : lines_of(dir / "log")) {
    if (!nlohmann::json::accept(line)) {
      ++broken;
    } else if (id_of(line)[0] == 'b') {
      ++after;
    }
  }
  CHECK(broken == 1);
  CHECK(after == 5);
}

}  // namespace
}  // namespace lictor
