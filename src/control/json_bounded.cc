#include "control/json_bounded.h"

#include <limits>
#include <nlohmann/json.hpp>

namespace lictor::answer {

using nlohmann::json;

json parse(std::string_view text, const Keep& keep) {
  const auto filter = [&keep](int depth, json::parse_event_t event, json& value) {
    if (depth > kMaxDepth) throw Malformed{"nested too deep"};
    return event != json::parse_event_t::key || keep(depth, value.get_ref<const std::string&>());
  };
  json parsed = json::parse(text, filter, false);
  if (parsed.is_discarded()) throw Malformed{"not JSON, or cut short"};
  return parsed;
}

const json* find(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const json& need_object(const json& object, const char* key, const std::string& where) {
  const json* value = find(object, key);
  if (value == nullptr || !value->is_object()) throw Malformed{where + "." + key + ": no object"};
  return *value;
}

std::string text(const json& object, const char* key, const std::string& where) {
  const json* value = find(object, key);
  if (value == nullptr) return {};
  if (!value->is_string()) throw Malformed{where + "." + key + ": no string"};
  return value->get<std::string>();
}

std::string need_text(const json& object, const char* key, const std::string& where) {
  std::string value = text(object, key, where);
  if (value.empty()) throw Malformed{where + "." + key + ": missing"};
  return value;
}

int64_t whole(const json& object, const char* key, int64_t absent, const std::string& where) {
  const json* value = find(object, key);
  if (value == nullptr) return absent;
  if (!value->is_number_integer()) throw Malformed{where + "." + key + ": no whole number"};
  constexpr auto kMost = std::numeric_limits<int64_t>::max();
  if (value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{kMost}) return kMost;
  return value->get<int64_t>();
}

}  // namespace lictor::answer
