#include "model/fabio.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <expected>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>
#include <utility>

#include "base/json.h"

namespace lictor {
namespace {

using Json = nlohmann::ordered_json;
using Wrong = std::unexpected<std::string>;

constexpr std::string_view kPrefix = "urlprefix-";
constexpr std::string_view kBlank = " \t";
constexpr double kWeightUnits = 10'000;

// All of a tag but whose it is and its weight: tags that are equal here are one route.
struct Rule {
  std::string host;
  std::string path;  // as in the tag
  std::string strip;
  std::string prepend;
  std::string send_host;  // "dst", or the host to send
  std::string redirect;   // "301,https://..."
  std::vector<std::string> allow;
  std::vector<std::string> deny;

  auto operator<=>(const Rule&) const = default;
};

struct Tag {
  Rule rule;
  std::optional<double> weight;  // a share of the traffic
};

// One instance-carrying tag of one service.
struct Target {
  std::string service;
  std::string tag;
  std::optional<double> weight;
};

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// The next word off the front; empty at the end.
std::string_view take_word(std::string_view& text) {
  text = trimmed(text);
  const std::string_view word = text.substr(0, text.find_first_of(kBlank));
  text.remove_prefix(word.size());
  return word;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// --- one tag -------------------------------------------------------------------------------------

std::string read_prefix(std::string_view text, Rule& rule) {
  if (text.starts_with(':')) {
    return "a port (" + std::string(text) + ") is a TCP route: lictor routes HTTP only";
  }
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return "has no path: write urlprefix-host/path or urlprefix-/path";
  }
  if (text.find('$') != std::string_view::npos) {
    return "has a variable of fabio's environment ($...): write its value";
  }
  if (text.find_first_of("{}*", slash) != std::string_view::npos) {
    return "paths of tags are prefixes: a pattern needs a route in KV";
  }
  rule.host = lower(text.substr(0, slash));
  rule.path = text.substr(slash);
  return {};
}

std::string read_access(std::string_view text, std::vector<std::string>& ranges) {
  constexpr std::string_view kIp = "ip:";
  while (!text.empty()) {
    std::string_view one = text.substr(0, text.find(','));
    text.remove_prefix(std::min(one.size() + 1, text.size()));
    if (!one.starts_with(kIp)) return in_quotes(one) + " is not as in allow=ip:10.0.0.0/8";
    one.remove_prefix(kIp.size());
    ranges.emplace_back(one);
  }
  return ranges.empty() ? "allow and deny need addresses" : std::string();
}

std::string read_weight(std::string_view text, std::optional<double>& weight) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool number = error == std::errc() && end == text.data() + text.size();
  if (!number || !(value >= 0 && value <= 1)) return "weight is a share from 0 to 1";
  if (value > 0) weight = value;  // 0 is "none of its own" to fabio
  return {};
}

std::string read_proto(std::string_view value) {
  if (value == "http") return {};
  if (value == "tcp") return "proto=tcp is a TCP route: lictor routes HTTP only";
  return "proto=" + std::string(value) + ": " + std::string(kNotSupported);
}

std::string read_option(std::string_view word, Tag& tag) {
  static const std::vector<std::string_view> kKnown{
      "strip", "prepend", "host", "proto", "weight", "tlsskipverify", "allow", "deny", "redirect"};
  const size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  const std::string_view value =
      equals == std::string_view::npos ? std::string_view{} : word.substr(equals + 1);
  if (value.empty()) return "option " + in_quotes(word) + " has no value";
  Rule& rule = tag.rule;
  if (name == "strip") {
    rule.strip = value;
  } else if (name == "prepend") {
    rule.prepend = value;
  } else if (name == "host") {
    rule.send_host = value;
  } else if (name == "redirect") {
    rule.redirect = value;
  } else if (name == "proto") {
    return read_proto(value);
  } else if (name == "weight") {
    return read_weight(value, tag.weight);
  } else if (name == "tlsskipverify") {
    return value == "false" ? std::string() : "tlsskipverify: " + std::string(kNotSupported);
  } else if (name == "allow") {
    return read_access(value, rule.allow);
  } else if (name == "deny") {
    return read_access(value, rule.deny);
  } else {
    return "option " + in_quotes(name) + " is not known to lictor" + did_you_mean(name, kKnown);
  }
  return {};
}

std::expected<Tag, std::string> read_tag(std::string_view text) {
  Tag tag;
  std::string_view rest = trimmed(text).substr(kPrefix.size());
  std::string wrong = read_prefix(take_word(rest), tag.rule);
  while (wrong.empty()) {
    const std::string_view word = take_word(rest);
    if (word.empty()) return tag;
    wrong = read_option(word, tag);
  }
  return Wrong(std::move(wrong));
}

// --- documents -----------------------------------------------------------------------------------

// "/foo" and "/foo/" are "/foo/*".
std::string pattern_of(std::string path) {
  while (path.ends_with('/')) path.pop_back();
  return path + "/*";
}

// The filters of "301,https://host/prefix$path".
std::expected<Json, std::string> redirect_filters(std::string_view text) {
  constexpr std::string_view kPath = "$path";
  const size_t comma = text.find(',');
  std::string_view url = comma == std::string_view::npos ? "" : text.substr(comma + 1);
  int status = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), status);
  const size_t scheme_end = url.find("://");
  if (error != std::errc() || end != text.data() + comma || scheme_end == std::string_view::npos) {
    return Wrong("redirect is as in redirect=301,https://example.com$path");
  }
  Json redirect = {{"status", status}, {"scheme", lower(url.substr(0, scheme_end))}};
  url.remove_prefix(scheme_end + 3);
  const bool keeps_path = url.ends_with(kPath);
  if (keeps_path) url.remove_suffix(kPath.size());
  if (url.find('$') != std::string_view::npos)
    return Wrong("$path stands at the end of a redirect");
  const size_t slash = std::min(url.find('/'), url.size());
  redirect["host"] = url.substr(0, slash);
  std::string path(url.substr(slash));
  Json filters = Json::array();
  if (!keeps_path) {
    redirect["path"] = path.empty() ? "/" : path;
  } else {
    while (path.ends_with('/')) path.pop_back();
    if (!path.empty()) filters.push_back({{"rewrite", {{"prefix", path}}}});
  }
  filters.push_back({{"redirect", std::move(redirect)}});
  return filters;
}

std::expected<Json, std::string> filters_of(const Rule& rule) {
  Json filters = Json::array();
  if (!rule.allow.empty() || !rule.deny.empty()) {
    filters.push_back({{"ip_access", {{"allow", rule.allow}, {"deny", rule.deny}}}});
  }
  Json rewrite = Json::object();
  if (!rule.strip.empty()) rewrite["strip_prefix"] = rule.strip;
  if (!rule.prepend.empty()) rewrite["prefix"] = rule.prepend;
  if (!rule.send_host.empty() && rule.send_host != "dst") rewrite["host"] = rule.send_host;
  if (!rewrite.empty()) filters.push_back({{"rewrite", std::move(rewrite)}});
  if (rule.redirect.empty()) return filters;
  auto redirect = redirect_filters(rule.redirect);
  if (!redirect) return Wrong(redirect.error());
  filters.insert(filters.end(), redirect->begin(), redirect->end());
  return filters;
}

// Shares that tags give are theirs; what is left is divided equally among the others.
Json backends_of(const std::vector<Target>& targets, bool instance_host) {
  double given = 0;
  size_t others = 0;
  for (const Target& target : targets) {
    given += target.weight.value_or(0);
    others += target.weight ? 0 : 1;
  }
  const double rest = others == 0 ? 0 : std::max(0.0, 1 - given) / static_cast<double>(others);
  Json backends = Json::array();
  for (const Target& target : targets) {
    Json backend = {{"service", target.service}, {"tags", {target.tag}}};
    if (given > 0) {
      backend["weight"] =
          static_cast<uint32_t>(std::lround(target.weight.value_or(rest) * kWeightUnits));
    }
    if (instance_host) backend["host"] = "instance";
    backends.push_back(std::move(backend));
  }
  return backends;
}

std::expected<std::string, std::string> document_of(const Rule& rule,
                                                    const std::vector<Target>& targets) {
  auto filters = filters_of(rule);
  if (!filters) return Wrong(filters.error());
  Json json = Json::object();
  if (!rule.host.empty()) json["hosts"] = {rule.host};
  json["path"] = pattern_of(rule.path);
  if (rule.redirect.empty()) json["backends"] = backends_of(targets, rule.send_host == "dst");
  if (!filters->empty()) json["filters"] = std::move(*filters);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The same in every process and version: keys stay.
std::string hash_of(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), hash >> 32, 16).ptr;
  const std::string shown(digits.data(), end);
  return std::string(8 - shown.size(), '0') + shown;
}

std::string key_of(const std::string& service, std::string_view what) {
  return std::string(kFabioKey) + service + "/" + hash_of(what);
}

}  // namespace

std::vector<FabioRoute> read_fabio_tags(
    const std::map<std::string, std::vector<std::string>>& tags) {
  std::map<Rule, std::vector<Target>> rules;
  std::map<std::string, FabioRoute> found;
  const auto add_error = [&found](const Target& target, const std::string& error) {
    std::string key = key_of(target.service, target.tag);
    found[key] = {key, {}, "tag " + in_quotes(target.tag) + ": " + error};
  };
  for (const auto& [service, list] : tags) {
    for (const auto& text : list) {
      if (!trimmed(text).starts_with(kPrefix)) continue;
      Target target{service, text, std::nullopt};
      auto tag = read_tag(text);
      if (!tag) {
        add_error(target, tag.error());
        continue;
      }
      target.weight = tag->weight;
      rules[std::move(tag->rule)].push_back(std::move(target));
    }
  }
  for (const auto& [rule, targets] : rules) {
    auto text = document_of(rule, targets);
    if (!text) {
      for (const Target& target : targets) add_error(target, text.error());
      continue;
    }
    // Not by the weights, so that the key stays when shares change.
    std::string identity = rule.host + rule.path;
    for (const auto* part : {&rule.strip, &rule.prepend, &rule.send_host, &rule.redirect}) {
      identity += " " + *part;
    }
    for (const auto& range : rule.allow) identity += " +" + range;
    for (const auto& range : rule.deny) identity += " -" + range;
    std::string key = key_of(targets.front().service, identity);
    found[key] = {key, std::move(*text), {}};
  }
  std::vector<FabioRoute> out;
  out.reserve(found.size());
  for (auto& [key, route] : found) out.push_back(std::move(route));
  return out;
}

}  // namespace lictor
