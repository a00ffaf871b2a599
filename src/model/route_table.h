// Routes and the table that finds the one for a request, by SPEC 3's total order: priority, host
// (exact before wildcard, longest first, none last), then literal > {param} > * segment by segment,
// then regular expressions, then the more conditions (methods, headers, query, cookies), then the
// name.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "filter/filter.h"
#include "model/condition.h"
#include "model/upstream.h"

namespace lictor {

// Which failures of a try are tried again, as bits.
struct RetryPolicy {
  uint32_t attempts = 1;  // tries after the first
  bool on_connect = true;
  bool on_reset = false;
  bool on_timeout = false;
  bool on_refused_stream = false;  // HTTP/2: refused before anything was done
  std::vector<uint16_t> on_status;
  Millis per_try_timeout{0};
  std::vector<std::string> methods = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"};
};

// Instances that may take a request: of one service, all or those of a subset.
struct Destination {
  std::string service;
  std::string datacenter;  // empty = the agent's
  Subset subset;
  uint32_t upstream = 0;      // Upstream::index in the same snapshot
  uint32_t subset_index = 0;  // in Upstream::subsets

  // Upstream::service of the upstream that it means.
  std::string upstream_key() const {
    return datacenter.empty() ? service : service + "@" + datacenter;
  }
};

struct Backend : Destination {
  uint32_t weight = 1;
  std::vector<Destination> failover;  // in this order, when there is no usable instance
  bool instance_host =
      false;  // Host sent is the instance's address, whatever the upstream's policy
};

struct Route {
  std::string name;
  uint32_t index = 0;                // in Snapshot::routes
  std::vector<std::string> hosts;    // lower case; "*.example.org" = wildcard; empty = any
  std::vector<std::string> paths;    // patterns as written
  std::vector<RegexPtr> regexes;     // of the paths that are regular expressions, in their order
  std::vector<std::string> methods;  // empty = any; exactly those: GET doesn't bring HEAD along
  Conditions conditions;
  int32_t priority = 0;
  std::vector<Backend> backends;
  uint64_t total_weight = 0;  // of backends
  FilterChain filters;
  Millis timeout{15'000};  // 0 = none
  RetryPolicy retries;

  // What counts for precedence: all methods together are one.
  size_t condition_count() const { return conditions.size() + (methods.empty() ? 0 : 1); }
};

struct Capture {
  std::string_view name;   // owned by the route table
  std::string_view value;  // a part of the path that was matched
};

struct Match {
  static constexpr size_t kMaxCaptures = 16;

  const Route* route = nullptr;
  // When no route took the request but one would have with another method, its conditions holding.
  bool method_mismatch = false;
  std::array<Capture, kMaxCaptures> captures;
  size_t capture_count = 0;
};

// What a route is matched against. `host` is lower case without port (normalise_host in
// http/uri.h); `path` normalised, without query. A path that doesn't begin with '/' matches
// nothing.
struct RouteKey {
  std::string_view method;
  std::string_view host;
  std::string_view path;
  RequestData data;  // looked at only when a candidate for host and path has conditions
};

class RouteTable {
 public:
  RouteTable();
  ~RouteTable();
  RouteTable(RouteTable&&) noexcept;
  RouteTable& operator=(RouteTable&&) noexcept;

  // Routes must outlive the table (the snapshot owns both).
  void build(const std::vector<std::shared_ptr<const Route>>& routes);
  // Allocates nothing itself (see Condition::holds and Regex). Cost: the path's length and the
  // candidates of that path, not the number of routes; then, when none of those took the request,
  // the regular expressions of its host one by one.
  void match(const RouteKey& key, Match& match) const;
  // The same for a CORS preflight about the method `asked` (preflight_method in filter/cors.h): it
  // goes where a request with that method would, and as any other OPTIONS when none takes that.
  // Returns the method that counted; with an empty `asked` the request's own.
  std::string_view match_preflight(const RouteKey& key, std::string_view asked, Match& match) const;
  // The methods that routes of this host and path whose conditions hold allow, sorted, unique: for
  // 405's Allow. May allocate.
  std::vector<std::string> allowed_methods(const RouteKey& key) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lictor
