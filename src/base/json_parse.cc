// The parsing half of json.h: text to value, with what nlohmann's parser lets pass caught here.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/json.h"

namespace lictor {
namespace {

using nlohmann::json;

// "line 3, column 7: " of the byte at `offset`.
std::string position_text(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t newline = before.rfind('\n');
  const size_t column = before.size() - (newline == std::string_view::npos ? 0 : newline + 1);
  return "line " + std::to_string(line) + ", column " + std::to_string(column + 1) + ": ";
}

// What the library says, without its own prefix and its own idea of the position.
std::string syntax_text(std::string_view what) {
  if (const size_t at = what.find("] "); at != std::string_view::npos) what.remove_prefix(at + 2);
  if (const size_t at = what.find(": syntax error"); at != std::string_view::npos) {
    what.remove_prefix(at + 2);
  }
  std::string out = in_quotes(what.substr(0, 160));
  out = out.substr(1, out.size() - 2);
  for (size_t at = 0; (at = out.find("\\\"", at)) != std::string::npos;) out.erase(at, 1);
  return out;
}

// Builds the value and finds what the library lets pass: duplicate keys and deep nesting.
class Builder : public json::json_sax_t {
 public:
  Builder(std::string_view text, json& root, Problems& problems)
      : text_(text), root_(root), problems_(problems) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& value) override {
    Frame& top = frames_.back();
    top.key = std::move(value);
    if (top.value->contains(top.key)) report("duplicate key");
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    const size_t offset = position == 0 ? 0 : position - 1;
    problems_.push_back({"$", position_text(text_, offset) + syntax_text(error.what())});
    return false;
  }

 private:
  struct Frame {
    json* value;
    std::string key;  // of the member that comes
  };

  json* place(json value) {
    if (frames_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Frame& top = frames_.back();
    if (top.value->is_array()) {
      top.value->push_back(std::move(value));
      return &top.value->back();
    }
    return &((*top.value)[top.key] = std::move(value));
  }

  bool add(json value) {
    place(std::move(value));
    return true;
  }

  bool open(json value) {
    if (frames_.size() == kMaxDocumentDepth) {
      report("nested deeper than " + std::to_string(kMaxDocumentDepth) + " levels");
      return false;
    }
    frames_.push_back({place(std::move(value)), {}});
    return true;
  }

  bool close() {
    frames_.pop_back();
    return true;
  }

  void report(std::string message) {
    if (problems_.size() >= kMaxProblems) return;
    std::string path = "$";
    for (const Frame& frame : frames_) {
      if (frame.value->is_object()) {
        path = child_path(path, frame.key);
      } else if (&frame != &frames_.back()) {
        path = child_path(path, frame.value->size() - 1);
      }
    }
    problems_.push_back({std::move(path), std::move(message)});
  }

  std::string_view text_;
  json& root_;
  Problems& problems_;
  std::vector<Frame> frames_;
};

}  // namespace

Problems read_json(std::string_view text, JsonComments comments,
                   const std::function<void(const JsonValue&)>& read) {
  Problems problems;
  if (text.size() > kMaxDocumentBytes) {
    problems.push_back({"$", "larger than 1 MiB"});
    return problems;
  }
  json root;
  Builder builder(text, root, problems);
  const bool parsed = json::sax_parse(text, &builder, json::input_format_t::json, true,
                                      comments == JsonComments::kYes);
  if (parsed) read(JsonValue(root, "$", problems));
  return problems;
}

}  // namespace lictor
