#include "http/pairs.h"

namespace lictor {
namespace {

std::optional<std::string_view> find_pair(std::string_view text, char separator,
                                          std::string_view name) {
  PairReader reader(text, separator);
  for (Pair pair; reader.next(pair);) {
    if (pair.name == name) return pair.value;
  }
  return std::nullopt;
}

}  // namespace

bool PairReader::next(Pair& pair) {
  while (!text_.empty()) {
    const size_t end = text_.find(separator_);
    std::string_view part = text_.substr(0, end);
    text_ = end == std::string_view::npos ? std::string_view{} : text_.substr(end + 1);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    if (part.empty()) continue;
    const size_t equals = part.find('=');
    pair.name = part.substr(0, equals);
    pair.value = equals == std::string_view::npos ? std::string_view{} : part.substr(equals + 1);
    return true;
  }
  return false;
}

std::optional<std::string_view> find_cookie(const Fields& fields, std::string_view name) {
  for (const Field& field : fields) {
    if (field.id != FieldId::kCookie) continue;
    if (const auto value = find_pair(field.value, ';', name)) return value;
  }
  return std::nullopt;
}

std::optional<std::string_view> find_query(std::string_view query, std::string_view name) {
  return find_pair(query, '&', name);
}

}  // namespace lictor
