// Text for a terminal: aligned columns, a little colour. Names come from Consul, and whoever writes
// them must not be able to steer somebody's terminal: every cell goes through `printable`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lictor {

// UTF-8 with control characters and what is no UTF-8 replaced.
std::string printable(std::string_view text);

enum class Tone : uint8_t { kPlain, kHead, kGood, kWarn, kBad };

struct Cell {
  Cell(const std::string& words, Tone a_tone = Tone::kPlain)  // NOLINT(google-explicit-constructor)
      : text(printable(words)), tone(a_tone) {}

  std::string text;
  Tone tone;
};

// The text in its tone, when there is colour.
std::string toned(const Cell& cell, bool color);

// Rows of cells, columns aligned; the first row is the heading.
class Table {
 public:
  explicit Table(const std::vector<std::string>& heading);
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.size() == 1; }
  std::string text(bool color, std::string_view indent = "") const;

 private:
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace lictor
