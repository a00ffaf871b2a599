// Traces: W3C Trace Context (which trace a request belongs to, in and out), spans in OTLP's JSON,
// and the queue in which they wait for whoever sends them away. A request whose trace is not
// recorded meets none of the latter two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace lictor {

// "00-<32 hex digits>-<16 hex digits>-<2 hex digits>"; views of the text.
struct TraceParent {
  static constexpr size_t kSize = 55;

  std::string_view trace_id;
  std::string_view parent_id;
  bool sampled = false;
};
// None when it is malformed, all zeros, or of no version. Of a later version only what all have.
std::optional<TraceParent> parse_traceparent(std::string_view text);
// A list of vendors' entries within the bounds that W3C gives it.
bool is_tracestate(std::string_view text);

// Lower-case hex digits of 64 bits, most significant first.
void write_hex64(uint64_t bits, char* out);

// Spans of all workers, until they are sent. Any thread.
class SpanQueue {
 public:
  static constexpr size_t kMaxBytes = 4 << 20;

  // A span beyond the bound is dropped.
  void add(std::string span);
  struct Batch {
    std::string spans;  // comma-separated
    size_t count = 0;
  };
  // The oldest, about `bytes` of them.
  Batch take(size_t bytes);
  size_t bytes() const;
  // Those that were taken and could not be sent.
  void count_dropped(uint64_t spans);
  uint64_t dropped() const;

 private:
  mutable std::mutex mutex_;
  std::deque<std::string> spans_;  // guarded by mutex_, like the rest
  size_t bytes_ = 0;
  uint64_t dropped_ = 0;
};

enum class SpanKind : uint8_t { kServer = 2, kClient = 3 };

// One span as OTLP's JSON. Texts may be hostile: they are escaped, and cut to kMaxText.
class SpanWriter {
 public:
  static constexpr size_t kMaxText = 1024;

  struct Ids {
    std::string_view trace_id;
    std::string_view span_id;
    std::string_view parent_id;  // empty: the trace begins here
    std::string_view state;      // tracestate
  };
  // `name` and keys are plain; times are nanoseconds since the epoch.
  SpanWriter(const Ids& ids, SpanKind kind, std::string_view name, int64_t start_ns,
             int64_t end_ns);

  void text(std::string_view key, std::string_view value);  // left out when empty
  void number(std::string_view key, int64_t value);
  // Whatever `error` names what failed; empty = nothing did.
  std::string finish(std::string_view error);

 private:
  void key(std::string_view key);
  void quoted(std::string_view value);

  std::string out_;
  bool first_ = true;
};

// A query as traces may have it: the values of parameters that are known to be secret are replaced,
// as OpenTelemetry's conventions say, and that of access_token (RFC 6750).
std::string redact_query(std::string_view query);

}  // namespace lictor
