// The trace that one request belongs to (W3C Trace Context): the client's, or a new one. When its
// spans are recorded, each try is a span of its own, and what is sent names it as the parent; else
// the client's traceparent goes on as it came.
#pragma once

#include <string_view>

#include "base/arena.h"
#include "http/message.h"
#include "telemetry/trace.h"

namespace lictor {

class Random;

class RequestTrace {
 public:
  struct Options {
    SpanQueue* spans = nullptr;  // null: no trace is recorded
    double sample_ratio = 0;     // of traces that begin here
  };

  // Once, before the request's fields change. `own_id`: the request's id, if the gateway made it; a
  // new trace is called so.
  void begin(const Fields& request, std::string_view own_id, const Options& options, Random& random,
             Arena& arena);

  bool recorded() const { return spans_ != nullptr; }
  // For people; empty when nobody else knows the trace: no client named it, and none is recorded.
  std::string_view known_id() const { return known_ ? trace_id_ : std::string_view{}; }
  // The field that is sent; its text changes with each try.
  std::string_view traceparent() const { return traceparent_; }
  bool keeps_state() const { return keeps_state_; }

  // Only of a trace that is recorded. The span of the next try, and what it is called.
  void begin_try(Random& random);
  SpanWriter::Ids request_span() const { return {trace_id_, span_id_, parent_id_, state_}; }
  SpanWriter::Ids try_span() const {
    return {trace_id_, traceparent_.substr(36, 16), span_id_, state_};
  }
  SpanQueue& spans() const { return *spans_; }

 private:
  SpanQueue* spans_ = nullptr;
  std::string_view trace_id_;
  std::string_view span_id_;    // of the request, when recorded
  std::string_view parent_id_;  // the client's span; empty: the trace begins here
  std::string_view state_;
  std::string_view traceparent_;
  char* current_id_ = nullptr;  // in traceparent_, when recorded
  bool keeps_state_ = false;
  bool known_ = false;
};

}  // namespace lictor
