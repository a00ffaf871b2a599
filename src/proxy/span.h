// What the spans of exchanges and subrequests have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"
#include "telemetry/metrics.h"
#include "telemetry/trace.h"

namespace lictor {

// "GET /user/*", or "GET"; "HTTP" for methods that nobody knows.
std::string span_name(Method method, std::string_view path_template);
std::string_view protocol_version(Version version);  // "1.1"
void write_method(SpanWriter& span, const Head& request);
// server.address and server.port of "host", "host:port" or "[::1]:port".
void write_server(SpanWriter& span, std::string_view authority);

// A request that was sent to an instance.
struct TrySpan {
  const Head& request;
  bool tls = false;
  std::string_view address;  // the instance's; empty: none was tried
  std::string_view service;
  std::string_view instance;
  uint32_t resent = 0;
  const Head* response = nullptr;  // null: none came
  std::optional<Outcome> outcome;  // none: given up, for no fault of the instance
};
std::string write_try_span(const SpanWriter::Ids& ids, const TrySpan& sent, int64_t start_ns,
                           int64_t end_ns);

}  // namespace lictor
