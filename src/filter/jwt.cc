// `jwt`: who has a good token passes, and later filters, limits and the log know who that is.
// A token is verified once and then known by its whole text, until it expires or the keys change.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <optional>
#include <system_error>

#include "filter/credential.h"
#include "filter/key_source.h"
#include "filter/makers.h"
#include "filter/token.h"
#include "filter/verdict_cache.h"
#include "http/rules.h"

namespace lictor {
namespace {

constexpr size_t kCachedTokens = 16'384;
constexpr size_t kCachedBytes = 32 << 20;
constexpr uint64_t kLongestWaitMs = 5'000;
constexpr size_t kMaxSecret = 4096;
constexpr size_t kMaxList = 64;

constexpr const char* kChallenge = "Bearer";
constexpr const char* kInvalid = "Bearer error=\"invalid_token\"";
constexpr const char* kScope = "Bearer error=\"insufficient_scope\"";

struct WantedClaim {
  std::string name;
  std::vector<std::string> values;  // one of these
};

struct ForwardedClaim {
  std::string claim;
  std::string header;
  FieldId id;
};

struct JwtConfig {
  std::shared_ptr<KeySource> keys;
  TokenRules rules;
  bool required = true;
  std::vector<CredentialPlace> from;
  std::vector<WantedClaim> require_claims;
  std::vector<ForwardedClaim> forward_claims;
  std::string user_claim = "sub";
};

// The same header to someone who takes '_' for '-', as CGI and WSGI do.
bool same_to_anybody(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  const auto fold = [](char c) {
    if (c >= 'A' && c <= 'Z') return static_cast<char>(c | 0x20);
    return c == '_' ? '-' : c;
  };
  return std::equal(a.begin(), a.end(), b.begin(),
                    [&fold](char x, char y) { return fold(x) == fold(y); });
}

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

// --- the document --------------------------------------------------------------------------------

// A secret's file: its bytes without one line end behind them. What is wrong with it, or nothing.
std::string read_secret(const std::string& path, std::string& bytes) {
  // Not to wait for a writer, should it be a pipe.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return "can't be read: " + std::generic_category().message(errno);
  struct stat info{};
  bytes.assign(kMaxSecret + 1, '\0');
  const bool regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  const ssize_t size = regular ? read(fd, bytes.data(), bytes.size()) : -1;
  close(fd);
  if (size < 0) return "is not a file that can be read";
  bytes.resize(static_cast<size_t>(size));
  if (bytes.size() > kMaxSecret) return "is larger than 4 KiB";
  if (bytes.ends_with('\n')) bytes.pop_back();
  if (bytes.ends_with('\r')) bytes.pop_back();
  if (bytes.size() >= Jwk::kLeastSecret) return {};
  return "has " + std::to_string(bytes.size()) +
         " bytes: a secret needs 32 at least (openssl rand -hex 32)";
}

bool is_jwks_uri(std::string_view uri) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (!uri.starts_with(scheme)) continue;
    uri.remove_prefix(scheme.size());
    const std::string_view host = uri.substr(0, uri.find_first_of("/?#"));
    return !host.empty() && host.find('@') == std::string_view::npos &&
           uri.find('#') == std::string_view::npos && uri.size() <= 2048 &&
           std::all_of(uri.begin(), uri.end(), [](char c) { return c > ' ' && c < 0x7f; });
  }
  return false;
}

void read_keys(JsonObject& object, JwtConfig& config) {
  std::string uri;
  std::string file;
  int sources = 0;
  if (object.text("jwks_uri", uri)) {
    ++sources;
    if (!is_jwks_uri(uri)) {
      object.fail("jwks_uri",
                  in_quotes(uri) + R"( is not a URL such as "https://issuer/jwks.json")");
    }
    config.keys = std::make_shared<KeySource>(uri);
  }
  if (const auto jwks = object.find("jwks")) {
    ++sources;
    const size_t before = jwks->problems().size();
    KeySet keys = read_key_set(*jwks);
    if (keys.keys.empty() && jwks->problems().size() == before) {
      jwks->fail("has no key for signatures");
    }
    config.keys = std::make_shared<KeySource>(std::move(keys));
  }
  if (object.text("secret_file", file)) {
    ++sources;
    std::string secret;
    const std::string wrong = read_secret(file, secret);
    if (!wrong.empty()) object.fail("secret_file", in_quotes(file) + " " + wrong);
    KeySet keys;
    keys.keys.push_back(Jwk::secret(std::move(secret)));
    config.keys = std::make_shared<KeySource>(std::move(keys));
  }
  if (sources != 1) object.fail("must have one of jwks_uri, jwks and secret_file");
}

void read_algorithms(JsonObject& object, JwtConfig& config) {
  const bool secret = object.has("secret_file");
  const JwsAlgorithms possible = secret ? kHmacAlgorithms : kPublicKeyAlgorithms;
  JwsAlgorithms& algorithms = config.rules.algorithms;
  algorithms = possible;
  JwsAlgorithms given;
  const bool listed = object.array("algorithms", 1, kJwsAlgorithms, [&](const JsonValue& item) {
    std::string name;
    if (!item.read_text(name)) return;
    const auto algorithm = parse_jws_algorithm(name);
    if (!algorithm) {
      item.fail(in_quotes(name) + " is not an algorithm of signatures" +
                did_you_mean(name, jws_algorithm_names()));
    } else if (!possible.has(*algorithm)) {
      item.fail(name + (secret ? " needs public keys: jwks_uri or jwks" : " needs secret_file"));
    } else {
      given.add(*algorithm);
    }
  });
  if (!listed || given.empty()) return;
  algorithms = given;
  const auto keys = config.keys ? config.keys->current().keys : nullptr;
  const bool fits = keys == nullptr || keys->keys.empty() ||
                    std::any_of(keys->keys.begin(), keys->keys.end(),
                                [&](const Jwk& key) { return key.algorithms().meets(given); });
  if (!fits) object.fail("algorithms", "no key of jwks is for one of these");
}

// A text, a whole number or a truth value, as claims are compared.
void read_wanted_value(const JsonValue& at, std::vector<std::string>& values) {
  uint64_t whole = 0;
  bool flag = false;
  std::string text;
  if (at.is_text()) {
    at.read_text(text);
  } else if (at.is_whole(whole)) {
    text = std::to_string(whole);
  } else if (at.read_flag(flag)) {
    text = flag ? "true" : "false";
  }
  values.push_back(std::move(text));
}

void read_claims(JsonObject& object, JwtConfig& config) {
  object.map("require_claims", kMaxList, [&](const std::string& name, const JsonValue& value) {
    WantedClaim wanted{name, {}};
    if (value.is_array()) {
      value.read_array(1, kMaxList,
                       [&](const JsonValue& item) { read_wanted_value(item, wanted.values); });
    } else {
      read_wanted_value(value, wanted.values);
    }
    config.require_claims.push_back(std::move(wanted));
  });
  object.map("forward_claims", kMaxList, [&](const std::string& claim, const JsonValue& value) {
    std::string header;
    if (!value.read_text(header) || !check_filter_field(value, header)) return;
    const auto& known = config.forward_claims;
    if (std::any_of(known.begin(), known.end(), [&header](const ForwardedClaim& one) {
          return same_to_anybody(one.header, header);
        })) {
      value.fail("two claims for the header " + in_quotes(header));
    }
    config.forward_claims.push_back({claim, header, field_id(header)});
  });
  object.text("user_claim", config.user_claim);
}

}  // namespace

FilterPtr make_jwt(const JsonValue& config, const FilterContext&) {
  JwtConfig read;
  config.read_object([&](JsonObject& object) {
    object.text("issuer", read.rules.issuer);
    object.array("audiences", 0, kMaxList, [&read](const JsonValue& item) {
      item.read_text(read.rules.audiences.emplace_back());
    });
    read_keys(object, read);
    read_algorithms(object, read);
    Millis leeway{60'000};
    object.duration("leeway", leeway, Millis{0}, Millis{3'600'000});
    read.rules.leeway_s = (leeway.count() + 999) / 1000;
    object.flag("required", read.required);
    object.array("from", 1, 8, [&read](const JsonValue& item) {
      read_credential_place(item, true, read.from.emplace_back());
    });
    read_claims(object, read);
  });
  if (read.from.empty()) {
    read.from.push_back(
        {CredentialPlace::In::kHeader, "Authorization", FieldId::kAuthorization, "Bearer"});
  }
  return config.problems().empty() ? std::make_shared<Jwt>(std::move(read)) : nullptr;
}

}  // namespace lictor
