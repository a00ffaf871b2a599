// The `consumers/<name>` document: who a caller is that shows one of these keys or passwords. What
// is wrong with one is told without the value.
#include <algorithm>
#include <optional>

#include "filter/password.h"
#include "model/documents.h"

namespace lictor {
namespace {

constexpr size_t kMaxKeys = 64;
constexpr size_t kMaxLogins = 16;
constexpr size_t kMaxGroups = 64;
constexpr size_t kMaxUser = 256;

std::optional<Digest> parse_key(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  Digest digest{};
  if (!text.starts_with(kPrefix)) return std::nullopt;
  text.remove_prefix(kPrefix.size());
  if (text.size() != 2 * digest.size()) return std::nullopt;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool letter = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (!letter && (c < '0' || c > '9')) return std::nullopt;
    const int value = letter ? (c | 0x20) - 'a' + 10 : c - '0';
    digest[i / 2] = static_cast<uint8_t>(digest[i / 2] << 4 | value);
  }
  return digest;
}

void read_key(const JsonValue& at, Consumer& consumer) {
  std::string text;
  if (!at.read_text(text)) return;
  const auto key = parse_key(text);
  if (!key) {
    at.fail(
        R"(must be "sha256:" and the key's SHA-256 in 64 hex digits (printf %s KEY | sha256sum))");
    return;
  }
  const auto& known = consumer.api_keys;
  if (std::find(known.begin(), known.end(), *key) != known.end()) at.fail("the same key twice");
  consumer.api_keys.push_back(*key);
}

void read_login(const std::string& user, const JsonValue& at, Consumer& consumer) {
  Consumer::Login login{user, {}};
  if (!at.read_text(login.hash)) return;
  const bool plain = std::all_of(user.begin(), user.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f && c != ':';
  });
  if (user.empty() || user.size() > kMaxUser || !plain) {
    at.fail("a user has 1 to 256 characters, and no ':' or control character among them");
  }
  std::string wrong = check_password_hash(login.hash);
  if (!wrong.empty()) at.fail(std::move(wrong));
  consumer.logins.push_back(std::move(login));
}

}  // namespace

Parsed<Consumer> parse_consumer(std::string_view name, std::string_view text) {
  Consumer consumer;
  consumer.name = name;
  Problems problems = read_json(text, JsonComments::kNo, [&](const JsonValue& root) {
    root.read_object([&](JsonObject& object) {
      object.array("api_keys", 0, kMaxKeys,
                   [&](const JsonValue& item) { read_key(item, consumer); });
      object.map("basic", kMaxLogins, [&](const std::string& user, const JsonValue& value) {
        read_login(user, value, consumer);
      });
      object.array("groups", 0, kMaxGroups,
                   [&](const JsonValue& item) { item.read_text(consumer.groups.emplace_back()); });
      if (consumer.api_keys.empty() && consumer.logins.empty() && !object.has("api_keys") &&
          !object.has("basic")) {
        object.fail("can't be known by anything: give it api_keys or basic");
      }
    });
  });
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return consumer;
}

}  // namespace lictor
