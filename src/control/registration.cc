#include "control/registration.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"
#include "base/version.h"

namespace lictor {
namespace {

using nlohmann::json;

constexpr auto kEndpoint = "agent";

bool is_wildcard(const IpAddress& ip) {
  return ip == IpAddress::parse("0.0.0.0") || ip == IpAddress::parse("::");
}

bool is_local(const ConsulConfig& consul) {
  if (!consul.unix_socket.empty()) return true;
  std::string_view host = consul.url;
  host.remove_prefix(host.find("://") + 3);
  host = host.substr(0, host.find('/'));
  const size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && !host.ends_with(']')) host = host.substr(0, colon);
  const auto ip = IpAddress::parse(host);
  return host == "localhost" || (ip && ip->is_loopback());
}

}  // namespace

std::string RegistrationEntry::body(bool ready) const {
  json body = {{"ID", id},
               {"Name", service},
               {"Tags", tags},
               {"Port", port},
               {"Meta", {{"lictor_version", version()}}},
               {"Check",
                {{"Name", "lictor's /readyz"},
                 {"HTTP", check_url},
                 {"Method", "GET"},
                 {"Interval", "2s"},
                 {"Timeout", "1s"},
                 {"Status", ready ? "passing" : "critical"},
                 {"DeregisterCriticalServiceAfter", "5m"}}}};
  if (!address.empty()) body["Address"] = address;
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::expected<RegistrationEntry, std::string> make_registration(const RegisterConfig& config,
                                                                const ConsulConfig& consul,
                                                                const GatewayAddresses& addresses,
                                                                const std::string& host_name) {
  const auto& [listener, admin] = addresses;
  const bool any = is_wildcard(admin.ip());
  if (!is_local(consul) && (any || admin.ip().is_loopback())) {
    return std::unexpected("the agent at " + consul.address +
                           " is on another machine and can't check " + admin.to_string() +
                           ": give admin an address that it can reach");
  }
  RegistrationEntry entry;
  entry.service = config.service;
  entry.tags = config.tags;
  entry.port = listener.port();
  if (!is_wildcard(listener.ip())) entry.address = listener.ip().to_string();
  entry.id = config.service + "-" + host_name + "-" + std::to_string(entry.port);
  const auto here = IpAddress::parse(admin.ip().is_v4() ? "127.0.0.1" : "::1");
  const SocketAddress checked(any ? *here : admin.ip(), admin.port());
  entry.check_url = "http://" + checked.to_string() + "/readyz";
  return entry;
}

Registration::Registration(Agent& agent, RegistrationEntry entry, std::function<bool()> ready)
    : agent_(agent),
      entry_(std::move(entry)),
      ready_(std::move(ready)),
      timer_(agent.scheduler.timer([this] { act(); })),
      deadline_(agent.scheduler.timer([this] {
        fetch_.reset();
        ConsulAnswer late;
        late.timed_out = true;
        late.error = "no answer";
        done_ ? on_left(late) : fail(late);
      })) {}

void Registration::start() { timer_->start(Millis(0)); }

void Registration::ask(ConsulQuery query, void (Registration::*then)(const ConsulAnswer&)) {
  query.endpoint = kEndpoint;
  deadline_->start(done_ ? kFarewell : kDeadline);
  fetch_ = agent_.consul.ask(query, [this, then](const ConsulAnswer& answer) {
    const auto ended = std::move(fetch_);
    deadline_->stop();
    (this->*then)(answer);
  });
}

void Registration::act() {
  ConsulQuery query;
  if (registered_) {
    query.path = "/v1/agent/service/" + escape_url(entry_.id);
    ask(std::move(query), &Registration::on_looked);
    return;
  }
  told_ = true;
  query.method = "PUT";
  query.path = "/v1/agent/service/register";
  query.params = {{"replace-existing-checks", "true"}};
  query.body = entry_.body(ready_());
  ask(std::move(query), &Registration::on_registered);
}

void Registration::on_registered(const ConsulAnswer& answer) {
  if (answer.status != 200) return fail(answer);
  agent_.consul.count(kEndpoint, QueryOutcome::kOk);
  registered_ = true;
  faults_ = 0;
  log::info("register: {} is in Consul's catalog as {}", entry_.id, entry_.service);
  trouble_.clear();
  timer_->start(kLookEvery);
}

void Registration::on_looked(const ConsulAnswer& answer) {
  if (answer.status != 200 && answer.status != 404) return fail(answer);
  agent_.consul.count(kEndpoint, QueryOutcome::kOk);
  faults_ = 0;
  trouble_.clear();
  registered_ = answer.status == 200;
  if (!registered_) log::info("register: the agent has forgotten {}", entry_.id);
  timer_->start(registered_ ? kLookEvery : Millis(0));
}

void Registration::fail(const ConsulAnswer& answer) {
  const int status = answer.status;
  agent_.consul.count(kEndpoint, status >= 500          ? QueryOutcome::k5xx
                                 : status >= 400        ? QueryOutcome::k4xx
                                 : answer.timed_out     ? QueryOutcome::kTimeout
                                 : answer.error.empty() ? QueryOutcome::kMalformed
                                                        : QueryOutcome::kError);
  note(answer.error.empty() ? "HTTP " + std::to_string(status) : answer.error);
  // What fails for the agent's sake may pass soon; what is refused won't.
  const Millis cap = status == 0 || status >= 500 ? kLookEvery : kRetryCap;
  timer_->start(std::min(cap, kRetryBase * (1 << std::min(faults_++, 10U))));
}

void Registration::note(const std::string& error) {
  if (error == trouble_) return;
  trouble_ = error;
  log::warn("register: {} is not in Consul's catalog: {}; trying again", entry_.id, error);
}

void Registration::leave(std::function<void()> done) {
  done_ = std::move(done);
  timer_ = agent_.scheduler.timer([this] { end(); });
  deadline_->stop();
  fetch_.reset();
  if (!told_) {
    timer_->start(Millis(0));
    return;
  }
  ConsulQuery query;
  query.method = "PUT";
  query.path = "/v1/agent/service/deregister/" + escape_url(entry_.id);
  ask(std::move(query), &Registration::on_left);
}

void Registration::on_left(const ConsulAnswer& answer) {
  if (answer.status == 200) {
    agent_.consul.count(kEndpoint, QueryOutcome::kOk);
    log::info("register: {} is taken out of Consul's catalog", entry_.id);
  } else if (registered_) {
    log::warn("register: {} stays in Consul's catalog: {}", entry_.id, answer.error);
  }
  end();
}

void Registration::end() { std::exchange(done_, nullptr)(); }

}  // namespace lictor
