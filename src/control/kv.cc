#include "control/kv.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "control/json_bounded.h"

namespace lictor {
namespace {

using answer::Malformed;
using nlohmann::json;

constexpr uint8_t kNoDigit = 0xff;

constexpr std::array<uint8_t, 256> make_digits() {
  std::array<uint8_t, 256> digits{};
  digits.fill(kNoDigit);
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    digits[static_cast<unsigned char>(kAlphabet[i])] = static_cast<uint8_t>(i);
  }
  return digits;
}
constexpr auto kDigits = make_digits();

// None for a folder.
std::optional<Document> read_document(const json& entry, std::string_view prefix,
                                      const std::string& where) {
  if (!entry.is_object()) throw Malformed{where + ": no object"};
  const auto key = answer::need_text(entry, "Key", where);
  const auto value = answer::text(entry, "Value", where);
  const auto index = answer::whole(entry, "ModifyIndex", 0, where);
  std::string_view name = key;
  if (!prefix.empty()) {
    if (!name.starts_with(prefix) || name.substr(prefix.size(), 1) != "/") {
      throw Malformed{where + ".Key: not below what was asked for"};
    }
    name.remove_prefix(prefix.size() + 1);
  }
  if (name.empty() || name.ends_with('/')) return std::nullopt;
  auto text = decode_base64(value);
  if (!text) throw Malformed{where + ".Value: no base64"};
  return Document{std::string(name), std::move(*text),
                  static_cast<uint64_t>(std::max<int64_t>(index, 0))};
}

}  // namespace

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  const size_t digits = text.size() - padding;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t digit = i < digits ? kDigits[static_cast<unsigned char>(text[i])] : uint8_t{0};
    if (digit == kNoDigit) return std::nullopt;
    bits = bits << 6 | digit;
    if (i % 4 == 3) {
      out += {static_cast<char>(bits >> 16), static_cast<char>(bits >> 8), static_cast<char>(bits)};
      bits = 0;
    }
  }
  for (; padding > 0; --padding) out.pop_back();
  return out;
}

std::expected<std::vector<Document>, std::string> parse_kv(std::string_view body,
                                                           std::string_view prefix) try {
  const json entries = answer::parse(body, [](int, const std::string&) { return true; });
  if (!entries.is_array()) throw Malformed{"no array"};
  if (entries.size() > kMaxDocuments) {
    throw Malformed{"more than " + std::to_string(kMaxDocuments) + " keys"};
  }
  std::vector<Document> documents;
  documents.reserve(entries.size());
  size_t index = 0;
  for (const auto& entry : entries) {
    auto document = read_document(entry, prefix, "[" + std::to_string(index++) + "]");
    if (document) documents.push_back(std::move(*document));
  }
  std::sort(documents.begin(), documents.end(),
            [](const Document& a, const Document& b) { return a.key < b.key; });
  const auto twice =
      std::adjacent_find(documents.begin(), documents.end(),
                         [](const Document& a, const Document& b) { return a.key == b.key; });
  if (twice != documents.end()) throw Malformed{"a key comes twice"};
  return documents;
} catch (const Malformed& malformed) {
  return std::unexpected(malformed.what);
}

}  // namespace lictor
