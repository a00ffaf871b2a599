// What the filters of all workers share beside their configuration: one a gateway, used by every
// worker's thread.
#pragma once

#include "base/siphash.h"
#include "filter/in_use.h"
#include "filter/rate_table.h"
#include "filter/redis_links.h"

namespace lictor {

struct FilterShared {
  const HashSeed seed = random_seed();  // of the keys of the tables
  RateTable rates;
  InUse in_use;
  RedisLinks redis;
};

}  // namespace lictor
