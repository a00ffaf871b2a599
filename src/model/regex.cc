#include "model/regex.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>

namespace lictor {
namespace {

// Of the program and of what RE2 remembers while it matches.
constexpr int64_t kMaxMemory = 256 << 10;
constexpr size_t kMaxGroups = 32;  // named or not

}  // namespace

struct Regex::Compiled {
  Compiled(std::string_view pattern, const re2::RE2::Options& options)
      : re2(re2::StringPiece(pattern.data(), pattern.size()), options) {}

  re2::RE2 re2;
  std::vector<int> groups;  // numbers of the named ones, ascending
};

Regex::Regex(std::string pattern, std::unique_ptr<Compiled> compiled)
    : pattern_(std::move(pattern)), compiled_(std::move(compiled)) {
  for (const auto& [number, name] : compiled_->re2.CapturingGroupNames()) {
    compiled_->groups.push_back(number);
    names_.push_back(name);
  }
}

Regex::~Regex() = default;

std::expected<RegexPtr, std::string> Regex::compile(std::string_view pattern) {
  if (pattern.empty()) return std::unexpected("an empty regular expression");
  if (pattern.size() > kMaxBytes) {
    return std::unexpected("a regular expression has at most 1024 bytes");
  }
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMaxMemory);
  auto compiled = std::make_unique<Compiled>(pattern, options);
  if (!compiled->re2.ok()) {
    return std::unexpected("not a regular expression in RE2's syntax: " + compiled->re2.error());
  }
  if (compiled->re2.NamedCapturingGroups().size() > kMaxCaptures) {
    return std::unexpected("a regular expression has at most 16 named groups");
  }
  if (static_cast<size_t>(compiled->re2.NumberOfCapturingGroups()) >= kMaxGroups) {
    return std::unexpected("a regular expression has at most 31 groups: (?:...) makes none");
  }
  return RegexPtr(new Regex(std::string(pattern), std::move(compiled)));
}

bool Regex::matches(std::string_view text) const {
  const re2::StringPiece piece(text.data(), text.size());
  return compiled_->re2.Match(piece, 0, text.size(), re2::RE2::UNANCHORED, nullptr, 0);
}

bool Regex::matches(std::string_view text, Values& values) const {
  if (compiled_->groups.empty()) return matches(text);
  const re2::StringPiece piece(text.data(), text.size());
  std::array<re2::StringPiece, kMaxGroups> groups;
  const int count = compiled_->groups.back() + 1;
  if (!compiled_->re2.Match(piece, 0, text.size(), re2::RE2::UNANCHORED, groups.data(), count)) {
    return false;
  }
  for (size_t i = 0; i < compiled_->groups.size(); ++i) {
    const auto& group = groups[static_cast<size_t>(compiled_->groups[i])];
    values[i] = {group.data(), group.size()};
  }
  return true;
}

}  // namespace lictor
