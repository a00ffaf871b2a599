// Makes filters from documents: {"respond": {"status": 503}}. One file a filter, one line in the
// table of makers.cc; each reads its own document and reports what is wrong with it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "filter/filter.h"

namespace lictor {

using FilterPtr = std::shared_ptr<const Filter>;

// What a filter may know of the place that it is made for.
struct FilterContext {
  // The captures that ${path.<name>} may use. Null = any: filters of the gateway and shared ones
  // meet all routes.
  const std::vector<std::string>* captures = nullptr;
  // The document that it stands in ("routes/users", "filters/limit", "gateway"): what a filter
  // keeps under this and its path there lives on when the document changes elsewhere.
  std::string owner;
};

// One filter: the member `name` of its document, with `config` as its value. Null when something is
// wrong with it, and then a problem says what.
FilterPtr make_filter(std::string_view name, const JsonValue& config, const FilterContext& context);

// The makers.
FilterPtr make_api_key(const JsonValue& config, const FilterContext& context);
FilterPtr make_basic_auth(const JsonValue& config, const FilterContext& context);
FilterPtr make_body_limit(const JsonValue& config, const FilterContext& context);
FilterPtr make_compress(const JsonValue& config, const FilterContext& context);
FilterPtr make_concurrency_limit(const JsonValue& config, const FilterContext& context);
FilterPtr make_cors(const JsonValue& config, const FilterContext& context);
FilterPtr make_external_auth(const JsonValue& config, const FilterContext& context);
FilterPtr make_fault(const JsonValue& config, const FilterContext& context);
FilterPtr make_ip_access(const JsonValue& config, const FilterContext& context);
FilterPtr make_jwt(const JsonValue& config, const FilterContext& context);
FilterPtr make_mirror(const JsonValue& config, const FilterContext& context);
FilterPtr make_rate_limit(const JsonValue& config, const FilterContext& context);
FilterPtr make_redirect(const JsonValue& config, const FilterContext& context);
FilterPtr make_request_headers(const JsonValue& config, const FilterContext& context);
FilterPtr make_respond(const JsonValue& config, const FilterContext& context);
FilterPtr make_response_headers(const JsonValue& config, const FilterContext& context);
FilterPtr make_rewrite(const JsonValue& config, const FilterContext& context);

// What several makers share.
// A header name that a filter may set or remove; a problem at `at` when it is none: not a token, or
// one that frames or belongs to a connection.
bool check_filter_field(const JsonValue& at, std::string_view name);
// The required `service` that a filter asks itself.
void read_own_service(JsonObject& object, std::string& service);

}  // namespace lictor
