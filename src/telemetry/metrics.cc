// Counting, the registry of cells, and what a scrape makes of them. Rendering takes references to
// the cells under the registry's locks, and does its work after them.
#include "telemetry/metrics.h"

#include <iterator>
#include <set>
#include <tuple>

#include "telemetry/cell_family.h"
#include "telemetry/exposition.h"
#include "telemetry/process_metrics.h"

namespace lictor {
namespace {

constexpr std::array<std::string_view, kOutcomes> kOutcomeNames = {
    "ok", "5xx", "connect_error", "timeout", "reset", "protocol_error"};

constexpr std::array<std::string_view, kTlsHandshakes> kHandshakeNames = {
    "full", "resumed", "client_certificate", "protocol_error", "aborted"};

struct HistogramSum {
  std::array<uint64_t, Histogram::kBoundsUs.size() + 1> buckets{};
  uint64_t sum_us = 0;

  void add(const Histogram& histogram) {
    for (size_t i = 0; i < buckets.size(); ++i) buckets[i] += histogram.buckets[i].get();
    sum_us += histogram.sum_us.get();
  }
};

// One route over all workers.
struct RouteSum {
  using Kind = std::tuple<uint16_t, std::string, uint16_t, uint16_t>;  // listener, service, ...

  std::string_view route;
  std::map<Kind, uint64_t> requests;
  std::map<std::string, HistogramSum> durations;       // by service
  std::map<std::string_view, uint64_t> auth_failures;  // by reason
  uint64_t rate_limited = 0;
  uint64_t mirror_dropped_body = 0;
  uint64_t mirror_dropped_busy = 0;
};

struct ConnectionSum {
  uint64_t idle = 0;
  uint64_t busy = 0;
};

std::string code_label(uint16_t code) { return code == 0 ? "other" : std::to_string(code); }

}  // namespace

std::string_view outcome_name(Outcome outcome) {
  return kOutcomeNames[static_cast<size_t>(outcome)];
}

// --- counting ------------------------------------------------------------------------------------

void RouteCells::count(uint16_t listener, std::string_view service, Method method, uint16_t code,
                       uint64_t duration_us) {
  Service* seen = last_service_;
  if (seen == nullptr || seen->name != service) seen = &service_named(service);

  const Key key{listener, seen->index, static_cast<uint16_t>(method),
                code >= 100 && code <= 599 ? code : uint16_t{0}};
  const size_t slot = (key.code + key.method * 5U + key.service * 3U + key.listener * 7U) % kRecent;
  Series* series = recent_[slot];
  if (series == nullptr || series->key != key) {
    series = &series_of(key);
    recent_[slot] = series;
  }
  series->requests.add();
  seen->duration.observe(duration_us);
  total.add();
}

RouteCells::Service& RouteCells::service_named(std::string_view name) {
  auto found = std::find_if(services_.begin(), services_.end(),
                            [name](const Service& service) { return service.name == name; });
  if (found == services_.end()) {
    const std::lock_guard lock(mutex_);
    Service& service = services_.emplace_back();
    service.name = name;
    service.index = static_cast<uint16_t>(services_.size() - 1);
    found = std::prev(services_.end());
  }
  last_service_ = &*found;
  return *found;
}

RouteCells::Series& RouteCells::series_of(const Key& key) {
  const auto found = std::find_if(series_.begin(), series_.end(),
                                  [&key](const Series& series) { return series.key == key; });
  if (found != series_.end()) return *found;
  const std::lock_guard lock(mutex_);
  Series& series = series_.emplace_back();
  series.key = key;
  return series;
}

void RouteCells::count_auth_failure(const char* reason) {
  const std::string_view wanted = reason;
  auto found = std::find_if(auth_failures_.begin(), auth_failures_.end(),
                            [wanted](const AuthFailure& one) { return one.reason == wanted; });
  if (found == auth_failures_.end()) {
    const std::lock_guard lock(mutex_);
    auth_failures_.emplace_back().reason = reason;
    found = std::prev(auth_failures_.end());
  }
  found->count.add();
}

// --- the registry --------------------------------------------------------------------------------

struct Metrics::Impl {
  using RouteEntries = std::vector<std::shared_ptr<CellEntry<RouteCells>>>;
  using UpstreamEntries = std::vector<std::shared_ptr<CellEntry<UpstreamCells>>>;
  using InstanceEntries = std::vector<std::shared_ptr<CellEntry<InstanceCells>>>;

  Impl(size_t workers, std::vector<std::string> names)
      : worker_count(workers),
        listeners(std::move(names)),
        worker_cells(std::make_unique<WorkerCells[]>(workers)),
        routes(workers),
        upstreams(workers),
        instances(workers) {}

  RouteSum sum(const CellEntry<RouteCells>& entry) const;
  void render_requests(Exposition& out, const RouteEntries& entries) const;
  void render_connections(Exposition& out) const;
  void render_tls(Exposition& out, const std::vector<CertificateGauge>& certificates) const;
  void render_upstreams(Exposition& out, const UpstreamEntries& entries) const;
  void render_instances(Exposition& out, const InstanceEntries& entries) const;
  uint64_t open_connections(size_t listener) const {
    uint64_t open = 0;
    for (size_t i = 0; i < worker_count; ++i) open += worker_cells[i].connections[listener].get();
    return open;
  }
  std::string_view listener_name(size_t index) const {
    return index < listeners.size() ? std::string_view(listeners[index]) : std::string_view();
  }

  const size_t worker_count;
  const std::vector<std::string> listeners;
  const std::unique_ptr<WorkerCells[]> worker_cells;
  CellFamily<RouteCells> routes;
  CellFamily<UpstreamCells> upstreams;
  CellFamily<InstanceCells> instances;
};

Metrics::Metrics(size_t workers, std::vector<std::string> listeners)
    : impl_(std::make_unique<Impl>(workers, std::move(listeners))) {}
Metrics::~Metrics() = default;

WorkerCells& Metrics::worker(size_t worker) { return impl_->worker_cells[worker]; }

std::shared_ptr<RouteCells> Metrics::route(size_t worker, std::string_view route) {
  return impl_->routes.get(worker, route, {});
}

std::shared_ptr<UpstreamCells> Metrics::upstream(size_t worker, std::string_view service) {
  return impl_->upstreams.get(worker, service, {});
}

std::shared_ptr<InstanceCells> Metrics::instance(size_t worker, std::string_view service,
                                                 std::string_view instance) {
  return impl_->instances.get(worker, service, instance);
}

uint64_t Metrics::route_total(std::string_view route) const {
  uint64_t total = 0;
  impl_->routes.visit(route, {}, [&total](const RouteCells& cells) { total += cells.total.get(); });
  return total;
}

TrafficTotals Metrics::traffic() const {
  TrafficTotals totals;
  for (size_t worker = 0; worker < impl_->worker_count; ++worker) {
    const WorkerCells& cells = impl_->worker_cells[worker];
    for (size_t i = 0; i < totals.by_class.size(); ++i)
      totals.by_class[i] += cells.by_class[i].get();
    for (size_t i = 0; i < totals.buckets.size(); ++i) {
      totals.buckets[i] += cells.duration.buckets[i].get();
    }
    totals.bytes_in += cells.bytes_in.get();
    totals.bytes_out += cells.bytes_out.get();
    for (const Counter& open : cells.connections) totals.connections += open.get();
  }
  return totals;
}

uint64_t Metrics::connections(size_t listener) const { return impl_->open_connections(listener); }

InstanceTotals Metrics::instance_totals(std::string_view service, std::string_view instance) const {
  InstanceTotals totals;
  impl_->instances.visit(service, instance, [&totals](const InstanceCells& cells) {
    totals.active += cells.active.get();
    for (size_t i = 0; i < kOutcomes; ++i) {
      const uint64_t count = cells.outcomes[i].get();
      totals.total += count;
      if (i != static_cast<size_t>(Outcome::kOk)) totals.failures += count;
    }
  });
  return totals;
}

// --- the exposition ------------------------------------------------------------------------------

RouteSum Metrics::Impl::sum(const CellEntry<RouteCells>& entry) const {
  RouteSum sum;
  sum.route = entry.first;
  for (size_t worker = 0; worker < worker_count; ++worker) {
    RouteCells& cells = entry.cells[worker];
    const std::lock_guard lock(cells.mutex_);
    sum.rate_limited += cells.rate_limited.get();
    sum.mirror_dropped_body += cells.mirror_dropped_body.get();
    sum.mirror_dropped_busy += cells.mirror_dropped_busy.get();
    for (const auto& one : cells.auth_failures_) sum.auth_failures[one.reason] += one.count.get();
    for (const auto& series : cells.series_) {
      const auto& key = series.key;
      const std::string& service = cells.services_[key.service].name;
      sum.requests[{key.listener, service, key.method, key.code}] += series.requests.get();
    }
    for (const auto& service : cells.services_) sum.durations[service.name].add(service.duration);
  }
  return sum;
}

void Metrics::Impl::render_requests(Exposition& out, const RouteEntries& entries) const {
  std::vector<RouteSum> sums;
  sums.reserve(entries.size());
  for (const auto& entry : entries) sums.push_back(sum(*entry));

  out.counter("lictor_requests_total",
              "Requests whose response is complete or that were aborted (code 499).");
  for (const RouteSum& sum : sums) {
    for (const auto& [kind, count] : sum.requests) {
      const auto& [listener, service, method, code] = kind;
      out.sample({{"listener", listener_name(listener)},
                  {"route", sum.route},
                  {"service", service},
                  {"method", method_label(static_cast<Method>(method))},
                  {"code", code_label(code)}},
                 count);
    }
  }
  out.histogram("lictor_request_duration_seconds",
                "From the first byte of a request to the end of its response.");
  for (const RouteSum& sum : sums) {
    for (const auto& [service, duration] : sum.durations) {
      out.sample_histogram({{"route", sum.route}, {"service", service}}, Histogram::kBoundsUs,
                           duration.buckets, duration.sum_us);
    }
  }
  out.counter("lictor_auth_failures_total", "Requests that an authentication filter turned away.");
  for (const RouteSum& sum : sums) {
    for (const auto& [reason, count] : sum.auth_failures) {
      out.sample({{"route", sum.route}, {"reason", reason}}, count);
    }
  }
  out.counter("lictor_rate_limited_total", "Requests answered 429 by a rate_limit filter.");
  for (const RouteSum& sum : sums) {
    if (sum.rate_limited != 0) out.sample({{"route", sum.route}}, sum.rate_limited);
  }
  out.counter("lictor_mirror_dropped_total", "Requests that a mirror filter could not copy.");
  for (const RouteSum& sum : sums) {
    const auto drop = [&](std::string_view reason, uint64_t count) {
      if (count != 0) out.sample({{"route", sum.route}, {"reason", reason}}, count);
    };
    drop("body", sum.mirror_dropped_body);
    drop("busy", sum.mirror_dropped_busy);
  }
}

void Metrics::Impl::render_connections(Exposition& out) const {
  out.gauge("lictor_connections", "Open connections of clients.");
  const size_t count = std::min(listeners.size(), WorkerCells::kMaxListeners);
  for (size_t listener = 0; listener < count; ++listener) {
    out.sample({{"listener", listeners[listener]}}, open_connections(listener));
  }

  uint64_t refused = 0;
  uint64_t in = 0;
  uint64_t sent = 0;
  for (size_t worker = 0; worker < worker_count; ++worker) {
    refused += worker_cells[worker].connections_refused.get();
    in += worker_cells[worker].bytes_in.get();
    sent += worker_cells[worker].bytes_out.get();
  }
  out.counter("lictor_connections_refused_total",
              "Connections of clients closed at once, over limits.connections.");
  out.sample({}, refused);
  out.counter("lictor_bytes_total", "Bytes read from clients (in) and written to them (out).");
  out.sample({{"direction", "in"}}, in);
  out.sample({{"direction", "out"}}, sent);
}

void Metrics::Impl::render_tls(Exposition& out,
                               const std::vector<CertificateGauge>& certificates) const {
  if (certificates.empty()) return;
  using Labels = std::pair<std::string_view, std::string_view>;
  std::map<Labels, int64_t> expiry;
  std::set<std::string_view> secure;
  for (const auto& one : certificates) {
    secure.insert(one.listener);
    const auto [at, added] = expiry.emplace(Labels(one.listener, one.name), one.not_after);
    if (!added) at->second = std::min(at->second, one.not_after);
  }
  out.gauge("lictor_tls_certificate_expiry_seconds",
            "When a certificate ceases to be valid, in seconds since the epoch.");
  for (const auto& [labels, not_after] : expiry) {
    out.sample({{"listener", labels.first}, {"name", labels.second}},
               static_cast<uint64_t>(std::max<int64_t>(not_after, 0)));
  }
  out.counter("lictor_tls_handshakes_total", "TLS handshakes with clients, by how they ended.");
  for (size_t listener = 0; listener < listeners.size(); ++listener) {
    if (!secure.contains(listeners[listener])) continue;
    for (size_t outcome = 0; outcome < kTlsHandshakes; ++outcome) {
      uint64_t count = 0;
      for (size_t worker = 0; worker < worker_count; ++worker) {
        count += worker_cells[worker].handshakes[listener][outcome].get();
      }
      out.sample({{"listener", listeners[listener]}, {"outcome", kHandshakeNames[outcome]}}, count);
    }
  }
}

void Metrics::Impl::render_upstreams(Exposition& out, const UpstreamEntries& entries) const {
  out.histogram("lictor_upstream_duration_seconds",
                "From the choice of an instance to the end of its response, a try.");
  for (const auto& entry : entries) {
    HistogramSum sum;
    for (size_t worker = 0; worker < worker_count; ++worker) sum.add(entry->cells[worker].duration);
    out.sample_histogram({{"service", entry->first}}, Histogram::kBoundsUs, sum.buckets,
                         sum.sum_us);
  }

  struct Reason {
    std::string_view name;
    Counter UpstreamCells::* counter;
  };
  static constexpr auto kReasons = std::to_array<Reason>({
      {"connect", &UpstreamCells::retries_connect},
      {"reset", &UpstreamCells::retries_reset},
      {"timeout", &UpstreamCells::retries_timeout},
      {"status", &UpstreamCells::retries_status},
      {"stale", &UpstreamCells::retries_stale},
  });
  out.counter("lictor_retries_total", "Tries after the first, by what went wrong before.");
  for (const auto& entry : entries) {
    for (const Reason& reason : kReasons) {
      uint64_t count = 0;
      for (size_t worker = 0; worker < worker_count; ++worker) {
        count += (entry->cells[worker].*reason.counter).get();
      }
      out.sample({{"service", entry->first}, {"reason", reason.name}}, count);
    }
  }
}

void Metrics::Impl::render_instances(Exposition& out, const InstanceEntries& entries) const {
  std::map<std::string_view, ConnectionSum> connections;
  out.counter("lictor_upstream_requests_total",
              "Tries of a request on an instance, by how they ended.");
  for (const auto& entry : entries) {
    std::array<uint64_t, kOutcomes> outcomes{};
    ConnectionSum& sum = connections[entry->first];
    for (size_t worker = 0; worker < worker_count; ++worker) {
      const InstanceCells& cells = entry->cells[worker];
      for (size_t i = 0; i < kOutcomes; ++i) outcomes[i] += cells.outcomes[i].get();
      sum.idle += cells.idle_connections.get();
      sum.busy += cells.busy_connections.get();
    }
    for (size_t i = 0; i < kOutcomes; ++i) {
      // Most instances never fail; five zeros for each of 10,000 help nobody.
      if (i != static_cast<size_t>(Outcome::kOk) && outcomes[i] == 0) continue;
      out.sample(
          {{"service", entry->first}, {"instance", entry->second}, {"outcome", kOutcomeNames[i]}},
          outcomes[i]);
    }
  }
  out.gauge("lictor_upstream_connections", "Open connections to instances.");
  for (const auto& [service, sum] : connections) {
    out.sample({{"service", service}, {"state", "idle"}}, sum.idle);
    out.sample({{"service", service}, {"state", "busy"}}, sum.busy);
  }
}

namespace {

void render_states(Exposition& out, const ScrapeInput& input) {
  std::map<std::string_view, std::array<uint64_t, kInstanceStates.size()>> services;
  for (const InstanceGauge& gauge : input.instances) {
    auto& counts = services[gauge.service];
    const auto* const state =
        std::find(kInstanceStates.begin(), kInstanceStates.end(), gauge.state);
    if (state == kInstanceStates.end()) continue;
    counts[static_cast<size_t>(state - kInstanceStates.begin())] += gauge.count;
  }
  out.gauge("lictor_upstream_instances", "Known instances, each in one state.");
  for (const auto& [service, counts] : services) {
    for (size_t i = 0; i < counts.size(); ++i) {
      out.sample({{"service", service}, {"state", kInstanceStates[i]}}, counts[i]);
    }
  }

  std::map<std::pair<std::string_view, std::string_view>, uint64_t> ejections;
  for (const EjectionGauge& gauge : input.ejections) {
    ejections[{gauge.service, gauge.instance}] += gauge.total;
  }
  out.counter("lictor_upstream_ejections_total", "Times an instance was ejected.");
  for (const auto& [labels, total] : ejections) {
    out.sample({{"service", labels.first}, {"instance", labels.second}}, total);
  }
}

void render_consul(Exposition& out, const ConsulGauge& consul) {
  if (!consul.present) return;
  out.gauge("lictor_consul_connected", "1 when Consul answered last time it was asked.");
  out.sample({}, uint64_t{consul.connected ? 1U : 0U});
  out.gauge("lictor_consul_staleness_seconds", "Age of the oldest of what is known from Consul.");
  out.sample({}, consul.staleness_s);
  out.counter("lictor_consul_queries_total", "Queries to Consul that ended.");
  for (const auto& [labels, count] : consul.queries) {
    out.sample({{"endpoint", labels.first}, {"outcome", labels.second}}, count);
  }
}

void render_jwks(Exposition& out, const std::vector<JwksGauge>& jwks) {
  if (jwks.empty()) return;
  out.counter("lictor_jwks_fetches_total", "Fetches of an issuer's keys that ended.");
  for (const JwksGauge& one : jwks) {
    out.sample({{"uri", one.uri}, {"outcome", "ok"}}, one.ok);
    out.sample({{"uri", one.uri}, {"outcome", "error"}}, one.failed);
  }
  out.gauge("lictor_jwks_age_seconds", "Since the keys in use were fetched or confirmed.");
  for (const JwksGauge& one : jwks) {
    if (one.age_s >= 0) out.sample({{"uri", one.uri}}, one.age_s);
  }
}

void render_rest(Exposition& out, const ScrapeInput& input) {
  out.gauge("lictor_config_revision", "Number of the configuration in force.");
  out.sample({}, input.config_revision);
  out.gauge("lictor_config_rejected_documents",
            "Documents that are invalid: stale (the last good version in force) or left out.");
  out.sample({}, input.config_rejected);
  out.counter("lictor_access_log_dropped_total",
              "Lines of the access log that were not written: the disk was too slow or failed.");
  out.sample({}, input.access_log_dropped);
  out.counter("lictor_traces_dropped_total",
              "Spans that did not get to the collector: it was away, too slow, or refused them.");
  out.sample({}, input.traces_dropped);
  out.counter("lictor_rate_limit_redis_errors_total",
              "Requests that this gateway counted alone: the Redis of their rate limit was away, "
              "slow or refused.");
  out.sample({}, input.limited_alone);
  out.gauge("lictor_build_info", "Always 1; the labels say what runs.");
  out.sample({{"version", input.version}}, uint64_t{1});
}

}  // namespace

std::string Metrics::render(const ScrapeInput& input) {
  std::string text;
  Exposition out(text);
  impl_->render_requests(out, impl_->routes.take());
  impl_->render_connections(out);
  impl_->render_tls(out, input.certificates);
  impl_->render_upstreams(out, impl_->upstreams.take());
  impl_->render_instances(out, impl_->instances.take());
  render_states(out, input);
  render_consul(out, input.consul);
  render_jwks(out, input.jwks);
  render_rest(out, input);
  render_process_metrics(out);
  return text;
}

}  // namespace lictor
