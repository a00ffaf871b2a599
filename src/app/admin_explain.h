// GET /v1/explain: model/explain.h as an answer of the admin port.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "app/admin_calls.h"
#include "model/route_table.h"

namespace lictor {

AdminResponse get_explain(AdminContext& context);
// A backend as both /v1/routes and /v1/explain show it: what its document says, defaults left out.
nlohmann::ordered_json backend_json(const Backend& backend);

}  // namespace lictor
