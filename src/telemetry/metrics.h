// The numbers of the gateway. Each worker counts into cells of its own that only it writes, with
// plain relaxed stores (no locked instruction); a scrape on the control thread reads and sums them.
// Looking a cell up by its labels takes a lock and may allocate: do it once a route, upstream or
// instance, and keep the pointer. Cells of a route or instance that went are dropped at the next
// scrape after release.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "http/message.h"

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

  void observe(uint64_t us);

  std::array<Counter, kBoundsUs.size() + 1> buckets;  // not cumulative; the last is +Inf
  Counter sum_us;
};

enum class Outcome : uint8_t { kOk, k5xx, kConnectError, kTimeout, kReset, kProtocolError };
inline constexpr size_t kOutcomes = 6;
std::string_view outcome_name(Outcome outcome);  // "ok", "5xx", "connect_error", ...

// Of one route in one worker.
class RouteCells {
 public:
  struct Key {
    uint16_t listener;
    uint16_t service;  // index + 1 in the route's list of seen services; 0 = none
    Method method;
    uint16_t code;
    bool operator==(const Key&) const = default;
  };

  // By the owning worker only, when a request ends. `service` may be empty.
  void count(uint16_t listener, std::string_view service, Method method, uint16_t code,
             uint64_t duration_us);
  Counter total;         // requests_total of /v1/routes
  Counter rate_limited;  // later filters

 private:
  friend class Metrics;
  struct Series {
    Key key;
    Counter requests;
  };
  struct Service {
    std::string name;
    Histogram duration;
  };
  std::mutex mutex_;  // taken by the worker only to add a series, by the scrape to walk them
  std::vector<std::unique_ptr<Series>> series_;
  std::vector<std::unique_ptr<Service>> services_;
  Series* last_ = nullptr;  // most requests are like the one before
};

// Of one instance in one worker.
struct InstanceCells {
  std::array<Counter, kOutcomes> outcomes;
  Counter active;  // requests in flight
  Counter idle_connections;
  Counter busy_connections;
};

// Of one upstream in one worker.
struct UpstreamCells {
  Histogram duration;
  Counter retries_connect;
  Counter retries_reset;
  Counter retries_timeout;
  Counter retries_status;
  Counter retries_stale;  // a reused connection that had just been closed
};

// Of one worker.
struct WorkerCells {
  static constexpr size_t kMaxListeners = 64;
  std::array<Counter, kMaxListeners> connections;  // open, by listener
  Counter bytes_in;
  Counter bytes_out;
};

// Control-plane numbers, written by the control thread.
struct ControlCells {
  Counter config_revision;  // as a gauge
  Counter config_rejected;  // as a gauge: documents stale or rejected
};

// What the exposition needs beside the cells: the state of instances, as the control thread knows
// it.
struct InstanceGauge {
  std::string service;
  std::string state;  // passing, warning, critical, maintenance, ejected
  uint64_t count = 0;
};
struct ConsulGauge {
  bool present = false;  // false without a Consul source
  bool connected = false;
  double staleness_s = 0;
  std::map<std::pair<std::string, std::string>, uint64_t> queries;  // {endpoint, outcome}
};
struct EjectionGauge {
  std::string service;
  std::string instance;
  uint64_t total = 0;
};
struct ScrapeInput {
  std::vector<InstanceGauge> instances;
  std::vector<EjectionGauge> ejections;
  ConsulGauge consul;
  uint64_t config_revision = 0;
  uint64_t config_rejected = 0;
  uint64_t access_log_dropped = 0;
  std::string version;
};

struct InstanceTotals {
  uint64_t active = 0;
  uint64_t total = 0;
  uint64_t failures = 0;
};

// Owns all cells. Lookups from any thread; each (worker, labels) pair has one cell,
// shared_ptr-held: the worker drops its pointer when the route, upstream or instance goes, and the
// series goes with the next scrape.
class Metrics {
 public:
  Metrics(size_t workers, std::vector<std::string> listeners);
  ~Metrics();

  WorkerCells& worker(size_t worker);
  std::shared_ptr<RouteCells> route(size_t worker, std::string_view route);
  std::shared_ptr<UpstreamCells> upstream(size_t worker, std::string_view service);
  std::shared_ptr<InstanceCells> instance(size_t worker, std::string_view service,
                                          std::string_view instance);

  std::string render(const ScrapeInput& input);  // Prometheus text format 0.0.4
  uint64_t route_total(std::string_view route) const;
  InstanceTotals instance_totals(std::string_view service, std::string_view instance) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lictor
