#include "control/fabio_source.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "control/json_bounded.h"
#include "model/fabio.h"

namespace lictor {
namespace {

using answer::Malformed;

constexpr size_t kMaxServices = 100'000;
constexpr auto kTaken =
    "keys below fabio/ are those of urlprefix- tags (source.fabio_tags): it needs another key, "
    "such as routes/<name>";

Watch::Options watch_options(const Agent& agent) {
  Watch::Options options;
  options.name = "catalog services";
  options.query.endpoint = "catalog";
  options.query.path = "/v1/catalog/services";
  // The documents' watch keeps a slot already; services need one too.
  options.takes_turns = agent.budget.slots() <= 2;
  return options;
}

DocumentSet documents_of(const TagsByService& tags) {
  DocumentSet set;
  for (auto& route : read_fabio_tags(tags)) {
    if (route.error.empty()) {
      set.documents.push_back({std::move(route.key), std::move(route.text), 0});
    } else {
      set.unreadable.push_back({std::move(route.key), std::move(route.error)});
    }
  }
  return set;
}

bool same(const DocumentSet& a, const DocumentSet& b) {
  const auto equal = [](const Document& one, const Document& other) {
    return one.key == other.key && one.text == other.text;
  };
  return a.unreadable == b.unreadable && std::equal(a.documents.begin(), a.documents.end(),
                                                    b.documents.begin(), b.documents.end(), equal);
}

// Documents that `after` has no more.
size_t lost(const DocumentSet& before, const DocumentSet& after) {
  const auto less = [](const Document& a, const Document& b) { return a.key < b.key; };
  return static_cast<size_t>(
      std::count_if(before.documents.begin(), before.documents.end(), [&](const Document& one) {
        return !std::binary_search(after.documents.begin(), after.documents.end(), one, less);
      }));
}

}  // namespace

std::expected<TagsByService, std::string> parse_services(std::string_view body) try {
  const auto services = answer::parse(body, [](int, const std::string&) { return true; });
  if (!services.is_object()) throw Malformed{"no object"};
  if (services.size() > kMaxServices) throw Malformed{"more than 100000 services"};
  TagsByService found;
  for (const auto& [service, tags] : services.items()) {
    if (!tags.is_array() && !tags.is_null()) throw Malformed{service + ": no array"};
    auto& list = found[service];
    for (const auto& tag : tags) {
      if (!tag.is_string()) throw Malformed{service + ": a tag is no text"};
      list.push_back(tag.get<std::string>());
    }
    // Consul's order is that of a hash.
    std::sort(list.begin(), list.end());
  }
  return found;
} catch (const Malformed& malformed) {
  return std::unexpected(malformed.what);
}

FabioSource::FabioSource(Agent& agent, const std::string& prefix, Sink sink)
    : sink_(std::move(sink)),
      kv_(agent, prefix,
          [this](DocumentSet documents) {
            written_ = std::move(documents);
            merge();
          }),
      watch_(agent, watch_options(agent), [this](const ConsulAnswer& answer, Watch::Trust trust) {
        return on_answer(answer, trust);
      }) {}

void FabioSource::start() {
  kv_.start();
  watch_.start();
}

void FabioSource::restore(const std::vector<Document>& documents) {
  written_.emplace();
  tagged_.emplace();
  for (const auto& one : documents) {
    auto& set = one.key.starts_with(kFabioKey) ? *tagged_ : *written_;
    set.documents.push_back(one);
  }
  kv_.restore(written_->documents);
  watch_.assume_known();
}

Watch::Verdict FabioSource::on_answer(const ConsulAnswer& answer, Watch::Trust trust) {
  const auto tags = parse_services(answer.body);
  if (!tags) return {Watch::Verdict::kMalformed, tags.error()};
  DocumentSet now = documents_of(*tags);
  if (!trust.may_remove) {
    if (!answered_ && tags->empty()) return {Watch::Verdict::kHeld, "no services"};
    if (const size_t gone = tagged_ ? lost(*tagged_, now) : 0; gone != 0) {
      return {Watch::Verdict::kHeld, std::to_string(gone) + " routes of tags would be lost"};
    }
  }
  answered_ = true;
  if (tagged_ && same(*tagged_, now)) return {Watch::Verdict::kSame, {}};
  tagged_ = std::move(now);
  merge();
  return {Watch::Verdict::kChanged, {}};
}

void FabioSource::merge() {
  if (!written_ || !tagged_) return;
  DocumentSet all;
  all.unreadable = written_->unreadable;
  all.unreadable.insert(all.unreadable.end(), tagged_->unreadable.begin(),
                        tagged_->unreadable.end());
  all.documents = tagged_->documents;
  for (const auto& one : written_->documents) {
    if (one.key.starts_with(kFabioKey)) {
      all.unreadable.push_back({one.key, kTaken});
    } else {
      all.documents.push_back(one);
    }
  }
  std::sort(all.documents.begin(), all.documents.end(),
            [](const Document& a, const Document& b) { return a.key < b.key; });
  sink_(std::move(all));
}

}  // namespace lictor
