// The traces of the running gateway: where workers put spans, and what sends them to the collector
// by curl on the control plane's loop.
#pragma once

#include <functional>

#include "control/http_client.h"
#include "control/trace_exporter.h"
#include "control/uv_scheduler.h"
#include "model/bootstrap.h"
#include "telemetry/trace.h"

namespace lictor {

class Tracing {
 public:
  // With an otlp_url. The loop must run once more after its death, so that handles can close.
  Tracing(uv_loop_t* loop, const TracingConfig& config);

  SpanQueue& spans() { return spans_; }
  const SpanQueue& spans() const { return spans_; }
  void finish(std::function<void()> done) { exporter_.finish(std::move(done)); }

 private:
  SpanQueue spans_;
  UvScheduler scheduler_;
  HttpClient http_;
  TraceExporter exporter_;
};

}  // namespace lictor
