#include "filter/accept_encoding.h"

#include <array>

#include "http/rules.h"

namespace lictor {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"zstd", "br", "gzip"};
constexpr int kUnsaid = -1;

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// ";q=0.5" in thousandths (RFC 9110, section 12.4.2); 0 when it is malformed.
int weight_of(std::string_view parameters) {
  const size_t equals = parameters.find('=');
  if (equals == std::string_view::npos) return 0;
  if (!equals_ignore_case(trim(parameters.substr(0, equals)), "q")) return 0;
  const std::string_view digits = trim(parameters.substr(equals + 1));
  if (digits.empty() || digits.size() > 5 || (digits[0] != '0' && digits[0] != '1')) return 0;
  if (digits.size() > 1 && digits[1] != '.') return 0;
  int weight = (digits[0] - '0') * 1000;
  int scale = 100;
  for (size_t i = 2; i < digits.size(); ++i, scale /= 10) {
    if (digits[i] < '0' || digits[i] > '9') return 0;
    weight += (digits[i] - '0') * scale;
  }
  return weight > 1000 ? 0 : weight;
}

// What the client says of each coding, in thousandths.
struct Wishes {
  std::array<int, kNames.size()> codings{kUnsaid, kUnsaid, kUnsaid};
  int identity = kUnsaid;
  int any = kUnsaid;

  void hear(std::string_view element) {
    const size_t semicolon = element.find(';');
    const std::string_view name = trim(element.substr(0, semicolon));
    const int weight =
        semicolon == std::string_view::npos ? 1000 : weight_of(element.substr(semicolon + 1));
    if (name == "*") any = weight;
    if (equals_ignore_case(name, "identity")) identity = weight;
    for (size_t i = 0; i < kNames.size(); ++i) {
      if (equals_ignore_case(name, kNames[i])) codings[i] = weight;
    }
    if (equals_ignore_case(name, "x-gzip")) codings[static_cast<size_t>(Coding::kGzip)] = weight;
  }
  int of(Coding coding) const {
    const int said = codings[static_cast<size_t>(coding)];
    return said == kUnsaid ? any : said;
  }
};

}  // namespace

std::string_view coding_name(Coding coding) { return kNames[static_cast<size_t>(coding)]; }

std::optional<Coding> parse_coding(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Coding>(i);
  }
  return std::nullopt;
}

std::optional<Coding> choose_coding(const Fields& request, std::span<const Coding> offered) {
  Wishes wishes;
  for (const Field& field : request) {
    if (field.id != FieldId::kOther || !equals_ignore_case(field.name, "accept-encoding")) continue;
    for_each_element(field.value, [&](std::string_view element) {
      wishes.hear(element);
      return true;
    });
  }
  std::optional<Coding> best;
  for (const Coding coding : offered) {
    const int weight = wishes.of(coding);
    if (weight > 0 && (!best || weight > wishes.of(*best))) best = coding;
  }
  if (best && wishes.identity > wishes.of(*best)) return std::nullopt;
  return best;
}

}  // namespace lictor
