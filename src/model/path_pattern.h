// Path patterns of routes: "/users" is exact, "/user/*" takes whole segments (/user, /user/,
// /user/1, never /users), "/orders/{id}/items" captures one non-empty segment. A slash at the end
// counts:
// "/a" and "/a/" are two paths.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace lictor {

struct PathPattern {
  static constexpr size_t kMaxBytes = 1024;
  static constexpr size_t kMaxSegments = 64;

  // A literal, normalised as request paths are, or a capture. "/a/" has the segments "a" and "".
  struct Segment {
    bool capture = false;
    std::string text;  // the literal, or the capture's name
  };
  std::vector<Segment> segments;
  bool rest = false;  // "*" at the end: takes any segments behind those, none too

  std::vector<std::string> captures() const;
  // The pattern with its captures unnamed: equal for patterns that take the same paths.
  std::string shape() const;
};

// "~^/v[0-9]+/": a regular expression (model/regex.h) stands behind the '~'.
inline bool is_regex_path(std::string_view text) { return text.starts_with('~'); }

// What is wrong with it as the error. Not for regular expressions.
std::expected<PathPattern, std::string> parse_path_pattern(std::string_view text);

// A host of a route as the table wants it: lower case, no dot at the end, perhaps "*." in front.
std::expected<std::string, std::string> parse_host_pattern(std::string_view text);

}  // namespace lictor
