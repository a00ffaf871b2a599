// Sends spans to an OpenTelemetry collector: OTLP over HTTP, in JSON, a batch at a time, each
// second while there are any. A collector that is away or slow costs spans, which are counted, and
// nothing else.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "control/backoff.h"
#include "control/fetcher.h"
#include "control/scheduler.h"
#include "telemetry/trace.h"

namespace lictor {

class TraceExporter {
 public:
  static constexpr Millis kEvery{1'000};
  static constexpr size_t kBatchBytes = 1 << 20;
  static constexpr Millis kTimeout{10'000};  // of one attempt
  static constexpr Millis kMostPause{5'000};
  static constexpr int kAttempts = 5;  // then the batch is dropped
  static constexpr Millis kFarewell{2'000};

  struct Options {
    std::string url;
    std::string service_name;
    std::string instance_id;  // unique among all gateways
  };

  TraceExporter(Options options, SpanQueue& spans, Fetcher& fetcher, Scheduler& scheduler);

  // Sends what there is, for kFarewell at most, then calls `done`, once: from inside when there is
  // nothing.
  void finish(std::function<void()> done);

 private:
  void act();
  void send();
  void on_answer(const HttpResponse& answer);
  void settle(bool sent);
  void end();

  const Options options_;
  const std::string opening_;  // of each request, up to its spans
  SpanQueue& spans_;
  Fetcher& fetcher_;
  Scheduler& scheduler_;
  std::unique_ptr<ScheduledCall> timer_;
  std::unique_ptr<ScheduledCall> farewell_;
  std::unique_ptr<Fetch> fetch_;
  SpanQueue::Batch batch_;  // being sent
  int attempts_ = 0;        // of the batch
  Backoff backoff_;
  bool failing_ = false;
  std::function<void()> done_;
};

}  // namespace lictor
