// Small rules of RFC 9110 that several parts share: tokens, lists, and which fields may go where.
#pragma once

#include <string_view>

#include "http/message.h"

namespace lictor {

bool is_token_char(char c);                  // RFC 9110, section 5.6.2
bool is_token(std::string_view text);        // not empty
bool is_field_value(std::string_view text);  // no CR, LF, NUL or other controls but tab

// Calls f with each element of a comma-separated list, without blanks; stops when f returns false.
template <class F>
void for_each_element(std::string_view list, F f) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    std::string_view element = list.substr(0, comma);
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
    while (!element.empty() && (element.front() == ' ' || element.front() == '\t')) {
      element.remove_prefix(1);
    }
    while (!element.empty() && (element.back() == ' ' || element.back() == '\t')) {
      element.remove_suffix(1);
    }
    if (!element.empty() && !f(element)) return;
  }
}
bool list_has_token(std::string_view list, std::string_view token);  // case-insensitive

// Belongs to one connection (RFC 9110, section 7.6.1), whether or not Connection names it.
bool is_hop_by_hop(FieldId id);

// "X_Forwarded_For": some servers read it as X-Forwarded-For. True when `name` has an underscore
// and is `field` but for '_' in place of '-'.
bool is_underscore_twin(std::string_view name, std::string_view field);

// Not one that frames, routes, authenticates or controls (RFC 9110, section 6.5.1).
bool is_allowed_trailer(const Field& field);

}  // namespace lictor
