#include "filter/makers.h"

#include <algorithm>
#include <array>

#include "filter/names.h"
#include "http/rules.h"

namespace lictor {
namespace {

struct Maker {
  std::string_view name;
  FilterPtr (*make)(const JsonValue&, const FilterContext&);
};

constexpr auto kMakers = std::to_array<Maker>({
    {"api_key", make_api_key},
    {"basic_auth", make_basic_auth},
    {"body_limit", make_body_limit},
    {"compress", make_compress},
    {"concurrency_limit", make_concurrency_limit},
    {"cors", make_cors},
    {"external_auth", make_external_auth},
    {"fault", make_fault},
    {"ip_access", make_ip_access},
    {"jwt", make_jwt},
    {"mirror", make_mirror},
    {"rate_limit", make_rate_limit},
    {"redirect", make_redirect},
    {"request_headers", make_request_headers},
    {"respond", make_respond},
    {"response_headers", make_response_headers},
    {"rewrite", make_rewrite},
});

}  // namespace

FilterPtr make_filter(std::string_view name, const JsonValue& config,
                      const FilterContext& context) {
  const auto* found = std::find_if(kMakers.begin(), kMakers.end(),
                                   [name](const Maker& maker) { return maker.name == name; });
  if (found == kMakers.end()) {
    std::vector<std::string_view> known{"use"};
    for (const Maker& maker : kMakers) known.push_back(maker.name);
    config.fail("unknown filter" + did_you_mean(name, known));
    return nullptr;
  }
  const size_t before = config.problems().size();
  FilterPtr filter = found->make(config, context);
  return config.problems().size() == before ? filter : nullptr;
}

bool check_filter_field(const JsonValue& at, std::string_view name) {
  if (!is_token(name) || name.size() > 256) {
    at.fail(in_quotes(name) + R"( is not a header name such as "X-Request-Id")");
    return false;
  }
  const FieldId id = field_id(name);
  if (id == FieldId::kHost) {
    at.fail(R"(Host is changed with {"rewrite": {"host": "..."}}, or with "host" of the upstream)");
    return false;
  }
  if (is_hop_by_hop(id) || id == FieldId::kContentLength || id == FieldId::kExpect ||
      id == FieldId::kTrailer) {
    at.fail(in_quotes(name) + " belongs to one connection: the gateway writes it itself");
    return false;
  }
  return true;
}

void read_own_service(JsonObject& object, std::string& service) {
  const auto at = object.find("service");
  if (!at) {
    object.fail("service is missing");
  } else if (at->read_text(service)) {
    const std::string wrong = check_service_name(service);
    if (!wrong.empty()) at->fail(wrong);
  }
}

}  // namespace lictor
