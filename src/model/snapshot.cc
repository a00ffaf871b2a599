#include "model/snapshot.h"

#include <algorithm>

namespace lictor {

const Upstream* Snapshot::find_upstream(std::string_view service) const {
  const auto found = std::lower_bound(
      upstreams.begin(), upstreams.end(), service,
      [](const auto& upstream, std::string_view wanted) { return upstream->service < wanted; });
  return found != upstreams.end() && (*found)->service == service ? found->get() : nullptr;
}

const Route* Snapshot::find_route(std::string_view name) const {
  const auto found = std::lower_bound(
      routes.begin(), routes.end(), name,
      [](const auto& route, std::string_view wanted) { return route->name < wanted; });
  return found != routes.end() && (*found)->name == name ? found->get() : nullptr;
}

}  // namespace lictor
