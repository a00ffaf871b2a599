// "a=b" pairs of a query ('&' between) or of a Cookie field (';'), as they came: nothing is
// decoded.
#pragma once

#include <optional>
#include <string_view>

#include "http/message.h"

namespace lictor {

struct Pair {
  std::string_view name;
  std::string_view value;  // empty without '=' too
};

// Reads one pair after the other; skips empty parts and blanks in front.
class PairReader {
 public:
  PairReader(std::string_view text, char separator) : text_(text), separator_(separator) {}
  bool next(Pair& pair);

 private:
  std::string_view text_;
  char separator_;
};

// The first value of a cookie or of a query parameter; none when absent.
std::optional<std::string_view> find_cookie(const Fields& fields, std::string_view name);
std::optional<std::string_view> find_query(std::string_view query, std::string_view name);

}  // namespace lictor
