// A regular expression in RE2's syntax: linear time whatever the text, and bounded memory. Found
// anywhere in a text, as in nginx: "^" and "$" hold it to the ends. Immutable; all workers share
// it.
#pragma once

#include <array>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lictor {

class Regex {
 public:
  static constexpr size_t kMaxBytes = 1024;
  static constexpr size_t kMaxCaptures = 16;
  using Values = std::array<std::string_view, kMaxCaptures>;

  // What is wrong with the pattern as the error, in RE2's words.
  static std::expected<std::shared_ptr<const Regex>, std::string> compile(std::string_view pattern);
  ~Regex();
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  bool matches(std::string_view text) const;
  // With the values of the named groups, (?P<id>...), in the order of captures(); empty for a group
  // that took no part. `values` is left alone when the answer is false.
  bool matches(std::string_view text, Values& values) const;
  const std::vector<std::string>& captures() const { return names_; }
  const std::string& pattern() const { return pattern_; }

 private:
  struct Compiled;
  Regex(std::string pattern, std::unique_ptr<Compiled> compiled);

  std::string pattern_;
  std::unique_ptr<Compiled> compiled_;
  std::vector<std::string> names_;
};
using RegexPtr = std::shared_ptr<const Regex>;

}  // namespace lictor
