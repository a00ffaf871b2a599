// Reads the answers of /v1/health/service/<name>: pure functions from bytes to instances. An answer
// is understood whole or not at all: what Consul never sends (wrong types, missing parts) makes it
// malformed, so that a list with holes is never taken for the truth. What a registration can hold
// but nobody can use (port 70000, an empty address, weight 0) is an instance that is not usable.
#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "model/upstream.h"

namespace lictor {

inline constexpr size_t kMaxInstances = 20'000;  // of one service
inline constexpr uint32_t kMaxWeight = 65'535;   // Consul's own; more is cut down to it

struct ServiceAnswer {
  // In the order of the answer. `usable` is by checks, weight and address alone (the floor of
  // HealthFloor::kWarning); an address that is a name has no socket_address yet.
  std::vector<Instance> instances;
  // As `instances`: critical for no other reason than that a check has not run yet, as it is for a
  // while after an agent's restart. Such a check has printed nothing.
  std::vector<bool> unproven;
};
std::expected<ServiceAnswer, std::string> parse_health(std::string_view body);

// Whether the checks and the weight let an instance be used under a policy.
bool healthy_enough(const Instance& instance, HealthFloor floor);

// "10.0.0.7:80", "[::1]:80" or "name:80", with socket_address when it is no name. False when it can
// be neither: then only `address` is set, for people to see.
bool set_address(Instance& instance, std::string_view host, int64_t port);

// True when the address is a name that is to be resolved.
bool has_name(const Instance& instance);

}  // namespace lictor
