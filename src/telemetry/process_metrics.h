// What the kernel knows of this process, under the names that all Prometheus clients use.
#pragma once

#include "telemetry/exposition.h"

namespace lictor {

// Reads /proc. A family that can't be read is left out.
void render_process_metrics(Exposition& out);

}  // namespace lictor
