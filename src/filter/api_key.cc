// `api_key`: {"in": {"header": "X-API-Key"}, "groups": []}. A caller is known by a key whose
// SHA-256 a document consumers/<name> has; the keys themselves are kept nowhere. They are found by
// their digest, so that the time this takes tells nothing about those that are good.
#include "filter/credential.h"
#include "filter/digest.h"
#include "filter/groups.h"
#include "filter/makers.h"
#include "http/uri.h"

namespace lictor {
namespace {

constexpr size_t kMaxKey = 4096;
constexpr const char* kChallenge = "ApiKey";

class ApiKey final : public Filter {
 public:
  std::string_view name() const override { return "api_key"; }
  Step on_request(Call& call) const override {
    const Credential found = place.find(call.request());
    if (found.shown == Shown::kNothing || found.value.empty()) {
      return unauthorized(call, kChallenge, "missing", "there is no API key");
    }
    if (found.shown == Shown::kRepeated) {
      return unauthorized(call, kChallenge, "repeated", "more than one API key");
    }
    const Consumer* consumer = find(call, found.value);
    if (consumer == nullptr) {
      return unauthorized(call, kChallenge, "unknown_key", "the API key is not known");
    }
    return admit(call, *consumer, groups);
  }

  CredentialPlace place{CredentialPlace::In::kHeader, "X-API-Key", FieldId::kOther, {}};
  std::vector<std::string> groups;

 private:
  const Consumer* find(Call& call, std::string_view key) const {
    const Consumers* consumers = call.consumers();
    if (consumers == nullptr || key.size() > kMaxKey) return nullptr;
    if (place.in == CredentialPlace::In::kQuery) key = percent_decoded(key, call.arena());
    return consumers->find_key(sha256(key));
  }

  // Of a target that was read: every '%' has two hex digits behind it.
  static std::string_view percent_decoded(std::string_view text, Arena& arena) {
    if (text.find('%') == std::string_view::npos) return text;
    const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
    char* const out = arena.chars(text.size());
    size_t size = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '%' && i + 2 < text.size()) {
        out[size++] = static_cast<char>(digit(text[i + 1]) << 4 | digit(text[i + 2]));
        i += 2;
      } else {
        out[size++] = text[i];
      }
    }
    return {out, size};
  }
};

}  // namespace

FilterPtr make_api_key(const JsonValue& config, const FilterContext&) {
  auto filter = std::make_shared<ApiKey>();
  config.read_object([&](JsonObject& object) {
    if (const auto in = object.find("in")) read_credential_place(*in, false, filter->place);
    read_groups(object, filter->groups);
  });
  return filter;
}

}  // namespace lictor
