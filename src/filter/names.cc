#include "filter/names.h"

#include <algorithm>

#include "http/rules.h"

namespace lictor {
namespace {

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_name_char(char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; }

bool is_service_char(char c) { return c > ' ' && c < 0x7f && c != '/' && c != '"' && c != '\\'; }

template <class Predicate>
bool all(std::string_view text, Predicate predicate) {
  return !text.empty() && std::all_of(text.begin(), text.end(), predicate);
}

}  // namespace

std::string check_name(std::string_view name) {
  if (name.size() > 128) return "a name has at most 128 characters";
  if (all(name, is_name_char) && is_alphanumeric(name.front())) return {};
  return "a name has letters, digits, '.', '_' and '-' only, and begins with a letter or a digit";
}

std::string check_service_name(std::string_view name) {
  if (name.size() > 255) return "a service name has at most 255 characters";
  if (all(name, is_service_char)) return {};
  return R"(a service name has printable ASCII characters only, and no space, '/', '"' or '\')";
}

std::string check_method(std::string_view method) {
  if (method.size() > 32) return "a method has at most 32 characters";
  if (!is_token(method)) return R"(must be a method such as "GET")";
  const bool lower =
      std::any_of(method.begin(), method.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  return lower ? "methods are case-sensitive: write it in capitals" : std::string();
}

}  // namespace lictor
