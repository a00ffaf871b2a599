// `rate_limit`: {"rate": 100, "per": "1s", "burst": 200, "key": "client_ip"}. A token bucket for
// each key, one for all workers: `burst` requests at once, and `rate` more in each `per`, evenly.
// Beyond: 429. Every answer tells what is left, by the fields that clients know from elsewhere
// (RateLimit-Limit and its kin) and by those of the IETF's draft (RateLimit, RateLimit-Policy).
#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include "filter/fleet_limit.h"
#include "filter/limit_key.h"
#include "filter/makers.h"
#include "filter/rate_table.h"
#include "filter/shared.h"
#include "io/loop.h"

namespace lictor {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr uint64_t kMostRate = 1'000'000;            // requests, and requests a second
constexpr Millis kMostPer{30 * 24 * 3600 * 1000LL};  // 30 days
constexpr int64_t kLongestWindow = JsonObject::kYear.count() * 1'000'000;

// Named arrays, so that a field of another's making never has its name here: this tells the fields
// of these filters from those of a service.
constexpr char kLimit[] = "RateLimit-Limit";
constexpr char kRemaining[] = "RateLimit-Remaining";
constexpr char kReset[] = "RateLimit-Reset";
constexpr char kPolicy[] = "RateLimit-Policy";
constexpr char kState[] = "RateLimit";
constexpr std::array<std::string_view, 5> kNames{kLimit, kRemaining, kReset, kPolicy, kState};

uint64_t whole_seconds(int64_t ns) { return static_cast<uint64_t>((ns + kSecond - 1) / kSecond); }

std::string_view decimal(uint64_t value, Arena& arena) {
  char* out = arena.chars(20);
  return {out, static_cast<size_t>(std::to_chars(out, out + 20, value).ptr - out)};
}

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

bool has_one_of_the_names(const Field& field) {
  if (field.name.size() < kNames.back().size() || (field.name[0] | 0x20) != 'r') return false;
  return std::any_of(kNames.begin(), kNames.end(), [&field](std::string_view name) {
    return equals_ignore_case(field.name, name);
  });
}

bool is_ours(const Field& field) {
  return std::any_of(kNames.begin(), kNames.end(),
                     [&field](std::string_view name) { return field.name.data() == name.data(); });
}

// What all rate limits of the request say so far: a field for each of kNames. What a service says
// with these names is dropped.
class Told {
 public:
  explicit Told(Fields& fields) {
    fields.remove_if(
        [](const Field& field) { return has_one_of_the_names(field) && !is_ours(field); });
    for (Field& field : fields) {
      for (size_t i = 0; i < kNames.size(); ++i) {
        if (field.name.data() == kNames[i].data()) found_[i] = &field;
      }
    }
    // Another filter may have taken some of them away.
    whole_ = std::find(found_.begin(), found_.end(), nullptr) == found_.end();
    if (!whole_) fields.remove_if(is_ours);
  }
  bool anything() const { return whole_; }
  std::string_view& operator[](size_t i) { return found_[i]->value; }

 private:
  std::array<Field*, kNames.size()> found_{};
  bool whole_ = false;
};

class RateLimitFilter : public Filter {
 public:
  std::string_view name() const override { return "rate_limit"; }
  Step on_request(Call& call) const override;
  void on_response(Call& call) const override;
  void on_done(Call& call) const override;

  RateLimit limit;
  LimitKey key;
  Hash128 identity;
  std::optional<FleetLimit> fleet;
  std::string policy_name;  // "client_ip-1s", in quotes
  std::string policy;       // the draft's: name, quota and window

 private:
  // What a request leaves in its arena. With `fleet` it is an Asked, which on_done ends.
  struct Counted {
    RateVerdict verdict;
    Hash128 place;
  };
  class Asked;

  Step ask_fleet(Call& call, const LimitKey::Value& value, const Counted& counted,
                 int64_t now) const;
  void refuse(Call& call, const RateVerdict& verdict) const;
};

// A request that waits for Redis, and what it was told.
class RateLimitFilter::Asked final : public Counted, public RedisLink::Asker {
 public:
  Asked(const RateLimitFilter& filter, Call& call, const Counted& counted, int64_t now)
      : Counted(counted), filter_(filter), call_(call), asked_ns_(now) {}

  void on_answer(std::optional<RedisLink::Answer> answer) override {
    FilterShared& shared = call_.shared();
    if (answer) {
      verdict = rate_verdict(filter_.limit, answer->allowed, answer->full_ns);
      // As of when it was asked: never later than Redis has it.
      shared.rates.put(place, asked_ns_ + answer->full_ns, asked_ns_);
    } else {
      shared.redis.count_alone();
    }
    if (!verdict.allowed) filter_.refuse(call_, verdict);
    call_.resume();  // the last: the call may be gone
  }

 private:
  const RateLimitFilter& filter_;
  Call& call_;
  const int64_t asked_ns_;
};

Step RateLimitFilter::on_request(Call& call) const {
  FilterShared& shared = call.shared();
  const LimitKey::Value value = key.of(call, call.request().fields);
  const Hash128 place = limit_hash(shared.seed, identity, value);
  const auto now = static_cast<int64_t>(monotonic_ns());
  const Counted counted{shared.rates.take(place, limit, now), place};
  if (fleet) return ask_fleet(call, value, counted, now);
  call.state() = call.arena().make<Counted>(counted);
  if (counted.verdict.allowed) return Step::kNext;
  refuse(call, counted.verdict);
  return Step::kStop;
}

Step RateLimitFilter::ask_fleet(Call& call, const LimitKey::Value& value, const Counted& counted,
                                int64_t now) const {
  void* memory = call.arena().allocate(sizeof(Asked), alignof(Asked));
  auto* asked = new (memory) Asked(*this, call, counted, now);
  call.state() = static_cast<Counted*>(asked);
  if (!counted.verdict.allowed) {
    refuse(call, counted.verdict);
    return Step::kStop;
  }
  RedisLinks& links = call.shared().redis;
  RedisLink& link = links.link(call.loop(), fleet->target());
  if (link.ask(*asked, fleet->bucket(value, call.arena()), limit, fleet->timeout())) {
    return Step::kWait;
  }
  links.count_alone();
  return Step::kNext;
}

void RateLimitFilter::on_done(Call& call) const {
  if (!fleet) return;
  std::destroy_at(static_cast<Asked*>(static_cast<Counted*>(call.state())));
}

void RateLimitFilter::refuse(Call& call, const RateVerdict& verdict) const {
  Fields fields;
  const uint64_t wait = std::max<uint64_t>(1, whole_seconds(verdict.retry_ns));
  fields.add(call.arena(), "Retry-After", decimal(wait, call.arena()));
  call.count_rate_limited();
  call.reply(Error{Failure::kRateLimited, false, "too many requests"}, fields);
}

// The tightest of several limits is the one that has the least left, then the one that takes the
// longest.
void RateLimitFilter::on_response(Call& call) const {
  const RateVerdict& verdict = static_cast<const Counted*>(call.state())->verdict;
  Arena& arena = call.arena();
  Fields& fields = call.response().fields;
  const auto remaining = static_cast<uint64_t>(verdict.remaining);
  const uint64_t reset = whole_seconds(verdict.full_ns);
  const std::string_view left = decimal(remaining, arena);
  const std::string_view full = decimal(reset, arena);
  const std::string_view state = arena.concat(policy_name, ";r=", left, ";t=", full);
  Told told(fields);
  if (!told.anything()) {
    const std::array<std::string_view, kNames.size()> values{
        decimal(static_cast<uint64_t>(limit.burst()), arena), left, full, policy, state};
    for (size_t i = 0; i < kNames.size(); ++i) {
      fields.add(arena, Field{kNames[i], values[i], FieldId::kOther});
    }
    return;
  }
  told[3] = arena.concat(policy, ", ", told[3]);
  told[4] = arena.concat(state, ", ", told[4]);
  const uint64_t least = number(told[1]);
  if (remaining > least || (remaining == least && reset <= number(told[2]))) return;
  told[0] = decimal(static_cast<uint64_t>(limit.burst()), arena);
  told[1] = left;
  told[2] = full;
}

// --- the document --------------------------------------------------------------------------------

void read_rate(JsonObject& object, Millis& per, RateLimit& limit) {
  uint64_t rate = 0;
  object.duration("per", per, Millis{1}, kMostPer);
  if (!object.has("rate")) object.fail("rate is missing: how many requests in each per?");
  const bool read = object.whole("rate", rate, 1, kMostRate);
  uint64_t burst = rate;
  object.whole("burst", burst, 1, kMostRate);
  if (!read) return;
  const int64_t per_ns = per.count() * 1'000'000;
  limit.interval_ns = per_ns / static_cast<int64_t>(rate);
  if (limit.interval_ns < kSecond / static_cast<int64_t>(kMostRate)) {
    return object.fail("rate", "is more than 1000000 requests a second");
  }
  if (static_cast<int64_t>(burst) > kLongestWindow / limit.interval_ns) {
    return object.fail(object.has("burst") ? "burst" : "rate",
                       "would take more than a year to come back");
  }
  limit.window_ns = limit.interval_ns * static_cast<int64_t>(burst);
}

}  // namespace

FilterPtr make_rate_limit(const JsonValue& config, const FilterContext& context) {
  auto filter = std::make_shared<RateLimitFilter>();
  Millis per{1000};
  config.read_object([&](JsonObject& object) {
    read_rate(object, per, filter->limit);
    filter->key.read(object);
    filter->fleet = FleetLimit::read(object);
  });
  const RateLimit& limit = filter->limit;
  filter->policy_name =
      "\"" + std::string(filter->key.kind_name()) + "-" + format_duration(per) + "\"";
  filter->policy = filter->policy_name + ";q=" + std::to_string(limit.burst()) +
                   ";w=" + std::to_string(whole_seconds(limit.window_ns));
  const std::string what = filter->key.to_string() + " " + std::to_string(limit.interval_ns) + " " +
                           std::to_string(limit.window_ns);
  filter->identity = limit_identity(context.owner, config.path(), what);
  if (filter->fleet) {
    filter->fleet->set_identity(context.owner + '\n' + config.path() + '\n' + what);
  }
  return filter;
}

}  // namespace lictor
