#include "filter/template.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "http/rules.h"

namespace lictor {

bool Template::parse(const JsonValue& at, std::string_view text, const FilterContext& context) {
  if (!is_field_value(text)) {
    at.fail("must not have control characters");
    return false;
  }
  std::string literal;
  const auto flush = [&] {
    if (!literal.empty()) parts_.push_back({Kind::kLiteral, std::exchange(literal, {})});
  };
  while (!text.empty()) {
    if (text.starts_with("$${")) {
      literal += "${";
      text.remove_prefix(3);
    } else if (text.starts_with("${")) {
      const size_t end = text.find('}');
      if (end == std::string_view::npos) {
        at.fail("\"${\" without \"}\" behind it");
        return false;
      }
      flush();
      if (!parse_variable(at, text.substr(2, end - 2), context)) return false;
      text.remove_prefix(end + 1);
    } else {
      literal += text[0];
      text.remove_prefix(1);
    }
  }
  flush();
  return true;
}

bool Template::parse_variable(const JsonValue& at, std::string_view name,
                              const FilterContext& context) {
  constexpr std::array<std::pair<std::string_view, Kind>, 6> kNames = {{
      {"client_ip", Kind::kClientIp},
      {"request_id", Kind::kRequestId},
      {"route", Kind::kRoute},
      {"service", Kind::kService},
      {"user", Kind::kUser},
      {"client_cert.subject", Kind::kClientCert},
  }};
  constexpr std::string_view kPath = "path.";
  constexpr std::string_view kClaim = "claim.";
  for (const auto& [known, kind] : kNames) {
    if (name != known) continue;
    parts_.push_back({kind, {}});
    return true;
  }
  const std::string shown = "${" + std::string(name.substr(0, 64)) + "}";
  if (name.starts_with(kClaim) && name.size() > kClaim.size()) {
    parts_.push_back({Kind::kClaim, std::string(name.substr(kClaim.size()))});
    return true;
  }
  if (!name.starts_with(kPath) || name.size() == kPath.size()) {
    std::vector<std::string_view> words{"path.<name>", "claim.<name>"};
    for (const auto& known : kNames) words.push_back(known.first);
    at.fail("unknown variable " + in_quotes(shown) + did_you_mean(name, words));
    return false;
  }
  const std::string_view capture = name.substr(kPath.size());
  if (context.captures != nullptr && std::find(context.captures->begin(), context.captures->end(),
                                               capture) == context.captures->end()) {
    const std::vector<std::string_view> words(context.captures->begin(), context.captures->end());
    at.fail("unknown variable " + in_quotes(shown) + ": no path of this route captures {" +
            std::string(capture.substr(0, 64)) + "}" + did_you_mean(capture, words));
    return false;
  }
  parts_.push_back({Kind::kCapture, std::string(capture)});
  return true;
}

std::string_view Template::value(const Part& part, const Call& call, Arena& arena) {
  switch (part.kind) {
    case Kind::kLiteral:
      return part.text;
    case Kind::kClientIp: {
      char* const out = arena.chars(INET6_ADDRSTRLEN);
      return {out, call.client_ip().format(out)};
    }
    case Kind::kRequestId:
      return call.request_id();
    case Kind::kRoute:
      return call.route();
    case Kind::kService:
      return call.service();
    case Kind::kUser:
      return call.user();
    case Kind::kClientCert:
      return call.client_cert_subject();
    case Kind::kClaim:
      return arena.copy(call.claim(part.text));  // the log is written when the claims are gone
    case Kind::kCapture:
      break;
  }
  return call.capture(part.text);
}

std::string_view Template::expand(const Call& call, Arena& arena) const {
  if (constant()) return literal_prefix();
  if (parts_.size() == 1) {
    const std::string_view only = value(parts_[0], call, arena);
    return is_field_value(only) ? only : std::string_view{};
  }
  const auto values = arena.array<std::string_view>(parts_.size());
  size_t size = 0;
  for (size_t i = 0; i < parts_.size(); ++i) {
    values[i] = value(parts_[i], call, arena);
    if (!is_field_value(values[i])) return {};
    size += values[i].size();
  }
  char* const out = arena.chars(size + 1);
  char* at = out;
  for (const auto text : values) at = std::copy(text.begin(), text.end(), at);
  return {out, size};
}

std::string_view Template::literal_prefix() const {
  return parts_.empty() || variable(parts_[0]) ? std::string_view{} : parts_[0].text;
}

}  // namespace lictor
