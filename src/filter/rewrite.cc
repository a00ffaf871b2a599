// `rewrite`: {"strip_prefix": "/user"} (adds X-Forwarded-Prefix), {"prefix": "/v2"},
// {"path": "/orders/${path.id}"}, {"host": "..."}. `strip_prefix` comes first, then `prefix` in
// front; `path` replaces the whole path instead. The query stays.
#include <algorithm>
#include <string>

#include "filter/makers.h"
#include "filter/template.h"
#include "http/message.h"
#include "http/uri.h"

namespace lictor {
namespace {

class Rewrite : public Filter {
 public:
  std::string_view name() const override { return "rewrite"; }
  bool rehearsable() const override { return true; }
  Step on_request(Call& call) const override;

  std::string strip_prefix;
  std::string prefix;
  bool has_path = false;
  Template path;
  std::string host;

 private:
  std::string_view new_path(Call& call, std::string_view old) const;
};

// "/user" of "/user" and "/user/1", not of "/users".
bool has_prefix(std::string_view path, std::string_view prefix) {
  return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

std::string_view Rewrite::new_path(Call& call, std::string_view old) const {
  if (has_path) return path.expand(call, call.arena());
  std::string_view rest = old;
  if (!strip_prefix.empty() && has_prefix(old, strip_prefix)) {
    rest.remove_prefix(strip_prefix.size());
    call.request().fields.add(
        call.arena(), Field{"X-Forwarded-Prefix", strip_prefix, FieldId::kXForwardedPrefix});
  }
  if (!prefix.empty()) return call.arena().concat(prefix, rest);
  return rest.empty() ? "/" : rest;
}

Step Rewrite::on_request(Call& call) const {
  Head& request = call.request();
  if (!host.empty()) {
    request.authority = host;
    for (Field& field : request.fields) {
      if (field.id == FieldId::kHost) field.value = host;
    }
  }
  const size_t end = std::min(request.target.find('?'), request.target.size());
  const std::string_view old = request.target.substr(0, end);
  const std::string_view query = request.target.substr(end);
  const std::string_view made = new_path(call, old);
  const bool unchanged = made.data() == old.data() && made.size() == old.size();
  if (unchanged || made.empty()) return Step::kNext;
  request.target = query.empty() ? made : call.arena().concat(made, query);
  return Step::kNext;
}

// A path that stands in front of others: "/v2", without a slash at the end.
void read_prefix(JsonObject& object, std::string_view key, std::string& out) {
  std::string text;
  if (!object.text(key, text)) return;
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  Arena arena;
  const auto normal = normalise_path(text, arena);
  if (!text.starts_with('/') || text == "/" || !normal || *normal != text ||
      text.find_first_of(" ?#\\\"<>{}") != std::string::npos) {
    object.fail(key, in_quotes(text) + R"( is not a path prefix such as "/user")");
  }
  out = std::move(text);
}

void read_path(JsonObject& object, Rewrite& rewrite, const FilterContext& context) {
  std::string text;
  if (!object.text("path", text)) return;
  const auto at = object.find("path");
  rewrite.has_path = true;
  if (!text.starts_with('/')) {
    at->fail("must begin with '/'");
  } else if (text.find_first_of(" ?#\\\"<>") != std::string::npos) {
    at->fail("has a character that a path can't have (the query stays by itself)");
  }
  rewrite.path.parse(*at, text, context);
  if (object.has("strip_prefix") || object.has("prefix")) {
    at->fail("replaces the whole path: it doesn't go with strip_prefix or prefix");
  }
}

}  // namespace

FilterPtr make_rewrite(const JsonValue& config, const FilterContext& context) {
  auto rewrite = std::make_shared<Rewrite>();
  config.read_object([&](JsonObject& object) {
    read_prefix(object, "strip_prefix", rewrite->strip_prefix);
    read_prefix(object, "prefix", rewrite->prefix);
    read_path(object, *rewrite, context);
    if (object.text("host", rewrite->host) && !valid_authority(rewrite->host)) {
      object.fail("host", in_quotes(rewrite->host) +
                              R"( is not a host such as "example.com" or "example.com:8080")");
    }
    if (!object.has("strip_prefix") && !object.has("prefix") && !object.has("path") &&
        !object.has("host")) {
      object.fail("changes nothing: give it strip_prefix, prefix, path or host");
    }
  });
  return rewrite;
}

}  // namespace lictor
