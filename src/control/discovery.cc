#include "control/discovery.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace lictor {
namespace {

constexpr Millis kForgiveStep{1'000};

// The host of an endpoint that is a name; empty when it is an address.
std::string name_of(const Endpoint& endpoint) {
  const auto parts = split_host_port(endpoint.address);
  return parts && !IpAddress::parse(parts->host) ? std::string(parts->host) : std::string();
}

bool same(const Instance& a, const Instance& b) {
  return a.id == b.id && a.address == b.address && a.weight == b.weight && a.health == b.health &&
         a.usable == b.usable && a.node == b.node && a.datacenter == b.datacenter &&
         a.tags == b.tags && a.meta == b.meta &&
         a.socket_address.to_string() == b.socket_address.to_string();
}

void forgive_unproven(const std::map<std::string, Instance>& forgiven,
                      std::vector<Instance>& instances) {
  if (forgiven.empty()) return;
  for (auto& instance : instances) {
    const auto at = forgiven.find(instance.identity());
    if (at == forgiven.end()) continue;
    instance.health = at->second.health;
    instance.weight = at->second.weight;
    instance.usable = at->second.usable;
  }
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
    service->catalog_name = upstream.name;
    service->datacenter = upstream.datacenter;
    if (auto saved = restored_.extract(upstream.service)) {
      service->found = std::move(saved.mapped());
      service->restored = true;
    }
  }
  return *service;
}

void Discovery::restore(std::map<std::string, std::vector<Instance>> services) {
  if (agent_ != nullptr) restored_ = std::move(services);
}

void Discovery::prepare(const Snapshot& snapshot) {
  std::vector<Watch*> fresh;
  for (const auto& upstream : snapshot.upstreams) {
    Service& service = service_of(*upstream);
    if (!service.list) service.floor = upstream->policy.health;
    for (const auto& endpoint : upstream->policy.endpoints) {
      const std::string name = name_of(endpoint);
      if (name.empty()) continue;
      service.names.insert(name);
      (void)resolver_.find_all(name);
    }
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
  options.query.path = "/v1/health/service/" + escape_url(service.catalog_name);
  options.query.datacenter = service.datacenter;
  service.watch =
      std::make_unique<Watch>(*agent_, std::move(options),
                              [this, &service](const ConsulAnswer& answer, Watch::Trust trust) {
                                return on_answer(service, answer, trust);
                              });
  if (service.restored) service.watch->assume_known();
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
      service.answered = service.restored = false;
    } else if (agent_ == nullptr && !service.answered) {
      log::warn("service {} has no endpoints, and there is no Consul to find any", service.name);
      service.answered = true;
    }
    // What was not read yet has no list; it keeps the one of endpoints it had, if any.
    if (!service.endpoints.empty() || service.known()) rebuild(service);
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

bool Discovery::answered(const Upstream& upstream) const {
  const auto& endpoints = upstream.policy.endpoints;
  if (!endpoints.empty()) {
    return std::all_of(endpoints.begin(), endpoints.end(), [this](const Endpoint& endpoint) {
      const std::string name = name_of(endpoint);
      return name.empty() || resolver_.looked_up(name);
    });
  }
  if (agent_ == nullptr) return true;
  const auto at = services_.find(upstream.service);
  return at != services_.end() && at->second->known();
}

std::vector<std::string> Discovery::unanswered(const Snapshot& snapshot) const {
  std::vector<std::string> out;
  for (const auto& upstream : snapshot.upstreams) {
    if (!answered(*upstream)) out.push_back(upstream->service);
  }
  return out;
}

// From the end, as the last are asked last: while services are being read, the first look fails.
bool Discovery::all_answered(const Snapshot& snapshot) const {
  return std::all_of(snapshot.upstreams.rbegin(), snapshot.upstreams.rend(),
                     [this](const auto& upstream) { return answered(*upstream); });
}

bool Discovery::any_restored(const Snapshot& snapshot) const {
  return std::any_of(snapshot.upstreams.begin(), snapshot.upstreams.end(),
                     [this](const auto& upstream) {
                       const auto at = services_.find(upstream->service);
                       return at != services_.end() && at->second->restored;
                     });
}

std::vector<std::pair<std::string, InstanceListPtr>> Discovery::found_services() const {
  std::vector<std::pair<std::string, InstanceListPtr>> out;
  for (const auto& [name, service] : services_) {
    if (service->list && service->endpoints.empty() && service->known() && agent_ != nullptr) {
      out.emplace_back(name, service->list);
    }
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
  service.restored = false;
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
  std::set<std::string> names;
  std::vector<Instance> instances;
  if (service.endpoints.empty()) {
    instances = service.found;
    forgive_unproven(service.forgiven, instances);
    resolve(service, instances, names);
  } else {
    instances = static_instances(service, names);
  }
  want_names(service, std::move(names));
  for (auto& instance : instances) {
    instance.usable = instance.usable && healthy_enough(instance, service.floor);
  }
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

// A name is as many instances as it has addresses, or one that is not usable.
std::vector<Instance> Discovery::static_instances(const Service& service,
                                                  std::set<std::string>& names) {
  std::vector<Instance> instances;
  for (const auto& endpoint : service.endpoints) {
    Instance instance;
    instance.id = endpoint.address;
    instance.weight = endpoint.weight;
    const auto parts = split_host_port(endpoint.address);
    instance.usable = parts && set_address(instance, parts->host, parts->port);
    const std::string name = name_of(endpoint);
    if (name.empty()) {
      instances.push_back(std::move(instance));
      continue;
    }
    names.insert(name);
    const auto addresses = resolver_.find_all(name);
    for (const auto& ip : addresses) {
      Instance& one = instances.emplace_back(instance);
      one.socket_address = SocketAddress(ip, parts->port);
      one.id = one.socket_address.to_string();
    }
    instance.usable = false;
    if (addresses.empty()) instances.push_back(std::move(instance));
  }
  return instances;
}

// An instance of Consul's that is a name is one instance, whatever its addresses.
void Discovery::resolve(const Service& service, std::vector<Instance>& instances,
                        std::set<std::string>& names) {
  for (auto& instance : instances) {
    if (!has_name(instance)) continue;
    const auto parts = *split_host_port(instance.address);
    const std::string name(parts.host);
    names.insert(name);
    const auto ip = resolver_.find(name);
    if (ip) instance.socket_address = SocketAddress(*ip, parts.port);
    instance.usable = ip && healthy_enough(instance, service.floor);
  }
}

void Discovery::want_names(Service& service, std::set<std::string> names) {
  if (names == service.names) return;
  service.names = std::move(names);
  std::set<std::string> all;
  for (const auto& [key, one] : services_) all.insert(one->names.begin(), one->names.end());
  resolver_.keep_only(all);
}

void Discovery::on_resolved(const std::string& name) {
  for (auto& [key, service] : services_) {
    if (!service->names.contains(name)) continue;
    // What adopt() has not put in force yet is waited for, and no more.
    if (!service->endpoints.empty() || service->known()) rebuild(*service);
  }
  user_.on_answered();
}

}  // namespace lictor
