// `basic_auth`: {"realm": "…", "groups": []}. A caller is known by a user and a password (RFC 7617)
// that a document consumers/<name> has as a hash of crypt(5). Such hashes cost on purpose, so they
// are computed on a pool of threads, a bounded number at once, and a pair that was good or bad is
// known for a while: by an HMAC with a key of this process, never by its text.
#include <atomic>
#include <memory>
#include <utility>

#include "filter/base64.h"
#include "filter/credential.h"
#include "filter/digest.h"
#include "filter/groups.h"
#include "filter/makers.h"
#include "filter/password.h"
#include "filter/verdict_cache.h"
#include "http/rules.h"
#include "io/loop.h"
#include "io/offload.h"

namespace lictor {
namespace {

constexpr size_t kMaxPair = 1024;  // user and password
constexpr int kMostAtOnce = 64;    // hashes that are computed or wait for it, of one filter
constexpr int64_t kGoodMs = 60'000;
constexpr int64_t kBadMs = 3'000;
constexpr size_t kGoodPairs = 8192;
constexpr size_t kBadPairs = 2048;

struct Login {
  std::string user;
  std::string password;
};

// Of "Basic dXNlcjpwYXNz"; none when it is malformed.
std::optional<Login> read_login(std::string_view text) {
  std::string pair;
  if (text.size() > kMaxPair || !decode_base64(text, pair)) return std::nullopt;
  const size_t colon = pair.find(':');
  const bool controls = std::any_of(pair.begin(), pair.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (colon == std::string::npos || controls) return std::nullopt;
  return Login{pair.substr(0, colon), pair.substr(colon + 1)};
}

// What outlives the filter while the pool works for it.
struct Verdicts {
  const Digest key = random_digest();
  VerdictCache<bool> good{kGoodPairs, 4 << 20};
  VerdictCache<bool> bad{kBadPairs, 1 << 20};
  std::atomic<int> at_once{0};
};

class BasicAuth final : public Filter {
 public:
  BasicAuth(std::string_view realm, std::vector<std::string> groups)
      : challenge_(R"(Basic realm=")" + quoted(realm) + R"(", charset="UTF-8")"),
        groups_(std::move(groups)) {}

  std::string_view name() const override { return "basic_auth"; }
  Step on_request(Call& call) const override;
  void on_done(Call& call) const override {
    auto* check = static_cast<Check*>(std::exchange(call.state(), nullptr));
    if (check != nullptr) check->abandon();
  }

 private:
  // One hash that is computed for a call, which may be gone when it is done.
  class Check final : public OffloadedWork {
   public:
    Check(const BasicAuth& by, Call& waiting, Login login)
        : filter_(by), call_(waiting), verdicts_(by.verdicts_), login_(std::move(login)) {
      verdicts_->at_once.fetch_add(1, std::memory_order_relaxed);
    }
    ~Check() override { verdicts_->at_once.fetch_sub(1, std::memory_order_relaxed); }
    Check(const Check&) = delete;
    Check& operator=(const Check&) = delete;

    void work() override {
      if (abandoned_) return;
      // Somebody may have been faster: browsers ask several times at once.
      good_ =
          verdicts_->good.find(as_text(digest), now_ms).has_value() ||
          (!verdicts_->bad.find(as_text(digest), now_ms) && verify_password(login_.password, hash));
    }
    void done() override {
      if (abandoned_) return;
      good_ = good_ && consumer != nullptr;
      const int64_t until = now_ms + (good_ ? kGoodMs : kBadMs);
      (good_ ? verdicts_->good : verdicts_->bad).put(as_text(digest), good_, 0, until);
      call_.state() = nullptr;
      filter_.answer(call_, good_ ? consumer : nullptr);
      call_.resume();
    }
    // The call has ended.
    void abandon() { abandoned_ = true; }

    const Consumer* consumer = nullptr;  // the call's; null = nobody of that name
    std::string hash;
    Digest digest{};
    int64_t now_ms = 0;

   private:
    const BasicAuth& filter_;  // may be gone once this is abandoned, as the call is
    Call& call_;
    const std::shared_ptr<Verdicts> verdicts_;
    const Login login_;
    std::atomic<bool> abandoned_{false};
    bool good_ = false;
  };

  static std::string quoted(std::string_view text) {
    std::string out;
    for (const char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    return out;
  }
  Step refuse(Call& call, const char* reason, const char* detail) const {
    return unauthorized(call, challenge_, reason, detail);
  }
  Step answer(Call& call, const Consumer* consumer) const {
    if (consumer != nullptr) return admit(call, *consumer, groups_);
    return refuse(call, "password", "the user or the password is wrong");
  }

  const CredentialPlace place_{CredentialPlace::In::kHeader, "Authorization",
                               FieldId::kAuthorization, "Basic"};
  const std::string challenge_;
  const std::vector<std::string> groups_;
  const std::shared_ptr<Verdicts> verdicts_ = std::make_shared<Verdicts>();
};

Step BasicAuth::on_request(Call& call) const {
  const Credential found = place_.find(call.request());
  if (found.shown == Shown::kNothing) return refuse(call, "missing", "there are no credentials");
  if (found.shown == Shown::kRepeated)
    return refuse(call, "repeated", "more than one Authorization");
  auto login = read_login(found.value);
  if (!login) return refuse(call, "malformed", "the credentials are malformed");

  const Consumers* consumers = call.consumers();
  const Consumers::Account* account =
      consumers == nullptr ? nullptr : consumers->find_user(login->user);
  const Consumer* consumer = account == nullptr ? nullptr : account->consumer;
  // Somebody unknown costs as much as the others, so that the time doesn't tell who is known.
  const std::string* hash = account != nullptr     ? account->hash
                            : consumers != nullptr ? consumers->any_hash()
                                                   : nullptr;
  if (hash == nullptr) return answer(call, nullptr);

  const auto now_ms = static_cast<int64_t>(call.loop().now_ms());
  const Digest digest = hmac_sha256(
      verdicts_->key, {login->user, login->password, *hash, consumer == nullptr ? "" : "known"});
  if (verdicts_->good.find(as_text(digest), now_ms)) return answer(call, consumer);
  if (verdicts_->bad.find(as_text(digest), now_ms)) return answer(call, nullptr);
  if (verdicts_->at_once.load(std::memory_order_relaxed) >= kMostAtOnce) {
    call.count_auth_failure("overloaded");
    call.reply(Error{Failure::kNoResources, false, "too many passwords are being checked"});
    return Step::kStop;
  }
  auto check = std::make_unique<Check>(*this, call, std::move(*login));
  check->consumer = consumer;
  check->hash = *hash;
  check->digest = digest;
  check->now_ms = now_ms;
  call.state() = check.get();
  offload(call.loop(), std::move(check));
  return Step::kWait;
}

}  // namespace

FilterPtr make_basic_auth(const JsonValue& config, const FilterContext&) {
  std::string realm = "lictor";
  std::vector<std::string> groups;
  config.read_object([&](JsonObject& object) {
    if (object.text("realm", realm) && realm.size() > 256) {
      object.fail("realm", "has more than 256 bytes");
    }
    read_groups(object, groups);
  });
  return std::make_shared<BasicAuth>(realm, std::move(groups));
}

}  // namespace lictor
