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

  // What a connection carries is known from the first answer on.
  void learn(const ConsulAnswer& answer) {
    if (answer.status == 0) return;
    const size_t connections = std::max<size_t>(2, consul.config().max_connections) - 1;
    if (budget.set_slots(connections * (answer.multiplexed ? kStreams : 1))) waker.update();
  }

  static constexpr size_t kStreams = 100;  // a connection, with HTTP/2; as many as curl uses of one

  Scheduler& scheduler;
  Consul consul;
  QueryBudget budget;
  ConsulMonitor monitor;
  Waker waker;
};

}  // namespace lictor
