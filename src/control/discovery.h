// The instances of every service that is referenced: one watch a service in Consul, or at once
// those that a document lists. A change of one service delivers that service's new list alone.
//
// An agent that restarts calls every check of its own critical until it has run again. So, after
// the agent was lost, an instance that was in use and becomes critical for no other reason within
// kForgivable stays in use until its checks have run, for kForgive at most.
//
// A configuration comes in three steps, so that routes never point at services nobody has looked
// up: prepare() begins to watch what is new, adopt() puts the policies in force (floor of health,
// static endpoints) just before the snapshot is, keep_only() ends the watches that no snapshot
// needs.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/agent.h"
#include "control/catalog.h"
#include "control/resolver.h"
#include "control/watch.h"
#include "model/snapshot.h"

namespace lictor {

class Discovery {
 public:
  static constexpr Millis kForgive{30'000};
  static constexpr Millis kForgivable{5'000};  // a restarted agent has told the servers by then

  class User {
   public:
    virtual void on_instances(const std::string& service, InstanceListPtr instances) = 0;
    // A service was read for the first time.
    virtual void on_answered() = 0;

   protected:
    ~User() = default;
  };

  // Without an agent, services without endpoints have no instances. The user is never called
  // inside prepare(); inside adopt() it is, for lists that the policies change.
  Discovery(Scheduler& scheduler, Agent* agent, Resolver::Lookup lookup, User& user);
  ~Discovery();
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;

  void prepare(const Snapshot& snapshot);
  void adopt(const Snapshot& snapshot);
  void keep_only(const Snapshot& snapshot);
  void stop();  // ends watches and lookups; the lists stay

  // Services of a snapshot that have not been read yet.
  std::vector<std::string> unanswered(const Snapshot& snapshot) const;
  InstanceListPtr instances(const std::string& service) const;  // null when unknown

 private:
  struct Service {
    std::string name;
    HealthFloor floor = HealthFloor::kWarning;
    std::vector<Endpoint> endpoints;  // not empty: in force instead of `found`
    std::vector<Instance> found;      // in Consul, as parsed
    // As they were before the agent was lost, by identity: those that are unproven now, and those
    // that may still become so.
    std::map<std::string, Instance> forgiven;
    std::map<std::string, Instance> forgivable;
    Millis back_at{0};
    bool answered = false;
    std::set<std::string> names;  // that were to be resolved
    InstanceListPtr list;
    std::unique_ptr<Watch> watch;
  };
  Service& service_of(const Upstream& upstream);
  void watch(Service& service);
  Watch::Verdict on_answer(Service& service, const ConsulAnswer& answer, Watch::Trust trust);
  void forgive(Service& service, const ServiceAnswer& answer, bool after_loss);
  void end_forgiveness();
  bool rebuild(Service& service);
  void resolve(Service& service, std::vector<Instance>& instances);
  void on_resolved(const std::string& name);

  Scheduler& scheduler_;
  Agent* const agent_;
  User& user_;
  Resolver resolver_;
  std::unique_ptr<Timer> forgive_timer_;
  std::map<std::string, std::unique_ptr<Service>> services_;
};

}  // namespace lictor
