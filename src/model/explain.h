// Which route would take a request, and why not the others: what `GET /v1/explain` answers. For
// people, not for traffic: it looks at every route. Nothing is sent, no state is touched.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/snapshot.h"

namespace lictor {

struct ExplainRequest {
  std::string method;
  std::string url;  // "http://host/path?query", or "/path?query" with a Host among the headers
  std::vector<std::pair<std::string, std::string>> headers;
};

struct PassedOver {
  std::string route;
  std::string why;  // the first thing that speaks against it: "header x-env is absent"
};

struct Explanation {
  const Route* route = nullptr;  // of the snapshot that was asked; null = none takes it
  std::vector<std::pair<std::string, std::string>> captures;
  std::vector<std::string> allow;  // no route, but one with another method: these
  // What the upstream would be asked for: path and query after the filters. Empty when a filter
  // answers (then `answered_by` and `status` tell which and how), or no route.
  std::string upstream_path;
  std::string answered_by;
  uint16_t status = 0;
  std::vector<std::string> filters;     // the gateway's and the route's, by name, in order
  std::vector<std::string> not_run;     // those of them that explain can't run: they may do more
  std::vector<PassedOver> passed_over;  // the nearest first, at most kMaxPassedOver
  size_t passed_over_total = 0;

  static constexpr size_t kMaxPassedOver = 20;
};

// The error says what is wrong with the request.
std::expected<Explanation, std::string> explain(const Snapshot& snapshot,
                                                const ExplainRequest& request);

}  // namespace lictor
