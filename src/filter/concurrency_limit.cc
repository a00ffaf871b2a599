// `concurrency_limit`: {"requests": 100, "key": "route"}. At most that many requests on their way
// at once under a key, over all workers; beyond: 503. A request is on its way until its response is
// complete, a tunnel until it ends.
#include <string>

#include "filter/limit_key.h"
#include "filter/makers.h"
#include "filter/shared.h"

namespace lictor {
namespace {

constexpr uint32_t kMostRequests = 1'000'000;

class ConcurrencyLimit : public Filter {
 public:
  std::string_view name() const override { return "concurrency_limit"; }
  Step on_request(Call& call) const override {
    FilterShared& shared = call.shared();
    const Hash128 place = limit_hash(shared.seed, identity, key.of(call, call.request().fields));
    if (!shared.in_use.enter(place, requests)) {
      call.reply(Error{Failure::kOverloaded, false, "too many requests at once"});
      return Step::kStop;
    }
    call.state() = call.arena().make<Hash128>(place);
    return Step::kNext;
  }
  void on_done(Call& call) const override {
    const auto* place = static_cast<const Hash128*>(call.state());
    if (place != nullptr) call.shared().in_use.leave(*place);
  }

  Hash128 identity;
  uint32_t requests = 0;
  LimitKey key{LimitKey::Kind::kRoute};
};

}  // namespace

FilterPtr make_concurrency_limit(const JsonValue& config, const FilterContext& context) {
  auto limit = std::make_shared<ConcurrencyLimit>();
  config.read_object([&](JsonObject& object) {
    object.whole("requests", limit->requests, 1, kMostRequests);
    if (!object.has("requests")) object.fail("requests is missing: how many at once?");
    limit->key.read(object);
  });
  // Without the number: another one counts those that are on their way already.
  limit->identity = limit_identity(context.owner, config.path(), limit->key.to_string());
  return limit;
}

}  // namespace lictor
