// The control plane's face: everything that decides, behind one class. It reads documents (from
// Consul KV or a directory), compiles them, watches the services they name, and tells its user what
// is in force. One thread, that of the loop it is given; nothing blocks it.
//
// What the user is told, and in which order, always from a loop callback and never from inside
// start() or a getter:
//   on_instances(service)  each time the instances of a service change, and that service alone.
//   When
//                          known, before the on_snapshot that first references the service.
//   on_snapshot            each time another configuration is in force, the first one included.
//   on_ready_change        once, when ready() becomes true; it never goes back.
// There is no event for a service that is referenced no longer: drop what the snapshot lacks.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/addresses.h"
#include "model/bootstrap.h"
#include "model/compiler.h"
#include "model/snapshot.h"

using uv_loop_t = struct uv_loop_s;

namespace lictor {

struct ControlParts;

// For /v1/status and the lictor_consul_* metrics.
struct ConsulStatus {
  std::string address;
  bool connected = false;     // no watch is failing for the agent's sake
  bool known_leader = false;  // as the last answer said
  double staleness_s = 0;    // age of the oldest knowledge that can't be confirmed; 0 = all current
  uint64_t queries = 0;      // asked since the start
  uint64_t connections = 0;  // open to the agent now
  uint64_t errors_total = 0;  // queries without a usable answer
  std::string last_error;     // "kv lictor: HTTP 500: No cluster leader"; empty = none yet
  std::map<std::pair<std::string, std::string>, uint64_t> by_outcome;  // {endpoint, outcome}
};

// Of one URI that `jwt` filters take their keys from.
struct JwksStatus {
  std::string uri;
  uint64_t ok = 0;  // fetches
  uint64_t failed = 0;
  size_t keys = 0;
  double age_s = -1;       // of the keys; below 0 = there are none yet
  std::string last_error;  // of the last fetch; empty = it was good
};

// One entry of /v1/config's history.
struct ConfigChange {
  uint64_t revision = 0;
  int64_t time_ms = 0;               // wall clock, since the epoch
  std::vector<std::string> changed;  // full keys
};

class Control {
 public:
  class User {
   public:
    virtual void on_snapshot(SnapshotPtr snapshot) = 0;
    virtual void on_instances(const std::string& service, InstanceListPtr instances) = 0;
    virtual void on_ready_change() = 0;

   protected:
    ~User() = default;
  };

  // `loop` and `user` outlive this. Nothing is asked before start().
  Control(uv_loop_t* loop, const Bootstrap& bootstrap, User& user);
  // With parts of the caller's choosing instead of curl and libuv: for tests.
  Control(std::unique_ptr<ControlParts> parts, const Bootstrap& bootstrap, User& user);
  ~Control();  // stops; the loop must run once more, so that handles can close
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  // With the addresses to be registered in Consul's catalog, if it is to be.
  void start(const GatewayAddresses& addresses = {});
  // What files say that documents name (of certificates) may have changed: they are read again.
  void reread_files();
  // Takes the gateway out of Consul's catalog; `done` is called from the loop, in about a second at
  // most.
  void leave(std::function<void()> done);
  // Ends every query and timer; no event follows. What is known stays to be read. Idempotent; not
  // from inside an event.
  void stop();

  // Ready: the documents and every service they reference have been read once. Then always.
  bool ready() const;
  std::vector<std::string> not_ready_reasons() const;

  // "consul" or "directory"; "snapshot" while the documents are those of the snapshot file.
  std::string_view source() const;
  // Documents, or instances of some service, are still those of the snapshot file.
  bool restored() const;
  bool has_consul() const;
  ConsulStatus consul_status() const;  // all zero without a Consul

  std::vector<JwksStatus> jwks() const;  // by URI

  SnapshotPtr snapshot() const;                                 // in force; null before the first
  InstanceListPtr instances(const std::string& service) const;  // null when unknown
  // Sorted by key; keys are full ("lictor/routes/users"; with a directory "routes/users").
  std::vector<DocumentStatus> documents() const;
  std::deque<ConfigChange> history() const;  // the last 100, oldest first
  uint64_t rejected_documents() const;       // stale or rejected

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lictor
