// What the filters of all workers share beside their configuration: one a gateway, used by every
// worker's thread.
#pragma once

namespace lictor {

struct FilterShared {};

}  // namespace lictor
