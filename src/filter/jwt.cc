// `jwt`: who has a good token passes, and later filters, limits and the log know who that is.
// A token is verified once and then known by its whole text, until it expires or the keys change.
#include <algorithm>
#include <ctime>
#include <utility>

#include "filter/jwt_config.h"
#include "filter/makers.h"
#include "filter/verdict_cache.h"
#include "http/rules.h"

namespace lictor {
namespace {

constexpr size_t kCachedTokens = 16'384;
constexpr size_t kCachedBytes = 32 << 20;
constexpr uint64_t kLongestWaitMs = 5'000;

constexpr const char* kChallenge = "Bearer";
constexpr const char* kInvalid = "Bearer error=\"invalid_token\"";
constexpr const char* kScope = "Bearer error=\"insufficient_scope\"";

class Jwt final : public Filter {
 public:
  explicit Jwt(JwtConfig config)
      : config_(std::move(config)), known_(kCachedTokens, kCachedBytes) {}

  std::string_view name() const override { return "jwt"; }
  std::shared_ptr<KeySource> remote_keys() const override {
    return config_.keys->uri().empty() ? nullptr : config_.keys;
  }
  Step on_request(Call& call) const override;
  void on_done(Call& call) const override;

 private:
  // What is known of the cached ones: good then, and with which keys.
  struct Known {
    TokenPtr token;
    uint64_t keys_version = 0;
  };

  // A request that came before the first keys.
  class Waiting final : public KeyWaiter {
   public:
    Waiting(const Jwt& filter, Call& call, std::string_view token)
        : filter_(filter), call_(&call), token_(token) {
      timer_.bind<&Waiting::on_keys>(this);
      call.loop().arm(timer_, kLongestWaitMs);
    }
    void on_keys() override {
      if (call_ == nullptr) return;
      Call& call = *call_;
      cancel();
      filter_.judge(call, token_, false);
      call.resume();
    }
    void cancel() {
      call_ = nullptr;
      Loop::cancel(timer_);
      filter_.config_.keys->forget(this);
    }

   private:
    const Jwt& filter_;  // outlives the call
    Call* call_;         // null once it went on, or ended
    std::string_view token_;
    Timer timer_;
  };

  // Of one request, in its arena.
  struct State {
    TokenPtr token;
    std::shared_ptr<Waiting> waiting;
  };
  static State& state_of(Call& call) {
    void*& word = call.state();
    if (word == nullptr) word = new (call.arena().allocate(sizeof(State), alignof(State))) State{};
    return *static_cast<State*>(word);
  }

  void strip_forwarded(Call& call) const;
  Step judge(Call& call, std::string_view text, bool may_wait) const;
  Step without_keys(Call& call, std::string_view text, bool may_wait) const;
  std::expected<TokenPtr, TokenFault> verify(std::string_view text,
                                             const KeySource::Current& keys) const;
  Step accept(Call& call, TokenPtr token) const;
  bool has_wanted(const Token& token) const;
  static Step refuse(Call& call, Failure failure, const char* challenge, const char* reason,
                     const char* detail);

  const JwtConfig config_;
  mutable VerdictCache<Known> known_;
};

Step Jwt::on_request(Call& call) const {
  Credential found;
  for (const auto& place : config_.from) {
    found = place.find(call.request());
    if (found.shown != Shown::kNothing) break;
  }
  strip_forwarded(call);
  switch (found.shown) {
    case Shown::kRepeated:
      return refuse(call, Failure::kUnauthorized, kInvalid, "repeated", "more than one token");
    case Shown::kNothing:
      if (!config_.required) return Step::kNext;
      return refuse(call, Failure::kUnauthorized, kChallenge, "missing", "there is no token");
    case Shown::kOne:
      break;
  }
  return judge(call, found.value, true);
}

void Jwt::on_done(Call& call) const {
  auto* state = static_cast<State*>(call.state());
  if (state == nullptr) return;
  if (state->waiting) state->waiting->cancel();
  state->~State();
  call.state() = nullptr;
}

// Whatever comes of the token: what stands there has come from the gateway.
void Jwt::strip_forwarded(Call& call) const {
  if (config_.forward_claims.empty()) return;
  call.request().fields.remove_if([this](const Field& field) {
    return std::any_of(
        config_.forward_claims.begin(), config_.forward_claims.end(),
        [&field](const ForwardedClaim& one) { return same_to_anybody(field.name, one.header); });
  });
}

Step Jwt::judge(Call& call, std::string_view text, bool may_wait) const {
  const int64_t now = time(nullptr);
  const uint64_t version = config_.keys->version();
  if (version == 0) return without_keys(call, text, may_wait);
  std::expected<TokenPtr, TokenFault> token;
  auto known = known_.find(text, now);
  if (known && known->keys_version == version) {
    const auto still = check_times(*known->token, config_.rules, now);
    token = still ? std::expected<TokenPtr, TokenFault>(std::move(known->token))
                  : std::unexpected(still.error());
  } else {
    token = verify(text, config_.keys->current());
  }
  if (token) return accept(call, std::move(*token));
  if (token.error() == TokenFault::kUnknownKey) config_.keys->want_fresh();
  return refuse(call, Failure::kUnauthorized, kInvalid, token_fault_name(token.error()),
                "the token is not valid");
}

Step Jwt::without_keys(Call& call, std::string_view text, bool may_wait) const {
  if (may_wait) {
    auto waiting = std::make_shared<Waiting>(*this, call, text);
    switch (config_.keys->wait(call.loop(), waiting)) {
      case KeySource::Wait::kWaits:
        state_of(call).waiting = std::move(waiting);
        return Step::kWait;
      case KeySource::Wait::kNow:
        waiting->cancel();
        return judge(call, text, false);
      case KeySource::Wait::kNever:
        waiting->cancel();
        break;
    }
  }
  call.count_auth_failure("keys_unavailable");
  call.reply(Error{Failure::kNoResources, false, "the issuer's keys could not be fetched yet"});
  return Step::kStop;
}

std::expected<TokenPtr, TokenFault> Jwt::verify(std::string_view text,
                                                const KeySource::Current& keys) const {
  auto token = verify_token(text, *keys.keys, config_.rules, time(nullptr));
  if (token) {
    const int64_t until = (*token)->expires_s + config_.rules.leeway_s;
    known_.put(text, {*token, keys.version}, (*token)->bytes(), until);
  }
  return token;
}

Step Jwt::accept(Call& call, TokenPtr token) const {
  Arena& arena = call.arena();
  State& state = state_of(call);
  state.token = std::move(token);
  call.set_claims(*state.token);
  const std::string_view user = state.token->find(config_.user_claim);
  if (!user.empty() && is_field_value(user)) call.set_user(arena.copy(user));
  if (!has_wanted(*state.token)) {
    return refuse(call, Failure::kForbidden, kScope, "claims", "a claim that is needed is missing");
  }
  for (const ForwardedClaim& one : config_.forward_claims) {
    const std::string_view value = state.token->find(one.claim);
    if (value.empty() || !is_field_value(value)) continue;
    call.request().fields.add(arena, Field{one.header, arena.copy(value), one.id});
  }
  return Step::kNext;
}

bool Jwt::has_wanted(const Token& token) const {
  return std::all_of(
      config_.require_claims.begin(), config_.require_claims.end(), [&](const WantedClaim& wanted) {
        const Token::Claim* claim = token.claim(wanted.name);
        return claim != nullptr &&
               std::any_of(claim->values.begin(), claim->values.end(), [&](const auto& value) {
                 return std::find(wanted.values.begin(), wanted.values.end(), value) !=
                        wanted.values.end();
               });
      });
}

Step Jwt::refuse(Call& call, Failure failure, const char* challenge, const char* reason,
                 const char* detail) {
  call.count_auth_failure(reason);
  Fields fields;
  fields.add(call.arena(), "WWW-Authenticate", challenge);
  call.reply(Error{failure, false, detail}, fields);
  return Step::kStop;
}

}  // namespace

FilterPtr make_jwt(const JsonValue& config, const FilterContext&) {
  JwtConfig read = read_jwt_config(config);
  return config.problems().empty() ? std::make_shared<Jwt>(std::move(read)) : nullptr;
}

}  // namespace lictor
