#include "base/duration.h"

#include <array>
#include <charconv>
#include <utility>

namespace lictor {
namespace {

struct Unit {
  std::string_view name;
  uint64_t value;
};

// A longer name comes before one that it begins with.
constexpr auto kTimeUnits = std::to_array<Unit>({
    {"ns", 1},
    {"us", 1'000},
    {"\u00b5s", 1'000},
    {"\u03bcs", 1'000},
    {"ms", 1'000'000},
    {"s", 1'000'000'000},
    {"m", 60'000'000'000},
    {"h", 3'600'000'000'000},
});
constexpr uint64_t kNanosInMilli = 1'000'000;
constexpr uint64_t kYearNanos = 366 * 24 * kTimeUnits.back().value;

constexpr auto kSizeUnits = std::to_array<Unit>({
    {"KiB", uint64_t{1} << 10},
    {"MiB", uint64_t{1} << 20},
    {"GiB", uint64_t{1} << 30},
    {"KB", 1'000},
    {"MB", 1'000'000},
    {"GB", 1'000'000'000},
    {"B", 1},
    {"", 1},
});

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The unit that `text` begins with; takes it off.
const Unit* take_unit(std::string_view& text) {
  for (const Unit& unit : kTimeUnits) {
    if (text.starts_with(unit.name)) {
      text.remove_prefix(unit.name.size());
      return &unit;
    }
  }
  return nullptr;
}

// A decimal as Go has it: "1", "1.5", ".5", "1.".
struct Decimal {
  uint64_t whole = 0;
  uint64_t fraction = 0;  // over `scale`; digits behind the 15th don't count
  uint64_t scale = 1;
};

std::optional<Decimal> take_decimal(std::string_view& text) {
  constexpr uint64_t kMostScale = 1'000'000'000'000'000;
  Decimal decimal;
  size_t digits = 0;
  while (!text.empty() && is_digit(text[0])) {
    decimal.whole = decimal.whole * 10 + static_cast<uint64_t>(text[0] - '0');
    if (decimal.whole > kYearNanos) return std::nullopt;
    text.remove_prefix(1);
    ++digits;
  }
  if (!text.empty() && text[0] == '.') {
    text.remove_prefix(1);
    for (; !text.empty() && is_digit(text[0]); text.remove_prefix(1), ++digits) {
      if (decimal.scale == kMostScale) continue;
      decimal.fraction = decimal.fraction * 10 + static_cast<uint64_t>(text[0] - '0');
      decimal.scale *= 10;
    }
  }
  if (digits == 0) return std::nullopt;
  return decimal;
}

void append_part(std::string& out, uint64_t value, char unit) {
  if (value == 0) return;
  out += std::to_string(value);
  out += unit;
}

}  // namespace

std::optional<Millis> parse_duration(std::string_view text) {
  if (text == "0") return Millis{0};
  if (text.empty()) return std::nullopt;
  uint64_t nanos = 0;
  while (!text.empty()) {
    const auto decimal = take_decimal(text);
    if (!decimal) return std::nullopt;
    const Unit* unit = take_unit(text);
    if (unit == nullptr || decimal->whole > kYearNanos / unit->value) return std::nullopt;
    nanos += decimal->whole * unit->value;
    nanos += static_cast<uint64_t>(static_cast<long double>(decimal->fraction) *
                                   static_cast<long double>(unit->value) /
                                   static_cast<long double>(decimal->scale));
    if (nanos > kYearNanos) return std::nullopt;
  }
  return Millis{static_cast<int64_t>((nanos + kNanosInMilli - 1) / kNanosInMilli)};
}

std::string format_duration(Millis duration) {
  const auto total = static_cast<uint64_t>(duration.count());
  if (total == 0) return "0s";
  if (total < 1'000) return std::to_string(total) + "ms";
  std::string out;
  append_part(out, total / 3'600'000, 'h');
  append_part(out, total / 60'000 % 60, 'm');
  const uint64_t millis = total % 60'000;
  if (millis % 1'000 == 0) {
    append_part(out, millis / 1'000, 's');
    return out;
  }
  std::string fraction = std::to_string(1'000 + millis % 1'000).substr(1);
  fraction.erase(fraction.find_last_not_of('0') + 1);
  return out + std::to_string(millis / 1'000) + "." + fraction + "s";
}

std::optional<uint64_t> parse_size(std::string_view text) {
  uint64_t value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error != std::errc()) return std::nullopt;
  const std::string_view suffix(end, static_cast<size_t>(last - end));
  for (const Unit& unit : kSizeUnits) {
    if (suffix != unit.name) continue;
    if (value > UINT64_MAX / unit.value) return std::nullopt;
    return value * unit.value;
  }
  return std::nullopt;
}

}  // namespace lictor
