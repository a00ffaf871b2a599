// The gateway in Consul's catalog: registered with the agent at the start, again when the agent has
// forgotten it, deregistered at the end. Nothing waits for it and nothing depends on it: what goes
// wrong is logged once and tried again, less and less often.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/addresses.h"
#include "control/agent.h"
#include "model/bootstrap.h"

namespace lictor {

// What is told to the agent.
struct RegistrationEntry {
  std::string id;  // unique among the gateways of one agent
  std::string service;
  std::vector<std::string> tags;
  std::string address;  // empty: the node's
  uint16_t port = 0;
  std::string check_url;

  // For PUT /v1/agent/service/register. `ready`: what the check will say.
  std::string body(bool ready) const;
};

// The error says why the agent couldn't check a gateway that listens there.
std::expected<RegistrationEntry, std::string> make_registration(const RegisterConfig& config,
                                                                const ConsulConfig& consul,
                                                                const GatewayAddresses& addresses,
                                                                const std::string& host_name);

class Registration {
 public:
  static constexpr Millis kLookEvery{10'000};
  static constexpr Millis kDeadline{5'000};  // of one query
  static constexpr Millis kFarewell{1'000};  // of the deregistration
  static constexpr Millis kRetryBase{1'000};
  static constexpr Millis kRetryCap{60'000};

  Registration(Agent& agent, RegistrationEntry entry, std::function<bool()> ready);

  void start();
  // Deregisters, and calls `done` from the loop: when that is done, has failed, or took too long.
  void leave(std::function<void()> done);

 private:
  void act();
  void ask(ConsulQuery query, void (Registration::*then)(const ConsulAnswer&));
  void on_registered(const ConsulAnswer& answer);
  void on_looked(const ConsulAnswer& answer);
  void on_left(const ConsulAnswer& answer);
  void end();
  void fail(const ConsulAnswer& answer);
  void note(const std::string& error);

  Agent& agent_;
  const RegistrationEntry entry_;
  const std::function<bool()> ready_;
  std::unique_ptr<ScheduledCall> timer_;     // the next thing to do
  std::unique_ptr<ScheduledCall> deadline_;  // of the query under way
  std::unique_ptr<Fetch> fetch_;
  bool told_ = false;        // the agent has been asked to register it
  bool registered_ = false;  // and had it when it was last looked at
  uint32_t faults_ = 0;      // in a row
  std::string trouble_;      // that the log has
  std::function<void()> done_;
};

}  // namespace lictor
