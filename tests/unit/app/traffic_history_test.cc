#include "app/traffic_history.h"

#include <doctest/doctest.h>

namespace lictor {
namespace {

TrafficTotals totals(uint64_t good, uint64_t bad) {
  TrafficTotals made;
  made.by_class[2] = good;
  made.by_class[5] = bad;
  made.buckets[0] = good + bad;
  return made;
}

TEST_CASE("traffic: the first look makes no sample, the next ones what came between") {
  TrafficHistory history;
  history.look(10'000, totals(100, 1));
  CHECK(history.samples().empty());
  CHECK(history.last(10).requests() == 0);
  CHECK(!history.last(10).quantile_ms(0.5));

  history.look(11'000, totals(150, 2));
  history.look(13'000, totals(150, 2));
  REQUIRE(history.samples().size() == 2);
  CHECK(history.samples()[0].requests() == 51);
  CHECK(history.samples()[0].errors() == 1);
  CHECK(history.samples()[1].requests() == 0);
  CHECK(history.samples()[1].span_ms == 2'000);
  const TrafficSample both = history.last(2);
  CHECK(both.requests() == 51);
  CHECK(both.span_ms == 3'000);
  CHECK(both.time_ms == 13'000);
  CHECK(history.last(1).requests() == 0);
}

TEST_CASE("traffic: 15 minutes are kept and no more") {
  TrafficHistory history;
  for (uint64_t i = 0; i <= 2'000; ++i) {
    history.look(static_cast<int64_t>(i) * 1'000, totals(i, 0));
  }
  CHECK(history.samples().size() == TrafficHistory::kSamples);
  CHECK(history.samples().front().time_ms == 1'101'000);
  CHECK(history.last(10'000).requests() == TrafficHistory::kSamples);
}

TEST_CASE("traffic: a clock that is set back is survived") {
  TrafficHistory history;
  history.look(10'000, totals(0, 0));
  history.look(5'000, totals(7, 0));
  CHECK(history.samples()[0].span_ms == 1);
  CHECK(history.samples()[0].requests() == 7);
}

TEST_CASE("traffic: quantiles lie in the bucket that they fall into") {
  TrafficSample sample;
  sample.buckets[3] = 90;  // 2.5 to 5 ms
  sample.buckets[7] = 10;  // 50 to 100 ms
  CHECK(*sample.quantile_ms(0.45) == doctest::Approx(3.75));
  CHECK(*sample.quantile_ms(0.9) == doctest::Approx(5));
  CHECK(*sample.quantile_ms(0.95) == doctest::Approx(75));
  CHECK(*sample.quantile_ms(1) == doctest::Approx(100));
  sample = {};
  sample.buckets.back() = 1;  // beyond the last bound: no better is known
  CHECK(*sample.quantile_ms(0.99) == doctest::Approx(30'000));
}

}  // namespace
}  // namespace lictor
