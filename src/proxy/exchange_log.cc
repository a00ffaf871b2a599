// What is counted and written when an exchange ends.
#include <algorithm>

#include "proxy/exchange.h"

namespace lictor {

void Exchange::count_and_log() {
  const uint64_t now = monotonic_ns();
  const uint64_t duration_us = (now - start_ns_) / 1000;
  const uint16_t listener = down_->peer().listener;
  RouteCells& cells =
      match_.route == nullptr ? *context_.unrouted : *pin_->routes[match_.route->index];
  const Head& head = request_ == nullptr ? down_->partial_head() : *request_;
  const Method method = request_ == nullptr ? parse_method(head.method_name) : head.method;
  cells.count(listener, service(), method, status_, duration_us);
  context_.cells.count(status_, duration_us);
  if (trace_.recorded()) record_request(now);
  if (!context_.access_log.enabled()) return;

  AccessRecord record;
  record.time_us = start_unix_us_;
  record.request_id = request_id_;
  char ip[48];
  const IpAddress address = request_ == nullptr ? down_->peer().address.ip() : client_.ip;
  record.client_ip = {ip, address.format(ip)};
  record.user = user_;
  record.method = head.method_name;
  record.path = path_;
  record.query = target_.query;
  if (path_.empty()) {  // it could not be read as one
    const size_t query = std::min(head.target.find('?'), head.target.size());
    record.path = head.target.substr(0, query);
    record.query = head.target.substr(std::min(query + 1, head.target.size()));
  }
  record.user_agent = head.fields.get(FieldId::kUserAgent);
  record.referer = head.fields.get(FieldId::kReferer);
  if (request_ != nullptr) {
    record.host = client_authority_;
    record.protocol = version_name(head.version);
  }
  record.listener = context_.settings->listener_names[listener];
  record.status = status_;
  if (local_failure_ != Failure::kNone) record.code = describe(local_failure_).code;
  if (auth_failure_ != nullptr) record.reason = auth_failure_;
  record.bytes_in = bytes_in_;
  record.bytes_out = bytes_out_;
  record.duration_us = duration_us;
  record.upstream_us = upstream_us_;
  record.route = route();
  record.service = service();
  if (instance_) record.instance = instance_->id();
  record.retries = retries_;
  record.trace_id = trace_.known_id();
  context_.access_log.write(record);
}

}  // namespace lictor
