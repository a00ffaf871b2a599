#include "app/show_table.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace lictor {
namespace {

// Columns that it takes, a code point each.
size_t width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string_view code_of(Tone tone) {
  switch (tone) {
    case Tone::kHead:
      return "\x1b[1m";
    case Tone::kGood:
      return "\x1b[32m";
    case Tone::kWarn:
      return "\x1b[33m";
    case Tone::kBad:
      return "\x1b[31m";
    case Tone::kPlain:
      break;
  }
  return {};
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Char one = first_utf8_char(text);
    const size_t length = one.length == 0 ? 1 : one.length;
    // C0, DEL and C1; marks that turn the direction of a line.
    const bool control = one.code < 0x20 || (one.code >= 0x7f && one.code < 0xa0) ||
                         (one.code >= 0x202a && one.code <= 0x202e) ||
                         (one.code >= 0x2066 && one.code <= 0x2069);
    if (one.length == 0 || control) {
      out += '?';
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string toned(const Cell& cell, bool color) {
  const std::string_view code = color ? code_of(cell.tone) : std::string_view{};
  if (code.empty()) return cell.text;
  return std::string(code) + cell.text + "\x1b[0m";
}

Table::Table(const std::vector<std::string>& heading) {
  std::vector<Cell> row;
  row.reserve(heading.size());
  for (const auto& name : heading) row.emplace_back(name, Tone::kHead);
  add(std::move(row));
}

std::string Table::text(bool color, std::string_view indent) const {
  std::vector<size_t> widths(rows_.front().size());
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i].text));
  }
  std::string out;
  for (const auto& row : rows_) {
    out += indent;
    for (size_t i = 0; i < row.size(); ++i) {
      out += toned(row[i], color);
      if (i + 1 < row.size()) out.append(widths[i] - width(row[i].text) + 2, ' ');
    }
    out += "\n";
  }
  return out;
}

}  // namespace lictor
