// One worker's side of an upstream: its instances, a balancer for each subset that routes ask for,
// and the requests that wait for a connection. Belongs to the worker's thread; what workers share
// (ejection, counts against limits) is in model/upstream.h.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/list.h"
#include "base/local_ptr.h"
#include "io/loop.h"
#include "model/route_table.h"
#include "model/upstream.h"
#include "proxy/balancer.h"
#include "proxy/local_instance.h"
#include "telemetry/metrics.h"

namespace lictor {

// A request that waits until its upstream may open another connection.
class Waiter : public ListNode<Waiter> {
 public:
  // It left the queue: try again.
  virtual void on_room() = 0;

 protected:
  ~Waiter() = default;
};

class RequestSlot;

class LocalUpstream final : public LocalCounted, public RoomWatcher, public Flushable {
 public:
  LocalUpstream(Loop& loop, Metrics& metrics, size_t worker, std::string service);
  ~LocalUpstream();

  void set_policy(std::shared_ptr<const Upstream> upstream);
  void set_instances(InstanceListPtr list);

  // The number of the target's subset, which may be of an older snapshot than the policy. Good
  // until the next policy.
  uint32_t subset(const Destination& target);
  // Null when no instance of the subset may take a request.
  LocalInstance* pick(uint32_t subset, const Balancer::Hint& hint);
  // As of the last pick: false when what is picked there is only better than nothing.
  bool has_usable(uint32_t subset) const { return groups_[subset].has_usable; }

  // One more try; false when max_requests are in flight. `retry`: it counts against the budget.
  bool begin_request(RequestSlot& slot, bool retry);
  // For when LocalInstance::acquire gave nothing. False when max_pending are waiting; else on_room
  // comes at a later turn, unless the waiter unlinks itself by leave(). One that finds no room then
  // and waits again keeps its place.
  bool wait(Waiter& waiter);
  void leave(Waiter& waiter);
  // Others wait already: who comes now must wait behind them.
  bool must_wait(const Waiter& waiter) const { return waiting_ > 0 && &waiter != retrying_; }
  // Retries in flight are a share of all tries in flight (retry_budget_percent), though a few are
  // always allowed: when everything fails, retries must not double the load.
  // `failed` may still hold its place.
  bool can_retry(const RequestSlot* failed = nullptr) const;

  // What came of a try; may eject.
  void report(LocalInstance& instance, bool success);
  bool is_failure_status(uint16_t status) const;

  const std::string& service() const { return service_; }
  const UpstreamPolicy& policy() const { return upstream_->policy; }
  UpstreamCells& cells() const { return *cells_; }

  // RoomWatcher
  void on_room() override;
  // Flushable: waiters go on at the end of the turn.
  void flush() override;

 private:
  // The instances of one subset.
  struct Group {
    Subset subset;
    std::unique_ptr<Balancer> balancer;
    bool stale = true;
    bool has_usable = false;
  };
  friend class RequestSlot;
  void rebuild(Group& group);
  uint32_t ramped_weight(const Instance& instance, const LocalInstance& local, bool& ramping) const;
  bool in_panic(Group& group) const;
  void mark_stale();
  bool others_wait() const;
  bool may_connect() const;
  bool has_room() const;
  bool close_one_idle();
  void make_room();
  void on_wake();
  void subscribe();
  void unsubscribe();
  uint64_t seed(const Subset& subset) const;

  static constexpr uint32_t kFewRetries = 3;
  static constexpr uint32_t kRampScale = 256;

  Loop& loop_;
  Metrics& metrics_;
  const size_t worker_;
  const std::string service_;
  std::shared_ptr<const Upstream> upstream_;
  std::shared_ptr<UpstreamCells> cells_;
  InstanceListPtr list_;
  std::vector<LocalPtr<LocalInstance>> instances_;  // as in list_
  std::vector<Group> groups_;                       // as in upstream_->subsets
  uint64_t seen_version_ = 0;
  uint64_t next_ramp_ms_ = UINT64_MAX;  // while an instance starts slowly: when weights change next
  List<Waiter> waiters_;
  uint32_t waiting_ = 0;
  const Waiter* retrying_ = nullptr;  // left the queue and looks for room
  bool their_turn_ = true;  // when both wait: the last room was for other workers' waiters
  bool giving_ = false;     // closes an idle connection for them
  uint32_t tries_ = 0;      // in flight
  uint32_t retries_ = 0;    // those of them that are not their request's first
  // For other threads' wake-ups: null once this is gone; read on this thread alone.
  std::shared_ptr<LocalUpstream*> self_;
};

// A try in flight, as the limits count it: given back when it is reset or goes.
class RequestSlot {
 public:
  RequestSlot() = default;
  ~RequestSlot() { reset(); }
  RequestSlot(const RequestSlot&) = delete;
  RequestSlot& operator=(const RequestSlot&) = delete;
  void reset();

 private:
  friend class LocalUpstream;
  LocalPtr<LocalUpstream> upstream_;
  std::shared_ptr<UpstreamState> state_;  // when there is a max_requests
  bool retry_ = false;
};

}  // namespace lictor
