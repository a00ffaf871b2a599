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

// One request against max_requests, given back when it is reset or goes.
class RequestSlot {
 public:
  RequestSlot() = default;
  ~RequestSlot() { reset(); }
  RequestSlot(const RequestSlot&) = delete;
  RequestSlot& operator=(const RequestSlot&) = delete;
  void reset();

 private:
  friend class LocalUpstream;
  std::shared_ptr<UpstreamState> state_;
};

class LocalUpstream final : public LocalCounted, public RoomWatcher, public Flushable {
 public:
  LocalUpstream(Loop& loop, Metrics& metrics, size_t worker, std::string service);
  ~LocalUpstream();

  void set_policy(std::shared_ptr<const Upstream> upstream);
  void set_instances(InstanceListPtr list);

  // Null when no instance of the subset may take a request.
  LocalInstance* pick(uint32_t subset, const Balancer::Hint& hint);

  // One more request, against max_requests; false when there are too many.
  bool begin_request(RequestSlot& slot);
  // For when LocalInstance::acquire gave nothing. False when max_pending are waiting; else on_room
  // comes at a later turn, unless the waiter unlinks itself by leave().
  bool wait(Waiter& waiter);
  void leave(Waiter& waiter);
  // Retries are a share of the requests (retry_budget_percent), and a few always.
  bool can_retry();
  bool take_retry();

  // What came of a try; may eject.
  void report(LocalInstance& instance, bool success);
  bool is_failure_status(uint16_t status) const;

  const std::string& service() const { return service_; }
  const UpstreamPolicy& policy() const { return upstream_->policy; }
  UpstreamCells& cells() const { return *cells_; }

  // RoomWatcher
  void on_room() override;
  bool others_wait() const override;
  // Flushable: waiters go on at the end of the turn.
  void flush() override;

 private:
  // The instances of one subset.
  struct Group {
    Subset subset;
    std::unique_ptr<Balancer> balancer;
    bool stale = true;
  };
  void rebuild(Group& group);
  uint32_t ramped_weight(const Instance& instance, const LocalInstance& local, bool& ramping) const;
  bool in_panic(const Group& group) const;
  void mark_stale();
  void make_room();
  void subscribe();
  void unsubscribe();
  void wake_others();
  uint64_t seed(const Subset& subset) const;

  static constexpr double kRetryReserve =
      10;  // retries that are always allowed, refilled each second
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
  double retry_budget_ = kRetryReserve;
  uint64_t budget_ms_ = 0;
  // For other threads' wake-ups: null once this is gone; read on this thread alone.
  std::shared_ptr<LocalUpstream*> self_;
};

}  // namespace lictor
