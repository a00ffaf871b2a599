// One immutable compiled configuration: routes, upstream policies, gateway-wide filters. Built by
// the compiler on the control thread, then shared read-only by all workers. Instance lists are not
// part of it (they travel apart, see DESIGN "The way of a configuration change").
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "filter/consumers.h"
#include "filter/filter.h"
#include "model/route_table.h"
#include "model/upstream.h"

namespace lictor {

struct Snapshot {
  uint64_t revision = 0;
  std::vector<std::shared_ptr<const Route>> routes;        // by Route::index, sorted by name
  std::vector<std::shared_ptr<const Upstream>> upstreams;  // by Upstream::index, sorted by service
  FilterChain filters;                                     // the gateway's own, before a route's
  std::shared_ptr<const Consumers> consumers;              // null without any
  RouteTable table;

  const Upstream* find_upstream(std::string_view service) const;
  const Route* find_route(std::string_view name) const;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

}  // namespace lictor
