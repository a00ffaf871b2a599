// What /v1/routes and /v1/explain both show.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "model/route_table.h"

namespace lictor {

// A backend: what its document says, defaults left out.
nlohmann::ordered_json backend_json(const Backend& backend);

}  // namespace lictor
