// GET /v1/events (SPEC 6): tells every change of configuration, health and ejection to those who
// listen. Control thread only. A listener gets ready-made text of a server-sent event; how it
// sends it, and when it is too slow, is its own business (admin_server.cc).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "control/control.h"
#include "model/snapshot.h"

namespace lictor {

class EventHub {
 public:
  static constexpr size_t kMaxListeners = 64;

  class Listener {
   public:
    // May leave the hub, itself alone.
    virtual void on_event(std::string_view text) = 0;

   protected:
    ~Listener() = default;
  };

  // False: there are kMaxListeners already.
  bool join(Listener& listener);
  void leave(Listener& listener) { listeners_.erase(&listener); }
  size_t listeners() const { return listeners_.size(); }

  // Another snapshot is in force; `change` says what made it.
  void on_snapshot(const Snapshot& snapshot, const ConfigChange& change);
  void on_state(std::string_view state);  // starting, ready, draining
  // The instances of a service, from now on. What differs from those before is an event each.
  void on_instances(const std::string& service, InstanceListPtr instances);
  // Looks for ejections and returns since the last look. Cheap when there are none.
  void look_for_ejections();
  // Services that are no longer of interest.
  void keep_only(const Snapshot& snapshot);

 private:
  struct Service {
    InstanceListPtr list;
    uint64_t version = 0;           // of the ejections that were looked at
    std::set<std::string> ejected;  // identities
  };
  void look(const std::string& name, Service& service);
  void send(std::string_view type, const std::string& json);

  std::set<Listener*> listeners_;
  std::map<std::string, Service> services_;
  uint64_t last_id_ = 0;
};

}  // namespace lictor
