// `ip_access`: {"allow": [], "deny": []}. Goes by the client's address behind `trusted_proxies`.
// One that is in `deny` is refused, whatever `allow` says; with `allow`, so is one that is not in
// it.
#include <algorithm>
#include <vector>

#include "base/address.h"
#include "filter/makers.h"

namespace lictor {
namespace {

constexpr size_t kMaxRanges = 1024;

bool any_contains(const std::vector<Cidr>& ranges, const IpAddress& ip) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&ip](const Cidr& range) { return range.contains(ip); });
}

class IpAccess : public Filter {
 public:
  std::string_view name() const override { return "ip_access"; }
  Step on_request(Call& call) const override {
    const IpAddress& ip = call.client_ip();
    if (!any_contains(deny, ip) && (allow.empty() || any_contains(allow, ip))) return Step::kNext;
    call.reply(Error{Failure::kForbidden, false, "the client's address has no access"});
    return Step::kStop;
  }

  std::vector<Cidr> allow;
  std::vector<Cidr> deny;
};

void read_ranges(JsonObject& object, std::string_view key, std::vector<Cidr>& ranges) {
  object.array(key, 0, kMaxRanges, [&ranges](const JsonValue& item) {
    std::string text;
    if (!item.read_text(text)) return;
    if (const auto range = Cidr::parse(text)) {
      ranges.push_back(*range);
    } else {
      item.fail(in_quotes(text) + R"( is not an address or a range such as "10.0.0.0/8")");
    }
  });
}

}  // namespace

FilterPtr make_ip_access(const JsonValue& config, const FilterContext&) {
  auto filter = std::make_shared<IpAccess>();
  config.read_object([&](JsonObject& object) {
    read_ranges(object, "allow", filter->allow);
    read_ranges(object, "deny", filter->deny);
    if (filter->allow.empty() && filter->deny.empty()) {
      object.fail("lets everybody in: give it addresses in allow or deny");
    }
  });
  return filter;
}

}  // namespace lictor
