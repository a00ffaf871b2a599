// An upstream: the policy of one service, the immutable list of its instances, and the live
// state that outlives both. Policies and lists are replaced whole, never changed; live state is
// keyed by instance identity (see `identity`), shared by all workers, and survives every
// replacement.
#pragma once

#include <atomic>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/duration.h"
#include "io/tls_context.h"

namespace lictor {

enum class Health : uint8_t { kPassing, kWarning, kCritical, kMaintenance };
std::string_view health_name(Health health);  // as in /v1/upstreams

// Passive health of one instance. Written on failures only; see proxy/ejection.h for the rules.
struct InstanceState {
  static constexpr int64_t kUntilRestored = INT64_MAX;  // ejected by an operator

  std::atomic<uint32_t> consecutive_failures{0};
  std::atomic<int64_t> ejected_until_ms{0};  // steady clock; 0 = not ejected
  uint32_t ejections = 0;                    // in a row; guarded by UpstreamState::mutex
  std::atomic<int64_t> returned_ms{0};       // end of the last ejection
  std::atomic<uint64_t> ejections_total{0};

  bool ejected() const { return ejected_until_ms.load(std::memory_order_acquire) != 0; }
};

// Shared by all workers. `version` moves when the set of ejected instances does, so that each
// balancer knows to rebuild; `next_return_ms` is the earliest end of an ejection (INT64_MAX =
// none).
struct UpstreamState {
  std::mutex mutex;
  std::atomic<uint64_t> version{0};
  std::atomic<int64_t> next_return_ms{INT64_MAX};

  // Against the policy's limits, over all workers. Requests are counted only when there is a limit.
  std::atomic<uint32_t> connections{0};
  std::atomic<uint32_t> requests{0};
  std::atomic<uint32_t> pending{0};  // requests that wait for a connection
  // One a worker, by its address: called from any thread when another worker's waiters want room.
  std::map<const void*, std::function<void()>> wakers;  // guarded by mutex
};

struct Instance {
  std::string id;       // Consul's ServiceID; the address for a static endpoint
  std::string address;  // "10.0.0.7:80" as shown; socket_address is what is dialled
  SocketAddress socket_address;
  uint32_t weight = 1;  // already Weights.Passing or Weights.Warning, by health; 0 = out
  Health health = Health::kPassing;
  std::string node;
  std::string datacenter;
  std::vector<std::string> tags;
  std::map<std::string, std::string> meta;
  std::shared_ptr<InstanceState> state;

  // By checks and weight alone (policy.health considered by the maker); ejection comes on top.
  bool usable = true;
  // What must be equal for pools, ejection and counters to go on: node, id and address.
  std::string identity() const { return node + '\0' + id + '\0' + address; }
};

// `instances` are sorted by identity, which is unique within a list. `state` is never null.
struct InstanceList {
  std::vector<Instance> instances;
  std::shared_ptr<UpstreamState> state;
};
using InstanceListPtr = std::shared_ptr<const InstanceList>;

// Gives the list and every instance their state: the one they had in `previous`, else a new one;
// sorts by identity and drops later duplicates. `previous` may be null.
InstanceListPtr make_instance_list(std::vector<Instance> instances, const InstanceList* previous);

enum class Balance : uint8_t {
  kWeightedRoundRobin,
  kRoundRobin,
  kRandom,
  kLeastRequest,
  kRingHash
};
enum class HealthFloor : uint8_t { kPassing, kWarning };
enum class HostMode : uint8_t { kPreserve, kInstance, kLiteral };

struct EjectionPolicy {
  uint32_t consecutive_failures = 5;  // 0 = never eject
  Millis base_time{30'000};
  Millis max_time{300'000};
  uint32_t max_percent = 50;
  std::vector<uint16_t> failure_status = {500, 502, 503, 504};

  bool operator==(const EjectionPolicy&) const = default;
};

// What ring_hash looks at. `set`: a client without the cookie is given one.
struct HashOn {
  enum class Kind : uint8_t { kClientIp, kHeader, kCookie, kQuery };
  Kind kind = Kind::kClientIp;
  std::string name;
  bool set = false;

  bool operator==(const HashOn&) const = default;
};

// Which instances a backend takes: those with all of the tags and all of the meta pairs.
struct Subset {
  std::vector<std::string> tags;  // sorted
  std::map<std::string, std::string> meta;

  bool takes(const Instance& instance) const;
  auto operator<=>(const Subset&) const = default;
};

struct Endpoint {
  std::string address;
  uint32_t weight = 1;

  bool operator==(const Endpoint&) const = default;
};

// TLS to instances. Equal when connections of the one will do for the other.
struct UpstreamTls {
  TlsClientPtr client;  // null: plaintext

  bool operator==(const UpstreamTls& other) const {
    if (client == nullptr || other.client == nullptr) return client == other.client;
    return client->identity() == other.client->identity();
  }
};

struct UpstreamPolicy {
  Balance balance = Balance::kWeightedRoundRobin;
  HealthFloor health = HealthFloor::kWarning;
  EjectionPolicy ejection;
  Millis connect_timeout{1'000};
  Millis idle_timeout{60'000};
  HostMode host = HostMode::kPreserve;
  std::string host_literal;
  std::vector<Endpoint> endpoints;  // not empty: static, no discovery
  HashOn hash_on;
  uint32_t panic_percent = 50;  // 0 = never
  Millis slow_start{0};         // 0 = none
  // Of all workers together; 0 = no limit.
  uint32_t max_connections = 0;
  uint32_t max_pending = 1024;
  uint32_t max_requests = 0;
  uint32_t retry_budget_percent = 20;
  UpstreamTls tls;

  bool operator==(const UpstreamPolicy&) const = default;
};

// What an instance's certificate must be for, unless tls.server_name says: the literal Host that it
// is sent, else its own name or IP address.
std::string_view tls_host(const UpstreamPolicy& policy, std::string_view instance_address);

struct Upstream {
  std::string service;  // the key: the name, and "@dc2" behind it when a datacenter is asked for
  uint32_t index = 0;   // in Snapshot::upstreams
  UpstreamPolicy policy;
  std::string name;                    // as Consul knows it
  std::string datacenter;              // empty = the agent's
  std::vector<Subset> subsets = {{}};  // what backends ask for; the first takes every instance
};

}  // namespace lictor
