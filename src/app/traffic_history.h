// The last 15 minutes of all traffic, a sample a second, for GET /v1/stats: a page that has just
// been opened has something to draw. Control thread only; bounded by kSamples.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>

#include "telemetry/metrics.h"

namespace lictor {

// What happened between two looks, or in several of those together.
struct TrafficSample {
  int64_t time_ms = 0;  // its end, since the epoch
  int64_t span_ms = 0;
  std::array<uint64_t, 6> by_class{};  // as in WorkerCells
  std::array<uint64_t, Histogram::kBoundsUs.size() + 1> buckets{};
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint64_t connections = 0;  // at its end

  uint64_t requests() const;
  uint64_t errors() const { return by_class[5]; }  // answered 5xx, by whomever
  // Of the durations, in milliseconds, as good as the buckets are: straight between the bounds of
  // the one it falls into, the last bound beyond that. None without requests.
  std::optional<double> quantile_ms(double share) const;
  void add(const TrafficSample& later);
};

class TrafficHistory {
 public:
  static constexpr size_t kSamples = 900;
  static constexpr int64_t kIntervalMs = 1000;

  // Looks at the totals, once a second. The first look only remembers them.
  void look(int64_t time_ms, const TrafficTotals& totals);
  const std::deque<TrafficSample>& samples() const { return samples_; }  // oldest first
  // The last `count` samples together.
  TrafficSample last(size_t count) const;

 private:
  std::deque<TrafficSample> samples_;
  std::optional<TrafficTotals> before_;
  int64_t before_ms_ = 0;
};

}  // namespace lictor
