// The calls of the admin port, one entry a call, and what their handlers share.
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

// application/problem+json, as the gateway's own answers on the data plane.
AdminResponse admin_problem(uint16_t status, std::string_view code, std::string_view title,
                            std::string_view detail);

// "%2F" to "/"; false when a '%' is not followed by two hex digits.
bool percent_decode(std::string_view text, std::string& out);

}  // namespace lictor
