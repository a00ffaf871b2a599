// One Consul agent as its watches share it: the client, the slots, what is known of its health, and
// what wakes the watches that need not ask.
#pragma once

#include <algorithm>

#include "control/budget.h"
#include "control/consul.h"
#include "control/monitor.h"
#include "control/scheduler.h"
#include "control/waker.h"

namespace lictor {

struct Agent {
  // One connection is left for what is no watch (registration), where there is more than one.
  Agent(const ConsulConfig& config, Scheduler& time, Fetcher& fetcher)
      : scheduler(time),
        consul(config, fetcher),
        budget(std::max<size_t>(2, config.max_connections) - 1),
        monitor(time, config.address),
        waker(*this) {}

  Scheduler& scheduler;
  Consul consul;
  QueryBudget budget;
  ConsulMonitor monitor;
  Waker waker;
};

}  // namespace lictor
