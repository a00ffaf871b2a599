// One worker's side of an upstream: its balancer over the usable instances, and of each instance
// the connections, idle and busy. Belongs to the worker's thread; what workers share is in
// model/upstream.h.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/list.h"
#include "base/local_ptr.h"
#include "http/h1_client.h"
#include "io/loop.h"
#include "model/upstream.h"
#include "proxy/balancer.h"
#include "telemetry/metrics.h"

namespace lictor {

// An instance and its pool. Lives while it is in its upstream's list or a request is with it;
// connections that are idle when the instance goes, or become so later, are closed.
class LocalInstance final : public LocalCounted, public H1ClientOwner {
 public:
  LocalInstance(Loop& loop, const Instance& instance, std::shared_ptr<InstanceCells> cells);
  ~LocalInstance();

  // An idle connection, the one used last, unless `fresh`; else one that is being made. The caller
  // releases it.
  ClientStream& acquire(const UpstreamPolicy& policy, bool fresh);
  // No longer in the list.
  void retire();
  void update(const Instance& instance) { weight_ = instance.weight; }

  const std::string& id() const { return id_; }
  const std::string& address() const { return address_; }
  const std::string& identity() const { return identity_; }
  InstanceState& state() const { return *state_; }
  InstanceCells& cells() const { return *cells_; }
  uint32_t weight() const { return weight_; }

  // H1ClientOwner
  void on_idle(H1Client& client) override;
  void on_closed(H1Client& client) override;

 private:
  void expire_idle();
  void arm_idle_timer();

  Loop& loop_;
  std::string id_;
  std::string address_;
  std::string identity_;
  SocketAddress socket_address_;
  std::shared_ptr<InstanceState> state_;
  std::shared_ptr<InstanceCells> cells_;
  uint32_t weight_;
  bool retired_ = false;
  Millis idle_timeout_{0};
  List<H1Client> idle_;  // last used first
  List<H1Client> busy_;
  Timer idle_timer_;
};

class LocalUpstream final : public LocalCounted {
 public:
  LocalUpstream(Loop& loop, Metrics& metrics, size_t worker, std::string service);
  ~LocalUpstream();

  void set_policy(std::shared_ptr<const Upstream> upstream);
  void set_instances(InstanceListPtr list);

  // Null when no instance may take a request. None of `excluded`, unless there is no other.
  LocalInstance* pick(std::span<const LocalPtr<LocalInstance>> excluded);
  // What came of a try; may eject.
  void report(LocalInstance& instance, bool success);
  bool is_failure_status(uint16_t status) const;

  const std::string& service() const { return service_; }
  const UpstreamPolicy& policy() const { return upstream_->policy; }
  UpstreamCells& cells() const { return *cells_; }

 private:
  void rebuild();

  Loop& loop_;
  Metrics& metrics_;
  const size_t worker_;
  const std::string service_;
  std::shared_ptr<const Upstream> upstream_;
  std::shared_ptr<UpstreamCells> cells_;
  InstanceListPtr list_;
  std::vector<LocalPtr<LocalInstance>> instances_;  // as in list_
  RoundRobin balancer_;
  uint64_t seen_version_ = 0;
  bool stale_ = true;
};

}  // namespace lictor
