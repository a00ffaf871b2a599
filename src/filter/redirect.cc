// `redirect`: {"status": 308, "scheme": "https", "host": "...", "path": "..."}. A part that is
// absent stays; the query stays unless `path` has one. A request that is already where it would be
// sent goes on, so that {"scheme": "https"} serves plaintext and TLS listeners alike.
#include <string>

#include "filter/makers.h"
#include "filter/template.h"
#include "http/message.h"
#include "http/uri.h"

namespace lictor {
namespace {

class Redirect : public Filter {
 public:
  std::string_view name() const override { return "redirect"; }
  bool answers() const override { return true; }
  bool rehearsable() const override { return true; }
  Step on_request(Call& call) const override;

  uint16_t status = 308;
  std::string scheme;
  std::string host;
  bool has_path = false;
  bool has_query = false;  // in `path`
  Template path;

 private:
  std::string_view new_host(const Call& call, std::string_view authority) const;
  std::string_view new_target(Call& call) const;
};

std::string_view Redirect::new_host(const Call& call, std::string_view authority) const {
  if (!host.empty()) return host;
  // The port of the old scheme is not one of the new.
  const bool other_scheme = !scheme.empty() && scheme != call.scheme();
  if (!other_scheme) return authority;
  const size_t colon = authority.rfind(':');
  const bool has_port = colon != std::string_view::npos && !authority.ends_with(']');
  return has_port ? authority.substr(0, colon) : authority;
}

std::string_view Redirect::new_target(Call& call) const {
  const std::string_view target = call.request().target;
  if (!has_path) return target;
  const std::string_view made = path.expand(call, call.arena());
  const size_t query = target.find('?');
  if (has_query || query == std::string_view::npos) return made;
  return call.arena().concat(made, target.substr(query));
}

Step Redirect::on_request(Call& call) const {
  const Head& request = call.request();
  const std::string_view to_scheme = scheme.empty() ? call.scheme() : std::string_view(scheme);
  const std::string_view to_host = new_host(call, request.authority);
  const std::string_view target = new_target(call);
  const bool same = to_scheme == call.scheme() && target == request.target &&
                    equals_ignore_case(to_host, request.authority);
  if (same) return Step::kNext;
  if (to_host.empty() || target.empty()) {
    call.reply(Error{Failure::kBadRequest, false, "the request has no host to redirect from"});
    return Step::kStop;
  }
  Fields fields;
  fields.add(call.arena(), "Location", call.arena().concat(to_scheme, "://", to_host, target));
  call.reply(status, fields, {});
  return Step::kStop;
}

void read_path(JsonObject& object, Redirect& redirect, const FilterContext& context) {
  std::string text;
  if (!object.text("path", text)) return;
  const auto at = object.find("path");
  redirect.has_path = true;
  redirect.has_query = text.find('?') != std::string::npos;
  if (!text.starts_with('/')) {
    at->fail("must begin with '/'");
  } else if (text.starts_with("//")) {
    at->fail("must begin with one '/'");
  } else if (text.find_first_of(" #\\\"<>") != std::string::npos) {
    at->fail("has a character that a path can't have: percent-encode it");
  }
  redirect.path.parse(*at, text, context);
}

}  // namespace

FilterPtr make_redirect(const JsonValue& config, const FilterContext& context) {
  auto redirect = std::make_shared<Redirect>();
  config.read_object([&](JsonObject& object) {
    if (object.whole("status", redirect->status, 301, 308) &&
        (redirect->status > 303 && redirect->status < 307)) {
      object.fail("status", "must be 301, 302, 303, 307 or 308");
    }
    std::string_view scheme;
    object.choice("scheme", scheme, {{"http", std::string_view("http")}, {"https", "https"}});
    redirect->scheme = scheme;
    if (object.text("host", redirect->host) && !valid_authority(redirect->host)) {
      object.fail("host", in_quotes(redirect->host) +
                              R"( is not a host such as "example.com" or "example.com:8443")");
    }
    read_path(object, *redirect, context);
    if (!object.has("scheme") && !object.has("host") && !object.has("path")) {
      object.fail("leads nowhere: give it a scheme, host or path");
    }
  });
  return redirect;
}

}  // namespace lictor
