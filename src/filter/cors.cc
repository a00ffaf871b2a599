// `cors`: {"origins": [], "methods": [], "headers": [], "expose": [], "credentials": false,
// "max_age": "10m"}, as the Fetch standard has it. Preflights are answered here. Nobody is refused:
// what an origin may not see its browser keeps from it, because the answer lacks the fields that
// allow it. These fields are the gateway's alone: those of the service are dropped.
#include "filter/cors.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "filter/makers.h"
#include "http/rules.h"
#include "http/uri.h"

namespace lictor {
namespace {

constexpr size_t kMaxOrigins = 256;
constexpr size_t kMaxNames = 64;
constexpr Millis kDay{24 * 60 * 60 * 1000};

// --- origins -------------------------------------------------------------------------------------

bool is_host_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

// One entry of `origins`: all, one, or those of a domain's subdomains.
class OriginPattern {
 public:
  static std::expected<OriginPattern, std::string> parse(std::string_view text);

  bool all() const { return all_; }
  // Origins are compared as bytes: browsers write them in one way (Fetch, "origin header").
  bool matches(std::string_view origin) const {
    if (all_) return true;
    if (!wildcard_) return origin == head_;
    if (origin.size() <= head_.size() + tail_.size()) return false;
    if (!origin.starts_with(head_) || !origin.ends_with(tail_)) return false;
    const auto labels = origin.substr(head_.size(), origin.size() - head_.size() - tail_.size());
    return labels.front() != '.' && std::all_of(labels.begin(), labels.end(), is_host_char);
  }

 private:
  bool all_ = false;
  bool wildcard_ = false;
  std::string head_;  // the whole origin, or "https://" before the wildcard
  std::string tail_;  // ".example.com:8443" behind it
};

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

// A port that the scheme implies is never part of an origin.
void drop_default_port(std::string& origin) {
  for (const auto& [scheme, port] : {std::pair("http://", ":80"), std::pair("https://", ":443")}) {
    if (origin.starts_with(scheme) && origin.ends_with(port)) {
      origin.erase(origin.size() - std::string_view(port).size());
    }
  }
}

std::expected<OriginPattern, std::string> OriginPattern::parse(std::string_view text) {
  OriginPattern out;
  out.all_ = text == "*";
  out.head_ = lower_case(text);
  if (out.all_ || text == "null") return out;
  const auto refuse = [text](std::string_view why) {
    return std::unexpected(
        in_quotes(text) + " is not an origin such as \"https://example.com\": " + std::string(why));
  };
  const size_t end_of_scheme = text.find("://");
  if (end_of_scheme == std::string_view::npos || end_of_scheme == 0) {
    return refuse("it needs a scheme");
  }
  std::string_view authority = text.substr(end_of_scheme + 3);
  if (authority.find_first_of("/?#") != std::string_view::npos) {
    return refuse("it has no path, and no '/' at its end");
  }
  drop_default_port(out.head_);
  out.wildcard_ = authority.starts_with("*.");
  if (out.wildcard_) {
    authority.remove_prefix(2);
    out.tail_ = out.head_.substr(end_of_scheme + 4);
    out.head_.erase(end_of_scheme + 3);
  }
  if (authority.find('*') != std::string_view::npos) {
    return refuse("a '*' stands for subdomains, as in \"https://*.example.com\"");
  }
  if (authority.empty() || authority.starts_with('.') || !valid_authority(authority)) {
    return refuse("it needs a host");
  }
  return out;
}

// --- fields --------------------------------------------------------------------------------------

constexpr std::string_view kAllowOrigin = "Access-Control-Allow-Origin";
constexpr std::string_view kAllowCredentials = "Access-Control-Allow-Credentials";
constexpr std::string_view kAllowMethods = "Access-Control-Allow-Methods";
constexpr std::string_view kAllowHeaders = "Access-Control-Allow-Headers";
constexpr std::string_view kExposeHeaders = "Access-Control-Expose-Headers";
constexpr std::string_view kMaxAge = "Access-Control-Max-Age";
constexpr std::string_view kPrefix = "Access-Control-";

// The only one of its name; null when there is none or more.
const Field* find_only(const Fields& fields, std::string_view name) {
  const Field* found = nullptr;
  for (const Field& field : fields) {
    if (!equals_ignore_case(field.name, name)) continue;
    if (found != nullptr) return nullptr;
    found = &field;
  }
  return found;
}

bool is_policy(const Field& field) {
  if (field.name.size() <= kPrefix.size() ||
      !equals_ignore_case(field.name.substr(0, kPrefix.size()), kPrefix)) {
    return false;
  }
  static constexpr std::array kNames{kAllowOrigin,  kAllowCredentials, kAllowMethods,
                                     kAllowHeaders, kExposeHeaders,    kMaxAge};
  return std::any_of(kNames.begin(), kNames.end(), [&field](std::string_view name) {
    return equals_ignore_case(field.name, name);
  });
}

// Caches must not give one origin's answer to another.
void vary_by_origin(Fields& fields, Arena& arena) {
  for (const Field& field : fields) {
    if (!equals_ignore_case(field.name, "Vary")) continue;
    if (list_has_token(field.value, "*") || list_has_token(field.value, "Origin")) return;
  }
  fields.add(arena, "Vary", "Origin");
}

bool is_list_of_tokens(std::string_view list) {
  bool good = true;
  for_each_element(list, [&good](std::string_view element) { return good = is_token(element); });
  return good;
}

// --- the filter ----------------------------------------------------------------------------------

class Cors : public Filter {
 public:
  std::string_view name() const override { return "cors"; }
  bool rehearsable() const override { return true; }
  Step on_request(Call& call) const override;
  void on_response(Call& call) const override;

  std::vector<OriginPattern> origins;
  std::string methods;  // a list; empty = the one that was asked for, which the route takes
  std::string headers;
  std::string expose;
  bool any_method = false;
  bool any_header = false;
  bool credentials = false;
  std::string max_age = "600";

 private:
  // What a request said, before later filters change it.
  struct Seen {
    std::string_view allow_origin;  // what the answer's field says; empty = no such field
    bool preflight;
  };
  std::string_view allowed_origin(const Fields& request) const;
  // The same for everybody.
  bool constant() const { return origins.size() == 1 && origins[0].all(); }
  void answer_preflight(Call& call, std::string_view method, bool allowed) const;
};

Step Cors::on_request(Call& call) const {
  const std::string_view method = preflight_method(call.request());
  const std::string_view allowed = allowed_origin(call.request().fields);
  call.state() = call.arena().make<Seen>(allowed, !method.empty());
  if (method.empty()) return Step::kNext;
  answer_preflight(call, method, !allowed.empty());
  return Step::kStop;
}

std::string_view Cors::allowed_origin(const Fields& request) const {
  const Field* origin = find_only(request, "Origin");
  if (origin == nullptr || origin->value.empty()) return {};
  for (const OriginPattern& pattern : origins) {
    if (!pattern.matches(origin->value)) continue;
    return pattern.all() ? std::string_view("*") : origin->value;
  }
  return {};
}

// on_response gives it the fields that every answer has.
void Cors::answer_preflight(Call& call, std::string_view method, bool allowed) const {
  Arena& arena = call.arena();
  Fields fields;
  fields.add(arena, "Vary",
             "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
  if (allowed) {
    fields.add(arena, kAllowMethods, any_method ? method : std::string_view(methods));
    const Field* asked = find_only(call.request().fields, "Access-Control-Request-Headers");
    if (!any_header && !headers.empty()) fields.add(arena, kAllowHeaders, headers);
    if (any_header && asked != nullptr && is_list_of_tokens(asked->value)) {
      fields.add(arena, kAllowHeaders, asked->value);
    }
    fields.add(arena, kMaxAge, max_age);
  }
  call.reply(204, fields, {});
}

void Cors::on_response(Call& call) const {
  Fields& fields = call.response().fields;
  Arena& arena = call.arena();
  const Seen& seen = *static_cast<const Seen*>(call.state());
  if (!seen.preflight) fields.remove_if(is_policy);
  if (!constant()) vary_by_origin(fields, arena);
  if (seen.allow_origin.empty()) return;
  fields.add(arena, kAllowOrigin, seen.allow_origin);
  if (credentials) fields.add(arena, kAllowCredentials, "true");
  if (!seen.preflight && !expose.empty()) fields.add(arena, kExposeHeaders, expose);
}

// --- the document --------------------------------------------------------------------------------

// A list of tokens as one header value. `star` is set for "*", which stands alone.
void read_tokens(JsonObject& object, std::string_view key, std::string_view what, std::string& out,
                 bool& star) {
  size_t count = 0;
  object.array(key, 0, kMaxNames, [&](const JsonValue& item) {
    std::string text;
    if (!item.read_text(text)) return;
    ++count;
    if (text == "*") {
      star = true;
    } else if (!is_token(text)) {
      item.fail(in_quotes(text) + " is not " + std::string(what));
    } else {
      out += (out.empty() ? "" : ", ") + text;
    }
  });
  if (star && count > 1) object.fail(key, R"("*" stands for all: leave out the others)");
}

void read_origins(JsonObject& object, Cors& cors) {
  object.array("origins", 1, kMaxOrigins, [&cors](const JsonValue& item) {
    std::string text;
    if (!item.read_text(text)) return;
    auto pattern = OriginPattern::parse(text);
    if (!pattern) return item.fail(pattern.error());
    cors.origins.push_back(std::move(*pattern));
  });
  const bool any = std::any_of(cors.origins.begin(), cors.origins.end(),
                               [](const OriginPattern& pattern) { return pattern.all(); });
  if (!object.has("origins")) object.fail("origins is missing: who may read the answers?");
  if (any && cors.origins.size() > 1) {
    object.fail("origins", R"("*" stands for all: leave out the others)");
  }
  if (any && cors.credentials) {
    object.fail("credentials",
                R"(goes with named origins alone: with "*" every site could act as its visitors)");
  }
}

}  // namespace

std::string_view preflight_method(const Head& request) {
  if (request.method != Method::kOptions) return {};
  const Field* asked = find_only(request.fields, "Access-Control-Request-Method");
  if (asked == nullptr || !is_token(asked->value)) return {};
  return find_only(request.fields, "Origin") == nullptr ? std::string_view{} : asked->value;
}

FilterPtr make_cors(const JsonValue& config, const FilterContext&) {
  auto cors = std::make_shared<Cors>();
  config.read_object([&](JsonObject& object) {
    object.flag("credentials", cors->credentials);
    read_origins(object, *cors);
    read_tokens(object, "methods", R"(a method such as "PUT")", cors->methods, cors->any_method);
    read_tokens(object, "headers", R"(a header name such as "X-Request-Id")", cors->headers,
                cors->any_header);
    bool expose_all = false;
    read_tokens(object, "expose", R"(a header name such as "X-Request-Id")", cors->expose,
                expose_all);
    if (expose_all && cors->credentials) {
      object.fail("expose", R"(with credentials "*" would be the name of a header: name them)");
    }
    if (expose_all) cors->expose = "*";
    Millis age{0};
    if (object.duration("max_age", age, Millis{0}, kDay)) {
      cors->max_age = std::to_string(age.count() / 1000);
    }
  });
  if (cors->methods.empty()) cors->any_method = true;
  return cors;
}

}  // namespace lictor
