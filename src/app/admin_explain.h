// GET /v1/explain: model/explain.h as an answer of the admin port.
#pragma once

#include "app/admin_calls.h"

namespace lictor {

AdminResponse get_explain(AdminContext& context);

}  // namespace lictor
