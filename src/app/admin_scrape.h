// What /metrics shows beside the workers' cells.
#pragma once

#include "app/admin_api.h"

namespace lictor {

ScrapeInput scrape_input(const AdminSource& source);

}  // namespace lictor
