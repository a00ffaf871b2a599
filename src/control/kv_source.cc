#include "control/kv_source.h"

#include <algorithm>
#include <utility>

#include "control/kv.h"

namespace lictor {
namespace {

bool same(const Document& a, const Document& b) {
  return a.key == b.key && a.modify_index == b.modify_index && a.text == b.text;
}

// Both sorted by key.
size_t missing(const std::vector<Document>& before, const std::vector<Document>& after) {
  return static_cast<size_t>(
      std::count_if(before.begin(), before.end(), [&after](const Document& document) {
        return !std::binary_search(
            after.begin(), after.end(), document,
            [](const Document& a, const Document& b) { return a.key < b.key; });
      }));
}

Watch::Options options_of(const std::string& prefix) {
  Watch::Options options;
  options.name = "kv " + prefix;
  options.query.endpoint = "kv";
  // With the slash, so that "lictor-old/..." is not meant.
  options.query.path = "/v1/kv/" + (prefix.empty() ? "" : escape_url(prefix, "/") + "/");
  options.query.params = {{"recurse", ""}};
  options.absent_is_empty = true;
  options.takes_turns = false;
  return options;
}

}  // namespace

KvSource::KvSource(Agent& agent, std::string prefix, Sink sink)
    : prefix_(std::move(prefix)),
      sink_(std::move(sink)),
      watch_(agent, options_of(prefix_), [this](const ConsulAnswer& answer, Watch::Trust trust) {
        return on_answer(answer, trust);
      }) {}

void KvSource::start() { watch_.start(); }

void KvSource::restore(const std::vector<Document>& documents) {
  documents_ = documents;
  watch_.assume_known();
}

Watch::Verdict KvSource::on_answer(const ConsulAnswer& answer, Watch::Trust trust) {
  std::vector<Document> documents;
  if (answer.status != 404) {
    auto parsed = parse_kv(answer.body, prefix_);
    if (!parsed) return {Watch::Verdict::kMalformed, parsed.error()};
    documents = std::move(*parsed);
  }
  if (!trust.may_remove) {
    if (const size_t lost = missing(documents_, documents); lost != 0) {
      return {Watch::Verdict::kHeld, std::to_string(lost) + " of " +
                                         std::to_string(documents_.size()) +
                                         " documents would be lost"};
    }
    if (!answered_ && documents.empty()) return {Watch::Verdict::kHeld, "no documents"};
  }
  const bool first = !std::exchange(answered_, true);
  if (!first &&
      std::equal(documents.begin(), documents.end(), documents_.begin(), documents_.end(), same)) {
    return {Watch::Verdict::kSame, {}};
  }
  documents_ = documents;
  sink_({std::move(documents), {}});
  return {Watch::Verdict::kChanged, {}};
}

}  // namespace lictor
