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
#include <utility>
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

  // Ahead of all else: instances as they were in an earlier life, by service. They are in force
  // until the service itself has been read.
  void restore(std::map<std::string, std::vector<Instance>> services);
  // What restore() gave and nobody has asked for is of no use any more.
  void forget_restored() { restored_.clear(); }

  void prepare(const Snapshot& snapshot);
  void adopt(const Snapshot& snapshot);
  void keep_only(const Snapshot& snapshot);
  void stop();  // ends watches and lookups; the lists stay

  // Services of a snapshot that have neither been read yet nor restored.
  std::vector<std::string> unanswered(const Snapshot& snapshot) const;
  // Whether there are none: cheap to ask after each answer of a load.
  bool all_answered(const Snapshot& snapshot) const;
  // Whether one of them is still as it was restored.
  bool any_restored(const Snapshot& snapshot) const;
  // Those that come from Consul, for the next life.
  std::vector<std::pair<std::string, InstanceListPtr>> found_services() const;
  InstanceListPtr instances(const std::string& service) const;  // null when unknown

 private:
  struct Service {
    std::string name;          // its key
    std::string catalog_name;  // in Consul
    std::string datacenter;    // empty = the agent's
    HealthFloor floor = HealthFloor::kWarning;
    std::vector<Endpoint> endpoints;  // not empty: in force instead of `found`
    std::vector<Instance> found;      // in Consul, as parsed
    // As they were before the agent was lost, by identity: those that are unproven now, and those
    // that may still become so.
    std::map<std::string, Instance> forgiven;
    std::map<std::string, Instance> forgivable;
    Millis back_at{0};
    bool answered = false;
    bool restored = false;  // `found` is from an earlier life
    bool known() const { return answered || restored; }
    std::set<std::string> names;  // that were to be resolved
    InstanceListPtr list;
    std::unique_ptr<Watch> watch;
  };
  Service& service_of(const Upstream& upstream);
  bool answered(const Upstream& upstream) const;
  void watch(Service& service);
  Watch::Verdict on_answer(Service& service, const ConsulAnswer& answer, Watch::Trust trust);
  void forgive(Service& service, const ServiceAnswer& answer, bool after_loss);
  void end_forgiveness();
  bool rebuild(Service& service);
  std::vector<Instance> static_instances(const Service& service, std::set<std::string>& names);
  void resolve(const Service& service, std::vector<Instance>& instances,
               std::set<std::string>& names);
  void want_names(Service& service, std::set<std::string> names);
  void on_resolved(const std::string& name);

  Scheduler& scheduler_;
  Agent* const agent_;
  User& user_;
  Resolver resolver_;
  std::unique_ptr<ScheduledCall> forgive_timer_;
  std::map<std::string, std::unique_ptr<Service>> services_;
  std::map<std::string, std::vector<Instance>> restored_;  // not asked for yet
};

}  // namespace lictor
