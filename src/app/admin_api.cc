#include "app/admin_api.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "app/admin_answers.h"
#include "app/admin_calls.h"
#include "base/address.h"

namespace lictor {
namespace {

constexpr std::string_view kBlank = " \t\r\n";

AdminApi::Now system_clocks() {
  using std::chrono::duration_cast;
  const auto system = std::chrono::system_clock::now().time_since_epoch();
  const auto steady = std::chrono::steady_clock::now().time_since_epoch();
  return {duration_cast<Millis>(system).count(), duration_cast<Millis>(steady).count()};
}

// Takes as long whatever the first wrong byte is.
bool equal_in_constant_time(std::string_view given, std::string_view secret) {
  size_t difference = given.size() ^ secret.size();
  for (size_t i = 0; i < given.size(); ++i) {
    difference |= static_cast<uint8_t>(given[i] ^ secret[i % secret.size()]);
  }
  return difference == 0;
}

std::string_view without_port(std::string_view host) {
  const size_t colon = host.rfind(':');
  const size_t bracket = host.rfind(']');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  return has_port ? host.substr(0, colon) : host;
}

bool is_read(std::string_view method) { return method == "GET" || method == "HEAD"; }

// A page of another site may make a browser send a request here; the browser then tells so.
bool cross_site(const AdminRequest& request) {
  for (const Field& field : *request.fields) {
    if (equals_ignore_case(field.name, "sec-fetch-site") && field.value != "same-origin" &&
        field.value != "none") {
      return true;
    }
    if (equals_ignore_case(field.name, "origin")) {
      const size_t scheme = field.value.find("://");
      if (scheme == std::string_view::npos ||
          !equals_ignore_case(field.value.substr(scheme + 3), request.host)) {
        return true;
      }
    }
  }
  return false;
}

// One segment off the front of a path such as "/a/b"; nullopt at its end.
std::optional<std::string_view> next_segment(std::string_view& path) {
  if (path.empty()) return std::nullopt;
  path.remove_prefix(1);
  const std::string_view segment = path.substr(0, path.find('/'));
  path.remove_prefix(segment.size());
  return segment;
}

enum class Matched : uint8_t { kNo, kYes, kBadEncoding };

Matched match_path(std::string_view pattern, std::string_view path,
                   std::array<std::string, kMaxAdminParams>& params) {
  if (!path.starts_with('/')) return Matched::kNo;
  size_t count = 0;
  bool good = true;
  while (true) {
    const auto wanted = next_segment(pattern);
    const auto given = next_segment(path);
    if (!wanted || !given) {
      if (wanted || given) return Matched::kNo;
      return good ? Matched::kYes : Matched::kBadEncoding;
    }
    if (!wanted->starts_with('{')) {
      if (*wanted != *given) return Matched::kNo;
      continue;
    }
    if (given->empty()) return Matched::kNo;
    if (!percent_decode(*given, params[count++])) good = false;
  }
}

bool takes_method(const AdminCall& call, std::string_view method) {
  return call.method == method || (call.method == "GET" && method == "HEAD");
}

bool is_open(const AdminRequest& request) {
  const auto calls = admin_calls();
  return std::any_of(calls.begin(), calls.end(), [&request](const AdminCall& call) {
    std::array<std::string, kMaxAdminParams> params;
    return call.open && match_path(call.pattern, request.path, params) == Matched::kYes;
  });
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

AdminApi::AdminApi(AdminSource& source, Options options)
    : source_(source), options_([&options] {
        if (!options.now) options.now = system_clocks;
        return std::move(options);
      }()) {}

AdminResponse AdminApi::handle(const AdminRequest& request) const {
  AdminResponse response = answer(request);
  response.headers.emplace_back("Cache-Control", "no-store");
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return response;
}

AdminResponse AdminApi::answer(const AdminRequest& request) const {
  if (!host_allowed(request.host)) {
    return admin_problem(421, "misdirected_request", "Misdirected Request",
                         "the Host must be an address, localhost or the configured name");
  }
  if (options_.token && !is_open(request) && !token_matches(*request.fields)) {
    AdminResponse response = admin_problem(401, "unauthorized", "Unauthorized",
                                           "send the content of admin.token_file as bearer token");
    response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"lictor\"");
    return response;
  }
  if (!is_read(request.method) && cross_site(request)) {
    return admin_problem(403, "forbidden", "Forbidden",
                         "refused: a page of another site sent this");
  }
  return dispatch(request);
}

AdminResponse AdminApi::dispatch(const AdminRequest& request) const {
  std::string allow;
  for (const AdminCall& call : admin_calls()) {
    AdminContext context{source_, request, {}, {}};
    const Matched matched = match_path(call.pattern, request.path, context.params);
    if (matched == Matched::kNo) continue;
    if (matched == Matched::kBadEncoding) {
      return admin_problem(400, "bad_request", "Bad Request",
                           "malformed percent-encoding in the path");
    }
    if (takes_method(call, request.method)) {
      context.now = options_.now();
      return call.handle(context);
    }
    if (!allow.empty()) allow += ", ";
    allow += call.method;
    if (call.method == "GET") allow += ", HEAD";
  }
  if (allow.empty()) {
    return admin_problem(404, "not_found", "Not Found",
                         "no such call; GET /v1/openapi.json lists them");
  }
  AdminResponse response =
      admin_problem(405, "method_not_allowed", "Method Not Allowed", "allowed here: " + allow);
  response.headers.emplace_back("Allow", allow);
  return response;
}

// Against DNS rebinding: a page can make its own name resolve to this address, but then that name
// is the Host. A request without one is no browser's.
bool AdminApi::host_allowed(std::string_view host) const {
  if (host.empty()) return true;
  const std::string_view name = without_port(host);
  return IpAddress::parse(name).has_value() || equals_ignore_case(name, "localhost") ||
         (!options_.host_name.empty() && equals_ignore_case(name, options_.host_name));
}

bool AdminApi::token_matches(const Fields& fields) const {
  constexpr std::string_view kScheme = "bearer ";
  if (options_.token->empty()) return false;
  const Field* found = nullptr;
  for (const Field& field : fields) {
    if (field.id != FieldId::kAuthorization) continue;
    if (found != nullptr) return false;  // two tokens: not for us to choose
    found = &field;
  }
  if (found == nullptr || found->value.size() < kScheme.size() ||
      !equals_ignore_case(found->value.substr(0, kScheme.size()), kScheme)) {
    return false;
  }
  return equal_in_constant_time(trimmed(found->value.substr(kScheme.size())), *options_.token);
}

}  // namespace lictor
