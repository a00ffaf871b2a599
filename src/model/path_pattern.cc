#include "model/path_pattern.h"

#include <algorithm>

#include "base/json.h"
#include "http/uri.h"
#include "model/route_table.h"

namespace lictor {
namespace {

using Wrong = std::unexpected<std::string>;

bool is_capture_name(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !name.empty() && letter(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [letter](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

// Clients send "/café" as "/caf%C3%A9".
std::string escape_non_ascii(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

std::expected<std::string, std::string> parse_literal(std::string_view text, bool last) {
  if (text.empty() && !last) return Wrong("has an empty segment (\"//\")");
  if (text.find('*') != std::string_view::npos) {
    return Wrong("\"*\" stands alone, as the last segment: \"/files/*\"");
  }
  if (text.find_first_of("{}") != std::string_view::npos) {
    return Wrong("a capture is a whole segment: \"/orders/{id}\"");
  }
  const auto forbidden = [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == 0x7f ||
           std::string_view("?#\"<>\\^`|").find(c) != std::string_view::npos;
  };
  const auto found = std::find_if(text.begin(), text.end(), forbidden);
  if (found != text.end()) {
    return Wrong(in_quotes(std::string_view(&*found, 1)) +
                 " can't be in a path: percent-encode it, and match queries apart");
  }
  Arena arena;
  const std::string escaped = "/" + escape_non_ascii(text);
  const auto normal = normalise_path(escaped, arena);
  if (!normal) {
    return Wrong(text == ".." ? "has a dot segment" : normal.error().detail);
  }
  if (*normal == "/" && !text.empty()) return Wrong("has a dot segment");
  return std::string(normal->substr(1));
}

std::expected<PathPattern::Segment, std::string> parse_segment(std::string_view text, bool last) {
  if (text.size() >= 2 && text.front() == '{' && text.back() == '}') {
    const std::string_view name = text.substr(1, text.size() - 2);
    if (is_capture_name(name)) return PathPattern::Segment{true, std::string(name)};
    return Wrong("a capture's name has letters, digits and '_' only, and no digit first");
  }
  auto literal = parse_literal(text, last);
  if (!literal) return Wrong(std::move(literal.error()));
  return PathPattern::Segment{false, std::move(*literal)};
}

std::string check_bounds(const PathPattern& pattern) {
  if (pattern.segments.size() > PathPattern::kMaxSegments) return "has more than 64 segments";
  auto names = pattern.captures();
  if (names.size() > Match::kMaxCaptures) return "has more than 16 captures";
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  return twice == names.end() ? std::string() : "captures {" + *twice + "} twice";
}

bool is_label_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
         c == '~';
}

}  // namespace

std::vector<std::string> PathPattern::captures() const {
  std::vector<std::string> names;
  for (const Segment& segment : segments) {
    if (segment.capture) names.push_back(segment.text);
  }
  return names;
}

std::string PathPattern::shape() const {
  std::string out;
  for (const Segment& segment : segments) out += "/" + (segment.capture ? "{}" : segment.text);
  return rest ? out + "/*" : out;
}

std::expected<PathPattern, std::string> parse_path_pattern(std::string_view text) {
  if (!text.starts_with('/')) return Wrong("a path begins with '/'");
  if (text.size() > PathPattern::kMaxBytes) return Wrong("has more than 1024 bytes");
  PathPattern pattern;
  while (!text.empty()) {
    text.remove_prefix(1);
    const size_t slash = std::min(text.find('/'), text.size());
    const std::string_view part = text.substr(0, slash);
    text.remove_prefix(slash);
    if (part == "*" && text.empty()) {
      pattern.rest = true;
      break;
    }
    auto segment = parse_segment(part, text.empty());
    if (!segment) return Wrong(std::move(segment.error()));
    pattern.segments.push_back(std::move(*segment));
  }
  std::string wrong = check_bounds(pattern);
  if (!wrong.empty()) return Wrong(std::move(wrong));
  return pattern;
}

std::expected<std::string, std::string> parse_host_pattern(std::string_view text) {
  Arena arena;
  if (text == "*") return Wrong("any host: leave \"hosts\" out instead");
  const bool wildcard = text.starts_with("*.");
  const std::string_view name = wildcard ? text.substr(2) : text;
  if (!valid_authority(name)) {
    return Wrong(in_quotes(text) +
                 R"( is not a host such as "api.example.com" or "*.example.com")");
  }
  const bool bracketed = name.starts_with('[');
  if (!name.ends_with(']') && name.find(':') != std::string_view::npos) {
    return Wrong("a host has no port here: the port of a request is ignored");
  }
  const std::string host(normalise_host(name, arena));
  const bool dots = host.starts_with('.') || host.find("..") != std::string::npos;
  const bool plain = std::all_of(host.begin(), host.end(), is_label_char);
  if (bracketed ? wildcard : (dots || !plain)) {
    return Wrong(in_quotes(text) +
                 R"( is not a host such as "api.example.com" or "*.example.com")");
  }
  return wildcard ? "*." + host : host;
}

}  // namespace lictor
