#include "http/uri.h"

#include <algorithm>
#include <array>

#include "base/address.h"

namespace lictor {
namespace {

constexpr bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

constexpr int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr bool is_unreserved(char c) {
  return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

// What may not stand raw in a target. Bytes over 0x7f are let through: they occur, and are
// harmless.
constexpr auto kForbidden = [] {
  std::array<bool, 256> table{};
  for (int c = 0; c <= ' '; ++c) table[c] = true;
  for (const char c : {'#', '\x7f', '"', '<', '>', '\\', '^', '`', '{', '|', '}'}) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();

// Browsers send these raw in queries (WHATWG URL), where they mean nothing to us.
constexpr bool allowed_in_query(char c) {
  return c == '{' || c == '}' || c == '|' || c == '^' || c == '`' || c == '"';
}

bool valid_escape(std::string_view text, size_t at) {
  return at + 2 < text.size() && hex_value(text[at + 1]) >= 0 && hex_value(text[at + 2]) >= 0;
}

bool valid_characters(std::string_view text, bool query) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '%' && !query && !valid_escape(text, i)) return false;
    if (kForbidden[static_cast<unsigned char>(c)] && !(query && allowed_in_query(c))) return false;
  }
  return true;
}

Result<Target> parse_path_and_query(Target target, std::string_view text) {
  const size_t mark = text.find('?');
  target.path = text.substr(0, mark);
  if (mark != std::string_view::npos) {
    target.has_query = true;
    target.query = text.substr(mark + 1);
  }
  if (!valid_characters(target.path, false)) {
    return fail(Failure::kBadRequest, "the path has a forbidden character or a bad escape");
  }
  if (!valid_characters(target.query, true)) {
    return fail(Failure::kBadRequest, "the query has a forbidden character");
  }
  if (target.path.empty()) target.path = "/";
  return target;
}

Result<Target> parse_absolute(std::string_view text) {
  Target target;
  target.form = TargetForm::kAbsolute;
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos) {
    return fail(Failure::kBadRequest, "the request target has no known form");
  }
  target.scheme = text.substr(0, colon);
  if (!equals_ignore_case(target.scheme, "http") && !equals_ignore_case(target.scheme, "https")) {
    return fail(Failure::kBadRequest, "the target's scheme is neither http nor https");
  }
  const std::string_view rest = text.substr(colon + 3);
  const size_t end = std::min(rest.find_first_of("/?"), rest.size());
  target.authority = rest.substr(0, end);
  if (!valid_authority(target.authority)) {
    return fail(Failure::kBadRequest, "the target's authority is not valid");
  }
  return parse_path_and_query(target, rest.substr(end));
}

bool valid_port(std::string_view port) {
  if (port.size() > 5 || !std::all_of(port.begin(), port.end(), is_digit)) return false;
  unsigned value = 0;
  for (const char c : port) value = value * 10 + static_cast<unsigned>(c - '0');
  return value <= 65535;
}

bool valid_ipv6(std::string_view text) {
  const auto ip = IpAddress::parse(text);
  return ip.has_value() && text.find(':') != std::string_view::npos;
}

bool needs_work(std::string_view path) {
  // A cheap look first: most paths are already normal.
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%') return true;
    if (path[i] == '/' && i + 1 < path.size() && (path[i + 1] == '/' || path[i + 1] == '.')) {
      return true;
    }
  }
  return false;
}

// Decodes unreserved escapes of `path` to `out`; the rest in upper case. Returns the end.
Result<char*> decode(std::string_view path, char* out) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      *out++ = path[i];
      continue;
    }
    if (!valid_escape(path, i)) return fail(Failure::kBadRequest, "the path has a bad escape");
    const auto byte =
        static_cast<unsigned char>(hex_value(path[i + 1]) * 16 + hex_value(path[i + 2]));
    const char c = static_cast<char>(byte);
    if (c == '\0' || c == '\\' || c == '/') {
      return fail(Failure::kBadRequest, "the path has an encoded NUL, backslash or slash");
    }
    if (is_unreserved(c)) {
      *out++ = c;
    } else {
      *out++ = '%';
      *out++ = kHex[byte >> 4];
      *out++ = kHex[byte & 15];
    }
    i += 2;
  }
  return out;
}

// RFC 3986, section 5.2.4, in place; merges slashes on the way. False when it climbs above the
// root.
bool resolve_dots(char* path, size_t& size) {
  const std::string_view text(path, size);
  size_t written = 0;
  size_t at = 0;
  while (at < text.size()) {
    size_t start = at;
    while (start < text.size() && text[start] == '/') ++start;
    const size_t end = std::min(text.find('/', start), text.size());
    const std::string_view segment = text.substr(start, end - start);
    const bool last = end == text.size();
    if (segment == "." || segment == "..") {
      if (segment == "..") {
        if (written == 0) return false;
        do --written;
        while (path[written] != '/');
      }
      if (last) path[written++] = '/';
    } else if (!segment.empty() || last) {
      path[written++] = '/';
      std::copy(segment.begin(), segment.end(), path + written);
      written += segment.size();
    }
    at = end;
  }
  size = written;
  return true;
}

}  // namespace

Result<Target> parse_target(Method method, std::string_view text) {
  if (method == Method::kConnect) {
    Target target;
    target.form = TargetForm::kAuthority;
    target.authority = text;
    if (!valid_authority(text) || text.find(':') == std::string_view::npos) {
      return fail(Failure::kBadRequest, "CONNECT needs host:port");
    }
    return target;
  }
  if (text == "*") {
    if (method != Method::kOptions) {
      return fail(Failure::kBadRequest, "only OPTIONS may ask for *");
    }
    Target target;
    target.form = TargetForm::kAsterisk;
    return target;
  }
  if (text.starts_with('/')) return parse_path_and_query({}, text);
  return parse_absolute(text);
}

bool valid_authority(std::string_view text) {
  if (text.empty() || text.size() > 255 + 6) return false;
  if (text[0] == '[') {
    const size_t end = text.find(']');
    if (end == std::string_view::npos || !valid_ipv6(text.substr(1, end - 1))) return false;
    const std::string_view rest = text.substr(end + 1);
    return rest.empty() || (rest[0] == ':' && valid_port(rest.substr(1)));
  }
  const size_t colon = text.find(':');
  const std::string_view host = text.substr(0, colon);
  if (colon != std::string_view::npos && !valid_port(text.substr(colon + 1))) return false;
  if (host.empty()) return false;
  // reg-name without escapes and sub-delims: what DNS, Consul and certificates can name.
  return std::all_of(host.begin(), host.end(), is_unreserved);
}

std::string_view normalise_host(std::string_view authority, Arena& arena) {
  std::string_view host = authority;
  if (host.starts_with('[')) {
    host = host.substr(0, host.find(']') + 1);
  } else {
    host = host.substr(0, host.find(':'));
    if (host.size() > 1 && host.ends_with('.')) host.remove_suffix(1);
  }
  const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  if (std::none_of(host.begin(), host.end(), upper)) return host;
  char* out = arena.chars(host.size());
  std::transform(host.begin(), host.end(), out,
                 [upper](char c) { return upper(c) ? static_cast<char>(c + 32) : c; });
  return {out, host.size()};
}

Result<std::string_view> normalise_path(std::string_view path, Arena& arena) {
  if (!needs_work(path)) return path;
  char* const out = arena.chars(path.size() + 1);
  const auto end = decode(path, out);
  if (!end) return std::unexpected(end.error());
  auto size = static_cast<size_t>(*end - out);
  if (!resolve_dots(out, size)) {
    return fail(Failure::kBadRequest, "the path climbs above /");
  }
  return std::string_view(out, size);
}

}  // namespace lictor
