// What is known of the agent's well-being, from the watches' reports: whether it is connected, how
// old the oldest unconfirmed knowledge is. Says in the log when the agent is lost and when it is
// back, each once, however many watches notice.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "control/consul.h"
#include "control/scheduler.h"

namespace lictor {

class ConsulMonitor {
 public:
  // Whose fault a watch's trouble is: the agent's (not reached, 5xx, 429) or its query's alone.
  enum class Fault : uint8_t { kAgent, kQuery };

  ConsulMonitor(Scheduler& scheduler, std::string address);

  // `watch` is any stable identity; `what` its name in messages.
  void failed(const void* watch, const std::string& what, Fault fault, const std::string& error);
  void succeeded(const void* watch, const std::string& what, const ConsulAnswer& answer);
  void leader(bool known) { known_leader_ = known; }
  void gone(const void* watch);

  bool connected() const { return ever_connected_ && agent_faults_ == 0; }
  bool ever_connected() const { return ever_connected_; }
  bool known_leader() const { return known_leader_; }
  Millis staleness() const;
  const std::string& last_error() const { return last_error_; }
  uint64_t errors_total() const { return errors_total_; }

 private:
  struct Trouble {
    Fault fault;
    Millis since;
    std::string logged;  // the error that the log has; empty = none
  };
  void erase(std::map<const void*, Trouble>::iterator trouble);
  void note_connection();

  Scheduler& scheduler_;
  const std::string address_;
  const Millis started_;
  std::map<const void*, Trouble> troubles_;
  size_t agent_faults_ = 0;
  bool ever_connected_ = false;
  bool said_lost_ = false;
  bool known_leader_ = false;
  Millis last_contact_{0};
  std::string last_error_;
  uint64_t errors_total_ = 0;
};

}  // namespace lictor
