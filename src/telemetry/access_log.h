// The access log: one line a request, written by a thread of its own behind a bounded queue, so
// that a slow disk drops lines (counted) and never delays a request.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace lictor {

struct AccessRecord {
  int64_t time_us = 0;  // of the request's first byte, since the epoch
  std::string_view request_id, client_ip, user, method, host, path, query, protocol, listener;
  uint16_t status = 0;
  std::string_view code;    // of the gateway's own answers, else empty
  std::string_view reason;  // why an authentication filter turned the request away, else empty
  uint64_t bytes_in = 0;    // of bodies
  uint64_t bytes_out = 0;
  uint64_t duration_us = 0;
  int64_t upstream_us = -1;  // -1 = no upstream was asked
  std::string_view route, service, instance;
  uint32_t retries = 0;
  std::string_view user_agent, referer, trace_id;
};

enum class AccessFormat : uint8_t { kJson, kText };

// Appends one line with its '\n'. Absent (empty) values are left out. Whatever the client sent
// can't break the line: control characters, quotes and invalid UTF-8 are escaped.
void format_access_line(const AccessRecord& record, AccessFormat format, std::string& out);

class AccessLog {
 public:
  struct Options {
    std::string path = "-";  // "-" stdout, "off", or a file (a FIFO too)
    AccessFormat format = AccessFormat::kJson;
    double sample = 1.0;           // share of lines kept; errors (status >= 500) always are
    size_t queue_bytes = 8 << 20;  // of lines that wait for the disk, about; more are dropped
    // How long the destructor waits for a reader or disk that takes nothing.
    std::chrono::milliseconds close_timeout{2000};
  };

  explicit AccessLog(Options options);  // throws std::runtime_error when the file can't be opened
  // Writes what is queued, then ends the thread; what can't be written within close_timeout is
  // lost.
  ~AccessLog();

  bool enabled() const;
  // Any thread; formats into a buffer of the calling thread, hands it over without waiting for the
  // disk. The lines of one thread stay in order.
  void write(const AccessRecord& record);
  // SIGUSR1; any thread. Opens the path again: every line is whole in the old file or the new one.
  // When that fails, the old file goes on, and the gateway's log tells why.
  void reopen();
  uint64_t dropped() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared with the thread, which may hang in a broken disk for ever
};

}  // namespace lictor
