#include "control/jwks.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include "base/json.h"
#include "base/log.h"
#include "control/backoff.h"
#include "filter/key_source.h"
#include "http/rules.h"

namespace lictor {
namespace {

constexpr size_t kSkippedInLog = 3;

template <class F>
void for_each_source(const Snapshot& snapshot, F f) {
  const auto walk = [&f](const FilterChain& chain) {
    for (const auto& filter : chain) {
      if (const auto source = filter->remote_keys()) f(source);
    }
  };
  walk(snapshot.filters);
  for (const auto& route : snapshot.routes) walk(route->filters);
}

// The keys of an answer, or what is wrong with it. Keys of other kinds are no reason to do without
// the rest, and told in `skipped`.
std::expected<KeySet, std::string> read_answer(const HttpResponse& response, Problems& skipped) {
  if (!response.error.empty()) return std::unexpected(response.error);
  if (response.status >= 300 && response.status < 400) {
    return std::unexpected("HTTP " + std::to_string(response.status) +
                           ": redirects are not followed");
  }
  if (response.status != 200) return std::unexpected("HTTP " + std::to_string(response.status));
  KeySet keys;
  skipped = read_json(response.body, JsonComments::kNo,
                      [&keys](const JsonValue& root) { keys = read_key_set(root); });
  if (!keys.keys.empty()) return keys;
  if (skipped.empty()) return std::unexpected("no key for signatures");
  return std::unexpected(skipped.front().to_string());
}

}  // namespace

Millis jwks_age(std::string_view cache_control) {
  Millis age = Jwks::kUsualAge;
  for_each_element(cache_control, [&age](std::string_view element) {
    constexpr std::string_view kMaxAge = "max-age=";
    if (equals_ignore_case(element, "no-store") || equals_ignore_case(element, "no-cache")) {
      age = Millis(0);
      return false;
    }
    if (element.size() <= kMaxAge.size() ||
        !equals_ignore_case(element.substr(0, kMaxAge.size()), kMaxAge)) {
      return true;
    }
    uint32_t seconds = 0;
    const char* const begin = element.data() + kMaxAge.size();
    const char* const end = element.data() + element.size();
    const auto [stop, error] = std::from_chars(begin, end, seconds);
    if (error == std::errc::result_out_of_range) age = Jwks::kMostAge;
    if (error == std::errc() && stop == end) age = Millis(int64_t{seconds} * 1000);
    return true;
  });
  return std::clamp(age, Jwks::kLeastAge, Jwks::kMostAge);
}

// All about one URI.
class Jwks::Entry {
 public:
  Entry(Jwks& owner, std::string uri)
      : owner_(owner),
        uri_(std::move(uri)),
        due_(owner.scheduler_.timer([this] { fetch(); })),
        wish_(owner.scheduler_.timer([this] { grant(); })) {}

  bool answered() const { return keys_ != nullptr || failed_ != 0; }

  void attach(const std::shared_ptr<KeySource>& source) {
    std::erase_if(sources_, [](const auto& one) { return one.expired(); });
    const bool known = std::any_of(sources_.begin(), sources_.end(),
                                   [&source](const auto& one) { return one.lock() == source; });
    if (known) return;
    sources_.push_back(source);
    source->set_bell([bell = owner_.bell_] { bell->ring(); });
    if (keys_) {
      source->set(keys_);
    } else if (failed_ != 0) {
      source->fail();
    }
    if (!fetch_ && !answered()) fetch();
  }

  // Somebody wants fresh keys, perhaps: now, or when the last wish is long enough ago. Until then
  // it stays said, so that no worker says it again.
  void look_for_wishes() {
    const Millis now = owner_.scheduler_.now();
    if (!last_wish_ || *last_wish_ + kBetweenWishes <= now) {
      grant();
    } else {
      wish_->start(*last_wish_ + kBetweenWishes - now);
    }
  }

  JwksStatus status() const {
    JwksStatus out;
    out.uri = uri_;
    out.ok = ok_;
    out.failed = failed_;
    out.last_error = error_;
    if (keys_) {
      out.keys = keys_->keys.size();
      const Millis age = owner_.scheduler_.now() - fetched_at_;
      out.age_s = static_cast<double>(age.count()) / 1000;
    }
    return out;
  }

 private:
  void grant() {
    bool wanted = false;
    for (const auto& one : sources_) {
      if (const auto source = one.lock()) wanted |= source->take_wanted();
    }
    if (!wanted) return;
    last_wish_ = owner_.scheduler_.now();
    if (!fetch_) fetch();
  }

  void fetch() {
    due_->stop();
    HttpRequest request;
    request.url = uri_;
    request.headers = {"Accept: application/jwk-set+json, application/json"};
    request.timeout = kTimeout;
    request.max_body = kMaxBytes;
    fetch_ = owner_.fetcher_.fetch(std::move(request),
                                   [this](const HttpResponse& response) { take(response); });
  }

  void take(const HttpResponse& response) {
    fetch_.reset();
    const bool first = !answered();
    Problems skipped;
    auto keys = read_answer(response, skipped);
    if (keys) {
      ++ok_;
      fetched_at_ = owner_.scheduler_.now();
      backoff_.reset();
      if (!error_.empty()) log::info("jwks {}: answers again", uri_);
      error_.clear();
      if (!keys_ || text_ != response.body) adopt(std::move(*keys), response.body, skipped);
      due_->start(spread(jwks_age(response.header("cache-control"))));
    } else {
      ++failed_;
      if (error_ != keys.error()) {
        log::warn("jwks {}: {} ({})", uri_, keys.error(),
                  keys_ ? "the keys that are known stay in use" : "there are no keys yet");
      }
      error_ = keys.error();
      if (!keys_) tell([](KeySource& source) { source.fail(); });
      due_->start(backoff_.next(owner_.scheduler_, kLongestPause));
    }
    if (first) owner_.on_answered_();
  }

  void adopt(KeySet keys, const std::string& text, const Problems& skipped) {
    log::info("jwks {}: {} keys", uri_, keys.keys.size());
    for (size_t i = 0; i < std::min(skipped.size(), kSkippedInLog); ++i) {
      log::warn("jwks {}: a key is left out: {}", uri_, skipped[i].to_string());
    }
    text_ = text;
    keys_ = std::make_shared<const KeySet>(std::move(keys));
    tell([this](KeySource& source) { source.set(keys_); });
  }

  template <class F>
  void tell(F f) {
    for (const auto& one : sources_) {
      if (const auto source = one.lock()) f(*source);
    }
  }

  // Gateways that began together don't ask together for ever.
  Millis spread(Millis age) const {
    const double share = 0.1 * owner_.scheduler_.random();
    const Millis span(static_cast<int64_t>(static_cast<double>(age.count()) * share));
    return age < 2 * kLeastAge ? age + span : age - span;
  }

  Jwks& owner_;
  const std::string uri_;
  std::vector<std::weak_ptr<KeySource>> sources_;
  KeySetPtr keys_;     // null before the first good answer
  std::string text_;   // of keys_
  std::string error_;  // of the last answer; empty when it was good
  uint64_t ok_ = 0;
  uint64_t failed_ = 0;
  Millis fetched_at_{0};
  std::optional<Millis> last_wish_;
  Backoff backoff_;
  std::unique_ptr<ScheduledCall> due_;
  std::unique_ptr<ScheduledCall> wish_;
  std::unique_ptr<Fetch> fetch_;
};

Jwks::Jwks(Scheduler& scheduler, Fetcher& fetcher, const MakeDoorbell& doorbell,
           std::function<void()> on_answered)
    : scheduler_(scheduler),
      fetcher_(fetcher),
      on_answered_(std::move(on_answered)),
      bell_(doorbell([this] { on_bell(); })) {}

Jwks::~Jwks() { stop(); }

void Jwks::prepare(const Snapshot& snapshot) {
  for_each_source(snapshot, [this](const std::shared_ptr<KeySource>& source) {
    auto& entry = entries_[source->uri()];
    if (!entry) entry = std::make_unique<Entry>(*this, source->uri());
    entry->attach(source);
  });
}

bool Jwks::all_answered(const Snapshot& snapshot) const {
  bool all = true;
  for_each_source(snapshot, [&](const std::shared_ptr<KeySource>& source) {
    const auto found = entries_.find(source->uri());
    all = all && found != entries_.end() && found->second->answered();
  });
  return all;
}

void Jwks::keep_only(const Snapshot& snapshot) {
  if (entries_.empty()) return;
  std::set<std::string> named;
  for_each_source(snapshot, [&named](const auto& source) { named.insert(source->uri()); });
  std::erase_if(entries_, [&named](const auto& entry) { return !named.contains(entry.first); });
}

std::vector<JwksStatus> Jwks::status() const {
  std::vector<JwksStatus> out;
  out.reserve(entries_.size());
  for (const auto& [uri, entry] : entries_) out.push_back(entry->status());
  return out;
}

void Jwks::on_bell() {
  for (const auto& [uri, entry] : entries_) entry->look_for_wishes();
}

void Jwks::stop() {
  bell_->close();
  entries_.clear();
}

}  // namespace lictor
