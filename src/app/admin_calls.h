// The calls of the admin port, one entry a call, and their handlers by the file they are in.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "app/admin_api.h"

namespace lictor {

inline constexpr size_t kMaxAdminParams = 2;

struct AdminContext {
  AdminSource& source;
  const AdminRequest& request;
  AdminApi::Now now;
  // What the pattern's {parts} stand for, decoded, in order.
  std::array<std::string, kMaxAdminParams> params;
};

struct AdminCall {
  std::string_view method;   // GET takes HEAD too
  std::string_view pattern;  // "/v1/routes/{name}": a {part} is one whole segment, not empty
  std::string_view summary;
  AdminResponse (*handle)(AdminContext&);
  bool open = false;  // needs no token
};

std::span<const AdminCall> admin_calls();

// admin_pages.cc
AdminResponse get_index(AdminContext& context);
AdminResponse get_asset(AdminContext& context);
AdminResponse get_openapi(AdminContext& context);

// admin_state.cc
AdminResponse get_healthz(AdminContext& context);
AdminResponse get_readyz(AdminContext& context);
AdminResponse get_status(AdminContext& context);
AdminResponse get_stats(AdminContext& context);
AdminResponse get_config(AdminContext& context);

// admin_routes.cc
AdminResponse get_routes(AdminContext& context);
AdminResponse get_route(AdminContext& context);

// admin_explain.cc
AdminResponse get_explain(AdminContext& context);

// admin_upstreams.cc
AdminResponse get_upstreams(AdminContext& context);
AdminResponse get_upstream(AdminContext& context);
AdminResponse post_eject(AdminContext& context);
AdminResponse post_restore(AdminContext& context);

// admin_process.cc
AdminResponse get_metrics(AdminContext& context);
AdminResponse get_events(AdminContext& context);
AdminResponse post_drain(AdminContext& context);
AdminResponse get_log_level(AdminContext& context);
AdminResponse put_log_level(AdminContext& context);

}  // namespace lictor
