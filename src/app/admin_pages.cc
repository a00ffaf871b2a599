// The files that are part of the program: the dashboard's, and the OpenAPI document.
#include <string>

#include "app/admin_answers.h"
#include "app/admin_calls.h"
#include "app/assets.h"

namespace lictor {
namespace {

// Nothing but the port's own files; no code or style in the page itself; nobody frames it.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'";

AdminResponse asset_response(const Asset& asset) {
  AdminResponse response;
  response.content_type = asset.content_type;
  response.body = asset.bytes;
  response.headers = {{"Content-Security-Policy", std::string(kPolicy)},
                      {"Cross-Origin-Opener-Policy", "same-origin"},
                      {"Cross-Origin-Resource-Policy", "same-origin"},
                      {"Referrer-Policy", "no-referrer"}};
  return response;
}

// Of a build without the dashboard.
std::string plain_index() {
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>lictor</title>\n"
      "<h1>lictor</h1>\n"
      "<p>The dashboard is not in this build: it needs npm. Run <code>scripts/setup</code> (or "
      "<code>npm ci</code> in <code>src/app/dashboard</code>), then build again.</p>\n"
      "<p>What this port answers:</p>\n<ul>\n";
  for (const AdminCall& call : admin_calls()) {
    const bool link = call.method == "GET" && call.pattern.find('{') == std::string_view::npos;
    page.append("<li><code>").append(call.method).append(" ");
    if (link) page.append("<a href=\"").append(call.pattern).append("\">");
    page.append(call.pattern).append(link ? "</a>" : "");
    page.append("</code> ").append(call.summary).append("</li>\n");
  }
  return page += "</ul>\n</html>\n";
}

}  // namespace

AdminResponse get_index(AdminContext&) {
  if (const Asset* page = find_asset("index.html")) return asset_response(*page);
  return asset_response({"index.html", "text/html; charset=utf-8", plain_index()});
}

AdminResponse get_asset(AdminContext& context) {
  const Asset* asset = find_asset(context.params[0]);
  if (asset == nullptr) return not_found("file", context.params[0]);
  return asset_response(*asset);
}

AdminResponse get_openapi(AdminContext&) {
  AdminResponse response;
  response.body = find_asset("openapi.json")->bytes;
  return response;
}

}  // namespace lictor
