// The numbers of the gateway. Each worker counts into cells of its own that only it writes, with
// plain relaxed stores (no locked instruction); a scrape on the control thread reads and sums them.
// Looking a cell up by its labels takes a lock and may allocate: do it once a route, upstream or
// instance, and keep the pointer. When the last worker let go of a route, upstream or instance, the
// next scrape shows its series a last time and drops them.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/message.h"
#include "io/tls_context.h"

namespace lictor {

// Written by one thread, read by any.
class Counter {
 public:
  void add(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void sub(uint64_t n = 1) { add(~n + 1); }  // for gauges: active requests, open connections
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Durations in microseconds, into the buckets of kBounds (seconds in the exposition).
class Histogram {
 public:
  static constexpr std::array<uint32_t, 16> kBoundsUs = {
      500,     1'000,   2'500,   5'000,     10'000,    25'000,    50'000,     100'000,
      250'000, 500'000, 750'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000, 30'000'000};

  void observe(uint64_t us) {
    buckets[bucket_of(us)].add();
    sum_us.add(us);
  }

  std::array<Counter, kBoundsUs.size() + 1> buckets;  // not cumulative; the last is +Inf
  Counter sum_us;

 private:
  // A bound belongs to its bucket ("le"). Without branches: the compiler makes a few vector
  // instructions of the loop.
  static size_t bucket_of(uint64_t us) {
    const auto value = static_cast<uint32_t>(std::min<uint64_t>(us, UINT32_MAX));
    uint32_t bucket = 0;
    for (const uint32_t bound : kBoundsUs) bucket += value > bound ? 1 : 0;
    return bucket;
  }
};

enum class Outcome : uint8_t { kOk, k5xx, kConnectError, kTimeout, kReset, kProtocolError };
inline constexpr size_t kOutcomes = 6;
std::string_view outcome_name(Outcome outcome);  // "ok", "5xx", "connect_error", ...

// Of one route in one worker.
class alignas(64) RouteCells {
 public:
  // By the owning worker only, when a request ends. `service` may be empty. Takes a lock and
  // allocates only for the first request of its kind.
  void count(uint16_t listener, std::string_view service, Method method, uint16_t code,
             uint64_t duration_us);
  Counter total;  // requests_total of /v1/routes
  Counter rate_limited;
  Counter mirror_dropped_body;  // too large to be mirrored
  Counter mirror_dropped_busy;  // too many mirrored requests were under way
  // By the owning worker only. `reason` is a static text, one of a few.
  void count_auth_failure(const char* reason);

 private:
  friend class Metrics;
  // 64 bits, so that comparing two is one instruction.
  struct Key {
    uint16_t listener;
    uint16_t service;  // index in services_
    uint16_t method;
    uint16_t code;  // 0 = outside 100 to 599
    bool operator==(const Key&) const = default;
  };
  struct Series {
    Key key;
    Counter requests;
  };
  struct Service {
    std::string name;
    uint16_t index;
    Histogram duration;
  };
  struct AuthFailure {
    const char* reason;
    Counter count;
  };
  static constexpr size_t kRecent = 16;

  Service& service_named(std::string_view name);
  Series& series_of(const Key& key);

  std::mutex mutex_;  // taken by the worker only to add to the deques, by the scrape to walk them
  std::deque<Series> series_;
  std::deque<Service> services_;
  std::deque<AuthFailure> auth_failures_;
  // The worker's way around the walk over series_, by a hash of the key. A request is most often
  // of the same kind as one of those before.
  Service* last_service_ = nullptr;
  std::array<Series*, kRecent> recent_{};
};

// Of one instance in one worker. Aligned as the other cells are: no two workers write to one cache
// line.
struct alignas(64) InstanceCells {
  std::array<Counter, kOutcomes> outcomes;
  Counter active;  // requests in flight
  Counter idle_connections;
  Counter busy_connections;
};

// Of one upstream in one worker.
struct alignas(64) UpstreamCells {
  Histogram duration;
  Counter retries_connect;
  Counter retries_reset;
  Counter retries_timeout;
  Counter retries_status;
  Counter retries_stale;  // a reused connection that had just been closed
};

// Of one worker.
struct alignas(64) WorkerCells {
  static constexpr size_t kMaxListeners = 64;

  // One of its requests ended, whatever route it took.
  void count(uint16_t code, uint64_t duration_us) {
    by_class[code >= 100 && code <= 599 ? code / 100 : 0].add();
    duration.observe(duration_us);
  }

  std::array<Counter, 6> by_class;  // 1xx to 5xx by their first digit; 0 = any other
  Histogram duration;
  std::array<Counter, kMaxListeners> connections;  // open, by listener
  std::array<std::array<Counter, kTlsHandshakes>, kMaxListeners> handshakes;
  Counter connections_refused;  // over limits.connections
  Counter bytes_in;
  Counter bytes_out;
};

// What the exposition needs beside the cells: what the control thread knows.
struct InstanceGauge {
  std::string service;
  std::string state;  // one of kInstanceStates
  uint64_t count = 0;
};
// Every service has a series of each; an instance is in one of them.
inline constexpr std::array<std::string_view, 5> kInstanceStates = {
    "passing", "warning", "critical", "maintenance", "ejected"};

struct ConsulGauge {
  bool present = false;  // false without a Consul source: no lictor_consul_* series
  bool connected = false;
  double staleness_s = 0;
  std::map<std::pair<std::string, std::string>, uint64_t> queries;  // {endpoint, outcome}
};
struct EjectionGauge {
  std::string service;
  std::string instance;
  uint64_t total = 0;
};
// A certificate of a listener under TLS; every such listener has one at least.
struct CertificateGauge {
  std::string listener;
  std::string name;
  int64_t not_after = 0;  // seconds since the epoch
};
struct JwksGauge {
  std::string uri;
  uint64_t ok = 0;  // fetches
  uint64_t failed = 0;
  double age_s = -1;  // of the keys in use; below 0 = there are none yet
};
// Entries with the same labels are added up (instances of one id on two nodes).
struct ScrapeInput {
  std::vector<InstanceGauge> instances;
  std::vector<EjectionGauge> ejections;
  std::vector<CertificateGauge> certificates;  // of the same labels the first to expire is shown
  ConsulGauge consul;
  std::vector<JwksGauge> jwks;
  uint64_t config_revision = 0;
  uint64_t config_rejected = 0;
  uint64_t access_log_dropped = 0;
  uint64_t traces_dropped = 0;
  uint64_t limited_alone = 0;  // requests that a fleet's rate limit was not asked for
  std::string version;
};

struct InstanceTotals {
  uint64_t active = 0;
  uint64_t total = 0;
  uint64_t failures = 0;
};

// All workers together, since the start; only `connections` is of now.
struct TrafficTotals {
  std::array<uint64_t, 6> by_class{};  // as in WorkerCells
  std::array<uint64_t, Histogram::kBoundsUs.size() + 1> buckets{};
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint64_t connections = 0;
};

// Owns all cells. Any thread. Each (worker, labels) pair has one cell: asking again gives the same
// one for as long as anybody holds it or one of another worker with the same labels. The cells live
// on after the Metrics, for a holder that is late.
class Metrics {
 public:
  Metrics(size_t workers, std::vector<std::string> listeners);
  ~Metrics();

  WorkerCells& worker(size_t worker);
  std::shared_ptr<RouteCells> route(size_t worker, std::string_view route);
  std::shared_ptr<UpstreamCells> upstream(size_t worker, std::string_view service);
  std::shared_ptr<InstanceCells> instance(size_t worker, std::string_view service,
                                          std::string_view instance);

  // Prometheus text format 0.0.4, UTF-8. Holds no lock that a worker waits for while it writes.
  std::string render(const ScrapeInput& input);
  uint64_t route_total(std::string_view route) const;
  // Costs a few loads a worker, however many routes there are.
  TrafficTotals traffic() const;
  uint64_t connections(size_t listener) const;  // open now
  InstanceTotals instance_totals(std::string_view service, std::string_view instance) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lictor
