// The spans of an exchange whose trace is recorded: one of the request, one of each try, with the
// names of OpenTelemetry's semantic conventions for HTTP.
#include <charconv>
#include <string>

#include "proxy/exchange.h"
#include "proxy/span.h"

namespace lictor {

int64_t Exchange::unix_ns(uint64_t monotonic) const {
  return start_unix_us_ * 1000 + static_cast<int64_t>(monotonic - start_ns_);
}

// `outcome` as in end_try. The try is over, and its stream not yet released.
void Exchange::record_try(std::optional<Outcome> outcome, uint64_t now) {
  const uint16_t status = response_ != nullptr && response_->status >= 200 ? response_->status : 0;
  TrySpan span{.request = *request_,
               .tls = upstream_->policy().tls.client != nullptr,
               .address = instance_->address(),
               .service = upstream_->service(),
               .instance = instance_->id(),
               .resent = retries_,
               .response = status == 0 ? nullptr : response_,
               .outcome = outcome};
  trace_.spans().add(write_try_span(trace_.try_span(), span, unix_ns(try_start_ns_), unix_ns(now)));
}

void Exchange::record_request(uint64_t now) {
  const Head& head = *request_;
  const bool templated = match_.route != nullptr && match_.route->paths.size() == 1;
  const std::string_view path_template =
      templated ? std::string_view(match_.route->paths.front()) : std::string_view{};
  SpanWriter span(trace_.request_span(), SpanKind::kServer, span_name(head.method, path_template),
                  unix_ns(start_ns_), unix_ns(now));
  write_method(span, head);
  span.text("url.scheme", scheme());
  span.text("url.path", path_);
  if (!target_.query.empty()) span.text("url.query", redact_query(target_.query));
  write_server(span, client_authority_);
  span.text("http.route", path_template);
  span.text("network.protocol.version", protocol_version(head.version));
  char ip[48];
  span.text("client.address", {ip, client_.ip.format(ip)});
  span.text("network.peer.address", {ip, down_->peer().address.ip().format(ip)});
  span.number("network.peer.port", down_->peer().address.port());
  span.text("user_agent.original", head.fields.get(FieldId::kUserAgent));
  span.text("lictor.request_id", request_id_);
  span.text("lictor.listener", context_.settings->listener_names[down_->peer().listener]);
  span.text("lictor.route", route());
  span.text("lictor.service", service());
  if (retries_ > 0) span.number("lictor.retries", retries_);
  const bool gone = local_failure_ == Failure::kClientAbort;
  if (!gone && status_ != 0) span.number("http.response.status_code", status_);
  std::string error;
  if (gone || (local_failure_ != Failure::kNone && describe(local_failure_).status >= 500)) {
    error = describe(local_failure_).code;
  } else if (status_ >= 500) {
    error = std::to_string(status_);
  }
  trace_.spans().add(span.finish(error));
}

}  // namespace lictor
