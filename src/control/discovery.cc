#include "control/discovery.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace lictor {
namespace {

constexpr Millis kForgiveStep{1'000};

std::vector<Instance> static_instances(const std::vector<Endpoint>& endpoints) {
  std::vector<Instance> instances;
  for (const auto& endpoint : endpoints) {
    Instance instance;
    instance.id = endpoint.address;
    instance.weight = endpoint.weight;
    const auto parts = split_host_port(endpoint.address);
    const bool good = parts && set_address(instance, parts->host, parts->port);
    if (!good) instance.address = endpoint.address;
    instance.usable = good && instance.weight != 0;
    instances.push_back(std::move(instance));
  }
  return instances;
}

bool same(const Instance& a, const Instance& b) {
  return a.id == b.id && a.address == b.address && a.weight == b.weight && a.health == b.health &&
         a.usable == b.usable && a.node == b.node && a.datacenter == b.datacenter &&
         a.tags == b.tags && a.meta == b.meta &&
         a.socket_address.to_string() == b.socket_address.to_string();
}

size_t usable_count(const std::vector<Instance>& instances) {
  return static_cast<size_t>(
      std::count_if(instances.begin(), instances.end(),
                    [](const Instance& i) { return healthy_enough(i, HealthFloor::kWarning); }));
}

// How many of `before` would be gone or be out of use.
size_t losses(const std::vector<Instance>& before, const std::vector<Instance>& after) {
  std::set<std::string> left;
  for (const auto& instance : after) left.insert(instance.identity());
  const auto gone =
      static_cast<size_t>(std::count_if(before.begin(), before.end(), [&left](const Instance& i) {
        return !left.contains(i.identity());
      }));
  const size_t usable_before = usable_count(before);
  const size_t usable_after = usable_count(after);
  return std::max(gone, usable_before - std::min(usable_before, usable_after));
}

}  // namespace

Discovery::Discovery(Scheduler& scheduler, Agent* agent, Resolver::Lookup lookup, User& user)
    : scheduler_(scheduler),
      agent_(agent),
      user_(user),
      resolver_(scheduler, std::move(lookup), [this](const std::string& n) { on_resolved(n); }),
      forgive_timer_(scheduler.timer([this] { end_forgiveness(); })) {}

Discovery::~Discovery() = default;

Discovery::Service& Discovery::service_of(const Upstream& upstream) {
  auto& service = services_[upstream.service];
  if (!service) {
    service = std::make_unique<Service>();
    service->name = upstream.service;
  }
  return *service;
}

void Discovery::prepare(const Snapshot& snapshot) {
  std::vector<Watch*> fresh;
  for (const auto& upstream : snapshot.upstreams) {
    Service& service = service_of(*upstream);
    if (!service.list) service.floor = upstream->policy.health;
    if (!upstream->policy.endpoints.empty() || service.watch || agent_ == nullptr) continue;
    watch(service);
    fresh.push_back(service.watch.get());
  }
  for (Watch* one : fresh) one->start();
}

void Discovery::watch(Service& service) {
  Watch::Options options;
  options.name = "service " + service.name;
  options.query.endpoint = "health";
  options.query.path = "/v1/health/service/" + escape_url(service.name);
  service.watch =
      std::make_unique<Watch>(*agent_, std::move(options),
                              [this, &service](const ConsulAnswer& answer, Watch::Trust trust) {
                                return on_answer(service, answer, trust);
                              });
}

void Discovery::adopt(const Snapshot& snapshot) {
  for (const auto& upstream : snapshot.upstreams) {
    Service& service = service_of(*upstream);
    service.floor = upstream->policy.health;
    service.endpoints = upstream->policy.endpoints;
    if (!service.endpoints.empty()) {
      service.watch.reset();
      service.found.clear();
      service.forgiven.clear();
      service.forgivable.clear();
      service.answered = false;
    } else if (agent_ == nullptr && !service.answered) {
      log::warn("service {} has no endpoints, and there is no Consul to find any", service.name);
      service.answered = true;
    }
    // What was not read yet has no list; it keeps the one of endpoints it had, if any.
    if (!service.endpoints.empty() || service.answered) rebuild(service);
  }
}

void Discovery::keep_only(const Snapshot& snapshot) {
  const auto before = services_.size();
  std::erase_if(services_, [&snapshot](const auto& entry) {
    return snapshot.find_upstream(entry.first) == nullptr;
  });
  if (services_.size() == before) return;
  std::set<std::string> names;
  for (const auto& [name, service] : services_) {
    names.insert(service->names.begin(), service->names.end());
  }
  resolver_.keep_only(names);
}

void Discovery::stop() {
  for (auto& [name, service] : services_) service->watch.reset();
  resolver_.keep_only({});
  forgive_timer_->stop();
}

std::vector<std::string> Discovery::unanswered(const Snapshot& snapshot) const {
  std::vector<std::string> out;
  for (const auto& upstream : snapshot.upstreams) {
    if (!upstream->policy.endpoints.empty() || agent_ == nullptr) continue;
    const auto at = services_.find(upstream->service);
    if (at == services_.end() || !at->second->answered) out.push_back(upstream->service);
  }
  return out;
}

InstanceListPtr Discovery::instances(const std::string& service) const {
  const auto at = services_.find(service);
  return at == services_.end() ? nullptr : at->second->list;
}

Watch::Verdict Discovery::on_answer(Service& service, const ConsulAnswer& answer,
                                    Watch::Trust trust) {
  auto parsed = parse_health(answer.body);
  if (!parsed) return {Watch::Verdict::kMalformed, parsed.error()};
  if (!trust.may_remove) {
    if (const size_t lost = losses(service.found, parsed->instances); lost != 0) {
      return {Watch::Verdict::kHeld, std::to_string(lost) + " of " +
                                         std::to_string(service.found.size()) +
                                         " instances would be lost"};
    }
    // A server that has just started and not caught up has nothing to say either.
    if (!service.answered && parsed->instances.empty()) {
      return {Watch::Verdict::kHeld, "no instances"};
    }
  }
  forgive(service, *parsed, trust.after_loss);
  service.found = std::move(parsed->instances);
  const bool first = !std::exchange(service.answered, true);
  // Until adopt() says so, the endpoints of the snapshot in force stay.
  const bool changed = service.endpoints.empty() && rebuild(service);
  if (first) user_.on_answered();
  return {changed ? Watch::Verdict::kChanged : Watch::Verdict::kSame, {}};
}

void Discovery::forgive(Service& service, const ServiceAnswer& answer, bool after_loss) {
  if (after_loss) {
    service.back_at = scheduler_.now();
    service.forgivable = std::exchange(service.forgiven, {});
    for (const auto& instance : service.found) {
      if (healthy_enough(instance, HealthFloor::kWarning)) {
        service.forgivable.try_emplace(instance.identity(), instance);
      }
    }
    if (!service.forgivable.empty()) forgive_timer_->start(kForgivable);
  }
  if (service.forgiven.empty() && service.forgivable.empty()) return;
  // What is not unproven now has run its checks, and counts as ever from now on.
  auto before = std::exchange(service.forgiven, {});
  for (size_t i = 0; i < answer.instances.size(); ++i) {
    if (!answer.unproven[i]) continue;
    const auto identity = answer.instances[i].identity();
    if (auto node = before.extract(identity)) {
      service.forgiven.insert(std::move(node));
    } else if (auto other = service.forgivable.extract(identity)) {
      service.forgiven.insert(std::move(other));
    }
  }
}

void Discovery::end_forgiveness() {
  bool left = false;
  for (auto& [name, service] : services_) {
    const Millis age = scheduler_.now() - service->back_at;
    if (age >= kForgivable) service->forgivable.clear();
    if (age >= kForgive && !service->forgiven.empty()) {
      service->forgiven.clear();
      rebuild(*service);
    }
    left = left || !service->forgiven.empty() || !service->forgivable.empty();
  }
  if (left) forgive_timer_->start(kForgiveStep);
}

bool Discovery::rebuild(Service& service) {
  auto instances = service.endpoints.empty() ? service.found : static_instances(service.endpoints);
  for (auto& instance : instances) {
    const auto forgiven = service.forgiven.find(instance.identity());
    if (service.endpoints.empty() && forgiven != service.forgiven.end()) {
      instance.health = forgiven->second.health;
      instance.weight = forgiven->second.weight;
      instance.usable = forgiven->second.usable;
    }
    instance.usable = instance.usable && healthy_enough(instance, service.floor);
  }
  resolve(service, instances);
  auto list = make_instance_list(std::move(instances), service.list.get());
  if (service.list &&
      std::equal(list->instances.begin(), list->instances.end(), service.list->instances.begin(),
                 service.list->instances.end(), same)) {
    return false;
  }
  service.list = std::move(list);
  user_.on_instances(service.name, service.list);
  return true;
}

void Discovery::resolve(Service& service, std::vector<Instance>& instances) {
  std::set<std::string> names;
  for (auto& instance : instances) {
    if (!has_name(instance)) continue;
    const auto parts = *split_host_port(instance.address);
    const std::string name(parts.host);
    names.insert(name);
    const auto ip = resolver_.find(name);
    if (ip) instance.socket_address = SocketAddress(*ip, parts.port);
    instance.usable = ip && healthy_enough(instance, service.floor);
  }
  if (names == service.names) return;
  service.names = std::move(names);
  std::set<std::string> all;
  for (const auto& [key, one] : services_) all.insert(one->names.begin(), one->names.end());
  resolver_.keep_only(all);
}

void Discovery::on_resolved(const std::string& name) {
  for (auto& [key, service] : services_) {
    if (service->names.contains(name)) rebuild(*service);
  }
}

}  // namespace lictor
