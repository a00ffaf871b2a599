#include "app/traffic_history.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace lictor {

uint64_t TrafficSample::requests() const {
  return std::accumulate(by_class.begin(), by_class.end(), uint64_t{0});
}

std::optional<double> TrafficSample::quantile_ms(double share) const {
  const uint64_t count = std::accumulate(buckets.begin(), buckets.end(), uint64_t{0});
  if (count == 0) return std::nullopt;
  const double rank = share * static_cast<double>(count);
  double below = 0;
  double low = 0;
  for (size_t i = 0; i < Histogram::kBoundsUs.size(); ++i) {
    const double high = Histogram::kBoundsUs[i] / 1000.0;
    const auto here = static_cast<double>(buckets[i]);
    if (here > 0 && below + here >= rank) return low + (high - low) * (rank - below) / here;
    below += here;
    low = high;
  }
  return low;
}

void TrafficSample::add(const TrafficSample& later) {
  time_ms = later.time_ms;
  span_ms += later.span_ms;
  for (size_t i = 0; i < by_class.size(); ++i) by_class[i] += later.by_class[i];
  for (size_t i = 0; i < buckets.size(); ++i) buckets[i] += later.buckets[i];
  bytes_in += later.bytes_in;
  bytes_out += later.bytes_out;
  connections = later.connections;
}

void TrafficHistory::look(int64_t time_ms, const TrafficTotals& totals) {
  const auto before = std::exchange(before_, totals);
  const int64_t began_ms = std::exchange(before_ms_, time_ms);
  if (!before) return;
  TrafficSample sample;
  sample.time_ms = time_ms;
  // The clock of the day may be set back.
  sample.span_ms = std::max<int64_t>(time_ms - began_ms, 1);
  for (size_t i = 0; i < sample.by_class.size(); ++i) {
    sample.by_class[i] = totals.by_class[i] - before->by_class[i];
  }
  for (size_t i = 0; i < sample.buckets.size(); ++i) {
    sample.buckets[i] = totals.buckets[i] - before->buckets[i];
  }
  sample.bytes_in = totals.bytes_in - before->bytes_in;
  sample.bytes_out = totals.bytes_out - before->bytes_out;
  sample.connections = totals.connections;
  if (samples_.size() == kSamples) samples_.pop_front();
  samples_.push_back(sample);
}

TrafficSample TrafficHistory::last(size_t count) const {
  TrafficSample sum;
  const size_t from = samples_.size() - std::min(count, samples_.size());
  for (size_t i = from; i < samples_.size(); ++i) sum.add(samples_[i]);
  return sum;
}

}  // namespace lictor
