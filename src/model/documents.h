// The documents of SPEC 3, each read alone: text to a typed value, or what is wrong with it. What
// documents say about each other (a shared filter's name) is resolved by the compiler.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "filter/consumers.h"
#include "filter/makers.h"
#include "model/route_table.h"
#include "model/upstream.h"

namespace lictor {

enum class DocumentKind : uint8_t { kGateway, kRoute, kUpstream, kFilter, kConsumer };

// What a key says ("routes/users"): its kind and name, empty for the gateway's.
struct DocumentKey {
  DocumentKind kind = DocumentKind::kGateway;
  std::string name;
};
// The problem is at "$": an unknown kind, a kind of a later version, a name that can't be one.
std::expected<DocumentKey, Problem> parse_document_key(std::string_view key);

// One place in a list of filters: a filter, or the name of a shared one.
struct FilterSlot {
  FilterPtr filter;
  std::string use;   // not empty: `filter` is null
  std::string path;  // "$.filters[0]"
};

// All of a route but its index, its chain and the indexes of its upstreams.
struct RouteDocument {
  Route route;
  std::vector<FilterSlot> filters;
};

struct GatewayDocument {
  std::vector<FilterSlot> filters;
  UpstreamPolicy upstream_defaults;
};

template <class T>
using Parsed = std::expected<T, Problems>;

Parsed<RouteDocument> parse_route(std::string_view name, std::string_view text);
// What the document leaves out is as in `defaults`.
Parsed<UpstreamPolicy> parse_upstream(std::string_view text, const UpstreamPolicy& defaults);
Parsed<GatewayDocument> parse_gateway(std::string_view text);
Parsed<FilterPtr> parse_filter(std::string_view name, std::string_view text);
Parsed<Consumer> parse_consumer(std::string_view name, std::string_view text);

// Shared by the readers.
void read_filters(JsonObject& object, const FilterContext& context, std::vector<FilterSlot>& slots);
void read_upstream(JsonObject& object, UpstreamPolicy& policy);
// A list of statuses from `least` to 599.
void read_statuses(JsonObject& object, std::string_view key, uint16_t least,
                   std::vector<uint16_t>& out);

}  // namespace lictor
