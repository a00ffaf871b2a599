#include "control/catalog.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "control/json_bounded.h"

namespace lictor {
namespace {

using answer::Malformed;
using nlohmann::json;

constexpr size_t kMaxHostName = 253;

bool is_host_name(std::string_view host) {
  return !host.empty() && host.size() <= kMaxHostName && host.front() != '.' &&
         std::all_of(host.begin(), host.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '-' || c == '_';
         });
}

Health health_of_check(const json& check, const std::string& where) {
  if (!check.is_object()) throw Malformed{where + ": no object"};
  const auto id = answer::text(check, "CheckID", where);
  const auto status = answer::need_text(check, "Status", where);
  if (status == "passing") return Health::kPassing;
  if (status == "warning") return Health::kWarning;
  if (status != "critical" && status != "maintenance") {
    throw Malformed{where + ".Status: no status of Consul's"};
  }
  const bool maintenance = status == "maintenance" || id == "_node_maintenance" ||
                           id.starts_with("_service_maintenance:");
  return maintenance ? Health::kMaintenance : Health::kCritical;
}

bool keep_member(std::string& section, int depth, const std::string& key) {
  if (depth == 2) section = key;
  const bool of_check = section == "Checks" && depth == 4;
  if (of_check) return key == "CheckID" || key == "Status" || key == "Output";
  return depth != 3 || (key != "TaggedAddresses" && key != "Proxy" && key != "Connect");
}

struct Checked {
  Health health = Health::kPassing;  // the worst of all checks; the order of Health is theirs
  bool unproven = false;
};

Checked read_checks(const json& entry, const std::string& where) {
  Checked out;
  const json* checks = answer::find(entry, "Checks");
  if (checks == nullptr) return out;
  if (!checks->is_array()) throw Malformed{where + ".Checks: no array"};
  bool proven_bad = false;
  for (const auto& check : *checks) {
    const Health health = health_of_check(check, where + ".Checks");
    const bool ran = !answer::text(check, "Output", where + ".Checks").empty();
    out.health = std::max(out.health, health);
    proven_bad =
        proven_bad || health == Health::kMaintenance || (health == Health::kCritical && ran);
  }
  out.unproven = out.health == Health::kCritical && !proven_bad;
  return out;
}

uint32_t read_weight(const json& service, Health health, const std::string& where) {
  const json* weights = answer::find(service, "Weights");
  if (weights == nullptr) return 1;
  if (!weights->is_object()) throw Malformed{where + ".Weights: no object"};
  const auto passing = answer::whole(*weights, "Passing", 1, where + ".Weights");
  const auto warning = answer::whole(*weights, "Warning", 1, where + ".Weights");
  const auto weight = health == Health::kWarning ? warning : passing;
  return static_cast<uint32_t>(std::clamp<int64_t>(weight, 0, kMaxWeight));
}

std::vector<std::string> read_tags(const json& service, const std::string& where) {
  std::vector<std::string> tags;
  const json* value = answer::find(service, "Tags");
  if (value == nullptr) return tags;
  if (!value->is_array()) throw Malformed{where + ".Tags: no array"};
  for (const auto& tag : *value) {
    if (!tag.is_string()) throw Malformed{where + ".Tags: no string"};
    tags.push_back(tag.get<std::string>());
  }
  return tags;
}

std::map<std::string, std::string> read_meta(const json& service, const std::string& where) {
  std::map<std::string, std::string> meta;
  const json* value = answer::find(service, "Meta");
  if (value == nullptr) return meta;
  if (!value->is_object()) throw Malformed{where + ".Meta: no object"};
  for (const auto& [key, member] : value->items()) {
    if (!member.is_string()) throw Malformed{where + ".Meta: no string"};
    meta.emplace(key, member.get<std::string>());
  }
  return meta;
}

void read_entry(const json& entry, const std::string& where, ServiceAnswer& out) {
  if (!entry.is_object()) throw Malformed{where + ": no object"};
  const json& node = answer::need_object(entry, "Node", where);
  const json& service = answer::need_object(entry, "Service", where);
  Instance instance;
  instance.node = answer::need_text(node, "Node", where + ".Node");
  instance.datacenter = answer::text(node, "Datacenter", where + ".Node");
  instance.id = answer::need_text(service, "ID", where + ".Service");
  instance.tags = read_tags(service, where + ".Service");
  instance.meta = read_meta(service, where + ".Service");
  const Checked checked = read_checks(entry, where);
  instance.health = checked.health;
  instance.weight = read_weight(service, instance.health, where + ".Service");

  const auto node_address = answer::text(node, "Address", where + ".Node");
  const auto own_address = answer::text(service, "Address", where + ".Service");
  const auto port = answer::whole(service, "Port", 0, where + ".Service");
  const bool reachable =
      set_address(instance, own_address.empty() ? node_address : own_address, port);
  instance.usable =
      reachable && !has_name(instance) && healthy_enough(instance, HealthFloor::kWarning);
  out.instances.push_back(std::move(instance));
  out.unproven.push_back(checked.unproven);
}

}  // namespace

bool set_address(Instance& instance, std::string_view host, int64_t port) {
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const bool port_good = port > 0 && port <= 65'535;
  instance.socket_address = SocketAddress(IpAddress(), 0);
  if (const auto ip = IpAddress::parse(host)) {
    const SocketAddress parsed(*ip, port_good ? static_cast<uint16_t>(port) : uint16_t{0});
    if (port_good) {
      instance.socket_address = parsed;
      instance.address = parsed.to_string();
      return true;
    }
  }
  const bool v6 = host.find(':') != std::string_view::npos;
  instance.address = (v6 ? "[" : "") + std::string(host) + (v6 ? "]:" : ":") + std::to_string(port);
  return port_good && is_host_name(host);
}

bool has_name(const Instance& instance) {
  const auto parts = split_host_port(instance.address);
  return parts && parts->port != 0 && is_host_name(parts->host) && !IpAddress::parse(parts->host);
}

bool healthy_enough(const Instance& instance, HealthFloor floor) {
  if (instance.weight == 0) return false;
  return instance.health == Health::kPassing ||
         (instance.health == Health::kWarning && floor == HealthFloor::kWarning);
}

std::expected<ServiceAnswer, std::string> parse_health(std::string_view body) try {
  const json entries =
      answer::parse(body, [section = std::string()](int depth, const std::string& key) mutable {
        return keep_member(section, depth, key);
      });
  if (!entries.is_array()) throw Malformed{"no array"};
  if (entries.size() > kMaxInstances) {
    throw Malformed{"more than " + std::to_string(kMaxInstances) + " instances"};
  }
  ServiceAnswer out;
  out.instances.reserve(entries.size());
  for (const auto& entry : entries) {
    read_entry(entry, "[" + std::to_string(out.instances.size()) + "]", out);
  }
  return out;
} catch (const Malformed& malformed) {
  return std::unexpected(malformed.what);
}

}  // namespace lictor
