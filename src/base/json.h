// Strict reading of JSON documents. A reader asks an object for the keys it knows, each in one
// line that says its type and bounds; what is wrong becomes a Problem with its JSON path and the
// target keeps its value (its default). Keys nobody asked for are problems too. So a document's
// reader is a list of its keys, and all problems of a document are found in one pass.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/duration.h"

namespace lictor {

// What is wrong with a document, and where.
struct Problem {
  std::string path;  // "$.backends[0].weight"
  std::string message;

  std::string to_string() const { return path + ": " + message; }
  bool operator==(const Problem&) const = default;
};
using Problems = std::vector<Problem>;

// ` (did you mean "x"?)` when one of `known` is close to `word`, else empty.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known);
// The word in quotes, escaped and cut to a length that fits a message.
std::string in_quotes(std::string_view word);
// The path of a member or an element of what is at `parent`.
std::string child_path(const std::string& parent, std::string_view key);
std::string child_path(const std::string& parent, size_t index);

class JsonObject;

// One value of a document with its path. Borrows: the document outlives it.
class JsonValue {
 public:
  JsonValue(const nlohmann::json& json, std::string path, Problems& problems)
      : json_(&json), path_(std::move(path)), problems_(&problems) {}

  const std::string& path() const { return path_; }
  bool is_null() const;
  bool is_text() const;
  bool is_object() const;
  bool is_array() const;
  // True, with its value, when this is a number without fraction and sign.
  bool is_whole(uint64_t& out) const;
  // Adds a problem at this value.
  void fail(std::string message) const;
  Problems& problems() const { return *problems_; }

  // Each sets `out` and returns true, or adds a problem and returns false.
  bool read_text(std::string& out) const;  // any string: newlines and NUL too
  bool read_flag(bool& out) const;
  bool read_whole(uint64_t& out, uint64_t least, uint64_t most) const;
  bool read_signed(int64_t& out, int64_t least, int64_t most) const;
  bool read_number(double& out, double least, double most) const;
  bool read_duration(Millis& out, Millis least, Millis most) const;
  bool read_size(uint64_t& out, uint64_t least, uint64_t most) const;

  // Calls `read` when this is an object, then complains about keys it didn't ask for (ahead of what
  // `read` found: a misspelt key explains the rest). False, and a problem, when it is none.
  bool read_object(const std::function<void(JsonObject&)>& read) const;
  // Calls `read` with each element of an array.
  bool read_array(size_t least, size_t most,
                  const std::function<void(const JsonValue&)>& read) const;
  // Calls `read` with each key and value of an object whose keys are data.
  bool read_map(size_t most,
                const std::function<void(const std::string&, const JsonValue&)>& read) const;

 private:
  friend class JsonObject;
  const nlohmann::json* json_;
  std::string path_;
  Problems* problems_;
};

// The keys of one object, each asked for by name. Every method but `has` makes its key a known one,
// leaves `out` alone when the key is absent, and returns true when `out` was set.
class JsonObject {
 public:
  static constexpr uint64_t kNoBound = std::numeric_limits<uint64_t>::max();
  static constexpr Millis kYear{int64_t{366} * 24 * 3600 * 1000};

  explicit JsonObject(const JsonValue& value) : value_(value) {}

  const JsonValue& value() const { return value_; }
  const std::string& path() const { return value_.path(); }
  // Present and not null.
  bool has(std::string_view key) const;
  // A problem at this object, or at a key of it.
  void fail(std::string message) const { value_.fail(std::move(message)); }
  void fail(std::string_view key, std::string message) const;

  // The value of a key, null values included; none when absent.
  std::optional<JsonValue> find(std::string_view key);

  // Strings without control characters; `text_or_null` takes null as absent.
  bool text(std::string_view key, std::string& out);
  bool text_or_null(std::string_view key, std::string& out);
  bool flag(std::string_view key, bool& out);
  template <class T>
  bool whole(std::string_view key, T& out, uint64_t least = 0,
             uint64_t most = std::numeric_limits<T>::max()) {
    uint64_t read = 0;
    const auto found = find(key);
    if (!found || !found->read_whole(read, least, most)) return false;
    out = static_cast<T>(read);
    return true;
  }
  bool number(std::string_view key, double& out, double least, double most);
  bool duration(std::string_view key, Millis& out, Millis least = Millis{0}, Millis most = kYear);
  bool size(std::string_view key, uint64_t& out, uint64_t least = 0, uint64_t most = kNoBound);

  // A string that `parse` (string_view -> optional<T>) understands. `what` says what would be
  // right: "an address such as \"0.0.0.0:8080\"".
  template <class T, class Parse>
  bool parsed(std::string_view key, T& out, Parse parse, std::string_view what) {
    std::string read;
    const auto found = find(key);
    if (!found || !found->read_text(read)) return false;
    auto result = parse(std::string_view(read));
    if (!result) {
      found->fail(in_quotes(read) + " is not " + std::string(what));
      return false;
    }
    out = std::move(*result);
    return true;
  }

  // One of a few words.
  template <class T>
  bool choice(std::string_view key, T& out,
              std::initializer_list<std::pair<std::string_view, T>> choices) {
    std::vector<std::string_view> words;
    for (const auto& [word, value] : choices) words.push_back(word);
    const auto index = choice_index(key, words);
    if (!index) return false;
    out = (choices.begin() + *index)->second;
    return true;
  }

  bool object(std::string_view key, const std::function<void(JsonObject&)>& read);
  bool array(std::string_view key, size_t least, size_t most,
             const std::function<void(const JsonValue&)>& read);
  bool map(std::string_view key, size_t most,
           const std::function<void(const std::string&, const JsonValue&)>& read);

 private:
  friend class JsonValue;
  Problems unknown_keys() const;
  std::optional<size_t> choice_index(std::string_view key,
                                     const std::vector<std::string_view>& words);

  JsonValue value_;
  std::vector<std::string_view> known_;
};

enum class JsonComments : bool { kNo, kYes };

// More than anyone reads, and a bound on what a hostile document costs.
inline constexpr size_t kMaxProblems = 100;
inline constexpr size_t kMaxDocumentBytes = 1 << 20;
inline constexpr size_t kMaxDocumentDepth = 32;
inline constexpr std::string_view kNotSupported = "not supported in this version";

// Parses `text`, reads it with `read` and returns what is wrong with it: syntax, duplicate keys,
// then what `read` found. Bounded by size and depth, whatever `text` is.
Problems read_json(std::string_view text, JsonComments comments,
                   const std::function<void(const JsonValue&)>& read);

}  // namespace lictor
