#include "app/event_hub.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace lictor {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json instance_json(const std::string& service, const Instance& instance) {
  return {{"service", service},
          {"id", instance.id},
          {"address", instance.address},
          {"node", instance.node},
          {"health", health_name(instance.health)},
          {"weight", instance.weight},
          {"usable", instance.usable}};
}

bool same_health(const Instance& a, const Instance& b) {
  return a.health == b.health && a.weight == b.weight && a.usable == b.usable;
}

}  // namespace

bool EventHub::join(Listener& listener) {
  if (listeners_.size() >= kMaxListeners) return false;
  listeners_.insert(&listener);
  return true;
}

void EventHub::send(std::string_view type, const std::string& json) {
  ++last_id_;
  if (listeners_.empty()) return;
  std::string text = "id: " + std::to_string(last_id_) + "\nevent: ";
  text.append(type).append("\ndata: ").append(json).append("\n\n");
  const std::vector<Listener*> all(listeners_.begin(), listeners_.end());
  for (Listener* one : all) one->on_event(text);
}

void EventHub::on_snapshot(const Snapshot& snapshot, const ConfigChange& change) {
  send("config", dump({{"revision", snapshot.revision},
                       {"routes", snapshot.routes.size()},
                       {"services", snapshot.upstreams.size()},
                       {"changed", change.changed}}));
}

void EventHub::on_state(std::string_view state) { send("state", dump({{"state", state}})); }

void EventHub::on_instances(const std::string& name, InstanceListPtr instances) {
  Service& service = services_[name];
  const InstanceListPtr before = std::exchange(service.list, std::move(instances));
  // Both lists are sorted by identity.
  static const std::vector<Instance> kNone;
  const auto& old = before ? before->instances : kNone;
  const auto& now = service.list->instances;
  size_t i = 0;
  size_t j = 0;
  const auto tell = [&](std::string_view change, const Instance& instance) {
    Json json = instance_json(name, instance);
    json["change"] = change;
    send("health", dump(json));
  };
  while (i < old.size() || j < now.size()) {
    const int order = i == old.size()   ? 1
                      : j == now.size() ? -1
                                        : old[i].identity().compare(now[j].identity());
    if (order < 0) {
      tell("removed", old[i++]);
    } else if (order > 0) {
      tell("added", now[j++]);
    } else {
      if (!same_health(old[i], now[j])) tell("changed", now[j]);
      ++i;
      ++j;
    }
  }
}

void EventHub::look_for_ejections() {
  for (auto& [name, service] : services_) {
    const uint64_t version = service.list->state->version.load(std::memory_order_acquire);
    if (std::exchange(service.version, version) != version) look(name, service);
  }
}

void EventHub::look(const std::string& name, Service& service) {
  std::set<std::string> ejected;
  for (const auto& instance : service.list->instances) {
    const bool out = instance.state->ejected();
    const std::string identity = instance.identity();
    if (out) ejected.insert(identity);
    if (out == service.ejected.contains(identity)) continue;
    Json json = instance_json(name, instance);
    json["ejected"] = out;
    json["by_operator"] = instance.state->ejected_until_ms.load() == InstanceState::kUntilRestored;
    send("ejection", dump(json));
  }
  service.ejected = std::move(ejected);
}

void EventHub::keep_only(const Snapshot& snapshot) {
  std::erase_if(services_,
                [&](const auto& entry) { return snapshot.find_upstream(entry.first) == nullptr; });
}

}  // namespace lictor
