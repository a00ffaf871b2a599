// What is counted and written when an exchange ends.
#include "proxy/exchange.h"

namespace lictor {

void Exchange::count_and_log() {
  const uint64_t duration_us = (monotonic_ns() - start_ns_) / 1000;
  const uint16_t listener = down_->peer().listener;
  RouteCells& cells =
      match_.route == nullptr ? *context_.unrouted : *pin_->routes[match_.route->index];
  const Method method = request_ == nullptr ? Method::kOther : request_->method;
  cells.count(listener, service(), method, status_, duration_us);
  if (!context_.access_log.enabled()) return;

  AccessRecord record;
  record.time_us = start_unix_us_;
  record.request_id = request_id_;
  char ip[48];
  const IpAddress address = request_ == nullptr ? down_->peer().address.ip() : client_.ip;
  record.client_ip = {ip, address.format(ip)};
  record.user = user_;
  if (request_ != nullptr) {
    record.method = request_->method_name;
    record.host = client_authority_;
    record.path = path_.empty() ? request_->target : path_;
    record.query = target_.query;
    record.protocol = version_name(request_->version);
    record.user_agent = request_->fields.get(FieldId::kUserAgent);
    record.referer = request_->fields.get(FieldId::kReferer);
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
  context_.access_log.write(record);
}

}  // namespace lictor
