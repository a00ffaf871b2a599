#include "base/json.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace lictor {
namespace {

using nlohmann::json;

std::string type_name(const json& value) {
  switch (value.type()) {
    case json::value_t::null:
      return "null";
    case json::value_t::boolean:
      return "a boolean";
    case json::value_t::string:
      return "a string";
    case json::value_t::array:
      return "an array";
    case json::value_t::object:
      return "an object";
    default:
      return "a number";
  }
}

std::string range_text(const std::string& least, const std::string& most, bool bounded) {
  return bounded ? "from " + least + " to " + most : "of " + least + " or more";
}

bool is_plain_key(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// How many insertions, deletions, replacements and swaps of neighbours lie between two words.
size_t edit_distance(std::string_view a, std::string_view b) {
  constexpr size_t kLongest = 40;
  if (a.size() > kLongest || b.size() > kLongest) return kLongest;
  std::array<std::array<size_t, kLongest + 1>, 3> rows{};
  for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i - 1) % 3];
    const auto& two_above = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], two_above[j - 2] + 1);
    }
  }
  return rows[a.size() % 3][b.size()];
}

}  // namespace

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known) {
  std::string_view best;
  size_t least = std::clamp<size_t>((word.size() + 1) / 3, 1, 3) + 1;
  for (const auto candidate : known) {
    const size_t distance = edit_distance(word, candidate);
    if (distance >= least || distance >= candidate.size()) continue;
    least = distance;
    best = candidate;
  }
  return best.empty() ? std::string() : " (did you mean " + in_quotes(best) + "?)";
}

std::string in_quotes(std::string_view word) {
  constexpr size_t kLongest = 160;
  const bool cut = word.size() > kLongest;
  const json value(std::string(word.substr(0, kLongest)));
  std::string out = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (cut) out.insert(out.size() - 1, "...");
  return out;
}

std::string child_path(const std::string& parent, std::string_view key) {
  return is_plain_key(key) ? parent + "." + std::string(key) : parent + "[" + in_quotes(key) + "]";
}

std::string child_path(const std::string& parent, size_t index) {
  return parent + "[" + std::to_string(index) + "]";
}

// --- values --------------------------------------------------------------------------------------

bool JsonValue::is_null() const { return json_->is_null(); }
bool JsonValue::is_text() const { return json_->is_string(); }
bool JsonValue::is_object() const { return json_->is_object(); }
bool JsonValue::is_array() const { return json_->is_array(); }

bool JsonValue::is_whole(uint64_t& out) const {
  if (!json_->is_number_unsigned()) return false;
  out = json_->get<uint64_t>();
  return true;
}

void JsonValue::fail(std::string message) const {
  if (problems_->size() < kMaxProblems) problems_->push_back({path_, std::move(message)});
}

bool JsonValue::read_text(std::string& out) const {
  if (!json_->is_string()) {
    fail("must be a string, not " + type_name(*json_));
    return false;
  }
  out = json_->get_ref<const std::string&>();
  return true;
}

bool JsonValue::read_flag(bool& out) const {
  if (!json_->is_boolean()) {
    fail("must be true or false, not " + type_name(*json_));
    return false;
  }
  out = json_->get<bool>();
  return true;
}

bool JsonValue::read_whole(uint64_t& out, uint64_t least, uint64_t most) const {
  uint64_t value = 0;
  if (is_whole(value) && value >= least && value <= most) {
    out = value;
    return true;
  }
  fail("must be a whole number " +
       range_text(std::to_string(least), std::to_string(most), most != UINT64_MAX));
  return false;
}

bool JsonValue::read_signed(int64_t& out, int64_t least, int64_t most) const {
  const bool too_big = json_->is_number_unsigned() && json_->get<uint64_t>() > INT64_MAX;
  if (json_->is_number_integer() && !too_big) {
    const auto value = json_->get<int64_t>();
    if (value >= least && value <= most) {
      out = value;
      return true;
    }
  }
  fail("must be a whole number " + range_text(std::to_string(least), std::to_string(most), true));
  return false;
}

bool JsonValue::read_number(double& out, double least, double most) const {
  if (json_->is_number()) {
    const auto value = json_->get<double>();
    if (value >= least && value <= most) {
      out = value;
      return true;
    }
  }
  fail("must be a number " + range_text(json(least).dump(), json(most).dump(), true));
  return false;
}

bool JsonValue::read_duration(Millis& out, Millis least, Millis most) const {
  const auto value = json_->is_string() ? parse_duration(json_->get_ref<const std::string&>())
                                        : std::optional<Millis>();
  if (!value) {
    fail(R"(must be a duration such as "250ms", "10s" or "1m30s")");
    return false;
  }
  if (*value < least || *value > most) {
    fail("must be a duration " +
         range_text(format_duration(least), format_duration(most), most != JsonObject::kYear));
    return false;
  }
  out = *value;
  return true;
}

bool JsonValue::read_size(uint64_t& out, uint64_t least, uint64_t most) const {
  std::optional<uint64_t> value;
  if (json_->is_string()) value = parse_size(json_->get_ref<const std::string&>());
  if (json_->is_number_unsigned()) value = json_->get<uint64_t>();
  if (!value) {
    fail(R"(must be a size: a number of bytes, or a string such as "64KiB" or "10MiB")");
    return false;
  }
  if (*value < least || *value > most) {
    fail("must be a size " +
         range_text(std::to_string(least), std::to_string(most) + " bytes", most != UINT64_MAX));
    return false;
  }
  out = *value;
  return true;
}

bool JsonValue::read_object(const std::function<void(JsonObject&)>& read) const {
  if (!json_->is_object()) {
    fail("must be an object, not " + type_name(*json_));
    return false;
  }
  const auto before = static_cast<std::ptrdiff_t>(problems_->size());
  JsonObject object(*this);
  read(object);
  Problems unknown = object.unknown_keys();
  problems_->insert(problems_->begin() + before, std::make_move_iterator(unknown.begin()),
                    std::make_move_iterator(unknown.end()));
  if (problems_->size() > kMaxProblems) problems_->resize(kMaxProblems);
  return true;
}

bool JsonValue::read_array(size_t least, size_t most,
                           const std::function<void(const JsonValue&)>& read) const {
  if (!json_->is_array()) {
    fail("must be an array, not " + type_name(*json_));
    return false;
  }
  if (json_->size() < least || json_->size() > most) {
    fail("must have " + std::to_string(least) + " to " + std::to_string(most) + " elements, not " +
         std::to_string(json_->size()));
    return false;
  }
  for (size_t i = 0; i < json_->size(); ++i) {
    read(JsonValue((*json_)[i], child_path(path_, i), *problems_));
  }
  return true;
}

bool JsonValue::read_map(
    size_t most, const std::function<void(const std::string&, const JsonValue&)>& read) const {
  if (!json_->is_object()) {
    fail("must be an object, not " + type_name(*json_));
    return false;
  }
  if (json_->size() > most) {
    fail("must have at most " + std::to_string(most) + " keys, not " +
         std::to_string(json_->size()));
    return false;
  }
  for (const auto& [key, value] : json_->items()) {
    read(key, JsonValue(value, child_path(path_, key), *problems_));
  }
  return true;
}

// --- objects -------------------------------------------------------------------------------------

bool JsonObject::has(std::string_view key) const {
  const auto found = value_.json_->find(key);
  return found != value_.json_->end() && !found->is_null();
}

void JsonObject::fail(std::string_view key, std::string message) const {
  JsonValue(*value_.json_, child_path(path(), key), *value_.problems_).fail(std::move(message));
}

std::optional<JsonValue> JsonObject::find(std::string_view key) {
  known_.push_back(key);
  const auto found = value_.json_->find(key);
  if (found == value_.json_->end()) return std::nullopt;
  return JsonValue(*found, child_path(path(), key), *value_.problems_);
}

bool JsonObject::text(std::string_view key, std::string& out) {
  std::string read;
  const auto found = find(key);
  if (!found || !found->read_text(read)) return false;
  if (has_control(read)) {
    found->fail("must not have control characters");
    return false;
  }
  out = std::move(read);
  return true;
}

bool JsonObject::text_or_null(std::string_view key, std::string& out) {
  const auto found = find(key);
  return found && !found->is_null() && text(key, out);
}

bool JsonObject::flag(std::string_view key, bool& out) {
  const auto found = find(key);
  return found && found->read_flag(out);
}

bool JsonObject::number(std::string_view key, double& out, double least, double most) {
  const auto found = find(key);
  return found && found->read_number(out, least, most);
}

bool JsonObject::duration(std::string_view key, Millis& out, Millis least, Millis most) {
  const auto found = find(key);
  return found && found->read_duration(out, least, most);
}

bool JsonObject::size(std::string_view key, uint64_t& out, uint64_t least, uint64_t most) {
  const auto found = find(key);
  return found && found->read_size(out, least, most);
}

std::optional<size_t> JsonObject::choice_index(std::string_view key,
                                               const std::vector<std::string_view>& words) {
  std::string read;
  const auto found = find(key);
  if (!found || !found->read_text(read)) return std::nullopt;
  const auto at = std::find(words.begin(), words.end(), read);
  if (at != words.end()) return static_cast<size_t>(at - words.begin());
  std::string list;
  for (const auto word : words) list += (list.empty() ? "" : ", ") + in_quotes(word);
  found->fail(in_quotes(read) + " is not one of " + list + did_you_mean(read, words));
  return std::nullopt;
}

bool JsonObject::object(std::string_view key, const std::function<void(JsonObject&)>& read) {
  const auto found = find(key);
  return found && found->read_object(read);
}

bool JsonObject::array(std::string_view key, size_t least, size_t most,
                       const std::function<void(const JsonValue&)>& read) {
  const auto found = find(key);
  return found && found->read_array(least, most, read);
}

bool JsonObject::map(std::string_view key, size_t most,
                     const std::function<void(const std::string&, const JsonValue&)>& read) {
  const auto found = find(key);
  return found && found->read_map(most, read);
}

Problems JsonObject::unknown_keys() const {
  Problems problems;
  for (const auto& [key, value] : value_.json_->items()) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    if (problems.size() == kMaxProblems) break;
    problems.push_back({child_path(path(), key), "unknown key" + did_you_mean(key, known_)});
  }
  return problems;
}

}  // namespace lictor
