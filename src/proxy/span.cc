#include "proxy/span.h"

#include <charconv>

namespace lictor {

std::string span_name(Method method, std::string_view path_template) {
  std::string name(method == Method::kOther ? "HTTP" : method_label(method));
  if (!path_template.empty()) {
    name += ' ';
    name += path_template;
  }
  return name;
}

std::string_view protocol_version(Version version) {
  std::string_view name = version_name(version);
  name.remove_prefix(std::string_view("HTTP/").size());
  return name == "2.0" ? "2" : name;
}

void write_method(SpanWriter& span, const Head& request) {
  const bool known = request.method != Method::kOther;
  span.text("http.request.method", known ? request.method_name : "_OTHER");
  if (!known) span.text("http.request.method_original", request.method_name);
}

void write_server(SpanWriter& span, std::string_view authority) {
  const size_t colon = authority.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos;
  std::string_view host = authority.substr(0, has_port ? colon : authority.size());
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  span.text("server.address", host);
  if (!has_port) return;
  uint16_t port = 0;
  const std::string_view digits = authority.substr(colon + 1);
  if (std::from_chars(digits.begin(), digits.end(), port).ec == std::errc()) {
    span.number("server.port", port);
  }
}

std::string write_try_span(const SpanWriter::Ids& ids, const TrySpan& sent, int64_t start_ns,
                           int64_t end_ns) {
  SpanWriter span(ids, SpanKind::kClient, span_name(sent.request.method, {}), start_ns, end_ns);
  write_method(span, sent.request);
  write_server(span, sent.address);
  const std::string_view target = sent.request.target;
  const size_t question = target.find('?');
  std::string url = sent.tls ? "https://" : "http://";
  url += sent.address;
  url += target.substr(0, question);
  if (question != std::string_view::npos) url += '?' + redact_query(target.substr(question + 1));
  if (!sent.address.empty()) span.text("url.full", url);
  span.text("lictor.service", sent.service);
  span.text("lictor.instance", sent.instance);
  if (sent.resent > 0) span.number("http.request.resend_count", sent.resent);
  std::string error;
  if (sent.response != nullptr) {
    span.number("http.response.status_code", sent.response->status);
    span.text("network.protocol.version", protocol_version(sent.response->version));
    if (sent.response->status >= 400) error = std::to_string(sent.response->status);
  }
  if (!sent.outcome) {
    error = "cancelled";
  } else if (*sent.outcome != Outcome::kOk && *sent.outcome != Outcome::k5xx) {
    error = outcome_name(*sent.outcome);
  }
  return span.finish(error);
}

}  // namespace lictor
