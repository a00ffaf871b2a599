#include "proxy/local_upstream.h"

#include <algorithm>

#include "proxy/ejection.h"

namespace lictor {
namespace {

constexpr uint32_t kMostWeight = 65'535;

bool is_up(const Instance& instance) {
  return instance.health == Health::kPassing || instance.health == Health::kWarning;
}

bool out_by_operator(const Instance& instance) {
  return instance.state->ejected_until_ms.load(std::memory_order_relaxed) ==
         InstanceState::kUntilRestored;
}

}  // namespace

void RequestSlot::reset() {
  if (!upstream_) return;
  --upstream_->tries_;
  if (retry_) --upstream_->retries_;
  if (state_ != nullptr) state_->requests.fetch_sub(1, std::memory_order_relaxed);
  state_.reset();
  upstream_.reset();
}

LocalUpstream::LocalUpstream(Loop& loop, Metrics& metrics, size_t worker, std::string service)
    : loop_(loop),
      metrics_(metrics),
      worker_(worker),
      service_(std::move(service)),
      cells_(metrics.upstream(worker, service_)),
      self_(std::make_shared<LocalUpstream*>(this)) {}

LocalUpstream::~LocalUpstream() {
  *self_ = nullptr;
  unsubscribe();
  for (const auto& instance : instances_) instance->retire();
}

// --- what is in force ----------------------------------------------------------------------------

uint64_t LocalUpstream::seed(const Subset& subset) const {
  uint64_t seed = stable_hash(service_) + worker_;
  for (const auto& tag : subset.tags) seed ^= stable_hash(tag);
  return seed;
}

void LocalUpstream::set_policy(std::shared_ptr<const Upstream> upstream) {
  const bool same_kind =
      upstream_ != nullptr && upstream_->policy.balance == upstream->policy.balance;
  std::vector<Group> groups;
  for (const Subset& subset : upstream->subsets) {
    Group group{subset, nullptr, true};
    for (Group& old : groups_) {
      if (same_kind && old.subset == subset) group.balancer = std::move(old.balancer);
    }
    if (group.balancer == nullptr) {
      group.balancer = make_balancer(upstream->policy.balance, seed(subset));
    }
    groups.push_back(std::move(group));
  }
  groups_ = std::move(groups);
  upstream_ = std::move(upstream);
  mark_stale();
  on_room();  // a limit may have been raised
}

void LocalUpstream::set_instances(InstanceListPtr list) {
  const uint64_t joined = list_ == nullptr ? 0 : loop_.now_ms();
  if (list_ == nullptr || list_->state != list->state) {
    unsubscribe();
    if (list_ != nullptr) list_->state->pending.fetch_sub(waiting_, std::memory_order_relaxed);
    list->state->pending.fetch_add(waiting_, std::memory_order_relaxed);
    list_ = list;
    subscribe();
  }
  std::vector<LocalPtr<LocalInstance>> next;
  next.reserve(list->instances.size());
  auto old = instances_.begin();
  for (const Instance& instance : list->instances) {
    const std::string identity = instance.identity();
    while (old != instances_.end() && (*old)->identity() < identity) (*old++)->retire();
    if (old != instances_.end() && (*old)->identity() == identity) {
      next.push_back(std::move(*old++));
    } else {
      next.push_back(make_local<LocalInstance>(loop_, instance, list->state,
                                               metrics_.instance(worker_, service_, instance.id),
                                               *this, joined));
    }
  }
  while (old != instances_.end()) (*old++)->retire();
  instances_.swap(next);  // the old ones live until the balancers have forgotten them
  list_ = std::move(list);
  mark_stale();
  for (Group& group : groups_) rebuild(group);
  on_room();
}

void LocalUpstream::mark_stale() {
  for (Group& group : groups_) group.stale = true;
}

// --- the choice ----------------------------------------------------------------------------------

// A new instance, or one back from its ejection, starts at a tenth of its weight.
uint32_t LocalUpstream::ramped_weight(const Instance& instance, const LocalInstance& local,
                                      bool& ramping) const {
  const auto ramp = static_cast<uint64_t>(policy().slow_start.count());
  const auto returned =
      static_cast<uint64_t>(instance.state->returned_ms.load(std::memory_order_relaxed));
  const uint64_t since = std::max(local.joined_ms(), returned);
  const uint64_t now = loop_.now_ms();
  const uint32_t weight = std::min(instance.weight, kMostWeight);
  if (ramp == 0 || since == 0 || now >= since + ramp) return weight * kRampScale;
  ramping = true;
  const uint64_t part =
      std::max<uint64_t>((now - std::min(now, since)) * kRampScale / ramp, kRampScale / 10);
  return static_cast<uint32_t>(std::max<uint64_t>(weight * part, 1));
}

// So few instances are left that they would break under the load: better all that may be alive.
bool LocalUpstream::in_panic(const Group& group) const {
  uint64_t all = 0;
  uint64_t usable = 0;
  for (const Instance& instance : list_->instances) {
    if (!group.subset.takes(instance)) continue;
    ++all;
    usable += instance.usable && instance.weight > 0 && !instance.state->ejected() ? 1 : 0;
  }
  return usable * 100 < uint64_t{policy().panic_percent} * all;
}

void LocalUpstream::rebuild(Group& group) {
  group.stale = false;
  const bool panic = in_panic(group);
  const bool weighted = policy().balance != Balance::kRoundRobin;
  bool ramping = false;
  std::vector<Balancer::Entry> entries;
  for (size_t i = 0; i < instances_.size(); ++i) {
    const Instance& instance = list_->instances[i];
    if (instance.weight == 0 || !group.subset.takes(instance)) continue;
    const bool taken = panic ? is_up(instance) && !out_by_operator(instance)
                             : instance.usable && !instance.state->ejected();
    if (!taken) continue;
    entries.push_back(
        {instances_[i].get(), weighted ? ramped_weight(instance, *instances_[i], ramping) : 1});
  }
  group.balancer->set(entries);
  if (ramping) {
    const auto step =
        std::max<uint64_t>(static_cast<uint64_t>(policy().slow_start.count()) / 20, 20);
    next_ramp_ms_ = std::min(next_ramp_ms_, loop_.now_ms() + step);
  }
}

LocalInstance* LocalUpstream::pick(uint32_t subset, const Balancer::Hint& hint) {
  if (list_ == nullptr) return nullptr;
  return_expired(service_, *list_, static_cast<int64_t>(loop_.now_ms()));
  const uint64_t version = list_->state->version.load(std::memory_order_acquire);
  if (seen_version_ != version) {
    seen_version_ = version;
    mark_stale();
  }
  if (loop_.now_ms() >= next_ramp_ms_) {
    next_ramp_ms_ = UINT64_MAX;
    mark_stale();
  }
  Group& group = groups_[subset];
  if (group.stale) rebuild(group);
  return static_cast<LocalInstance*>(group.balancer->pick(hint));
}

void LocalUpstream::report(LocalInstance& instance, bool success) {
  if (success) {
    report_success(instance.state());
  } else if (list_ != nullptr) {
    report_failure(service_, policy().ejection, *list_, instance.state(), instance.id(),
                   static_cast<int64_t>(loop_.now_ms()));
  }
}

bool LocalUpstream::is_failure_status(uint16_t status) const {
  const auto& list = policy().ejection.failure_status;
  return std::find(list.begin(), list.end(), status) != list.end();
}

// --- limits --------------------------------------------------------------------------------------

bool LocalUpstream::begin_request(RequestSlot& slot, bool retry) {
  slot.reset();
  if (policy().max_requests != 0 && list_ != nullptr) {
    auto& requests = list_->state->requests;
    if (requests.fetch_add(1, std::memory_order_relaxed) >= policy().max_requests) {
      requests.fetch_sub(1, std::memory_order_relaxed);
      return false;
    }
    slot.state_ = list_->state;
  }
  slot.upstream_ = LocalPtr<LocalUpstream>(this);
  slot.retry_ = retry;
  ++tries_;
  if (retry) ++retries_;
  return true;
}

bool LocalUpstream::can_retry() const {
  const uint32_t percent = policy().retry_budget_percent;
  // The try that failed is no longer counted among those in flight.
  const auto share = static_cast<uint32_t>(uint64_t{tries_ + 1} * percent / 100);
  return percent > 0 && retries_ < std::max(kFewRetries, share);
}

bool LocalUpstream::wait(Waiter& waiter) {
  UpstreamState& state = *list_->state;
  if (state.pending.fetch_add(1, std::memory_order_relaxed) >= policy().max_pending) {
    state.pending.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  // Who looked in vain keeps its place.
  flushing_ ? waiters_.push_front(waiter) : waiters_.push_back(waiter);
  ++waiting_;
  make_room();
  return true;
}

void LocalUpstream::leave(Waiter& waiter) {
  if (!waiter.linked()) return;
  waiter.unlink();
  --waiting_;
  list_->state->pending.fetch_sub(1, std::memory_order_relaxed);
}

// Idle connections to other instances hold the places of those that would be used.
void LocalUpstream::make_room() {
  for (const auto& instance : instances_) {
    if (instance->close_one_idle()) return;
  }
  // Who looked in vain has nothing new to say: workers would wake each other without end.
  if (!flushing_) wake_others();
}

void LocalUpstream::on_room() {
  if (waiting_ > 0) {
    loop_.flush_later(*this);
  } else if (others_wait()) {
    wake_others();
  }
}

bool LocalUpstream::others_wait() const {
  return list_ != nullptr && list_->state->pending.load(std::memory_order_relaxed) > waiting_;
}

void LocalUpstream::flush() {
  const LocalPtr<LocalUpstream> alive(this);  // a waiter may be the last one that needs it
  flushing_ = true;
  while (!waiters_.empty()) {
    const uint32_t before = waiting_;
    Waiter& waiter = waiters_.front();
    leave(waiter);
    waiter.on_room();
    if (waiting_ >= before) break;  // it found no room after all, and waits again
  }
  flushing_ = false;
}

// --- other workers -------------------------------------------------------------------------------

void LocalUpstream::subscribe() {
  const std::lock_guard lock(list_->state->mutex);
  list_->state->wakers[this] = [&loop = loop_, self = self_] {
    loop.post([self] {
      LocalUpstream* const upstream = *self;
      if (upstream == nullptr) return;
      if (upstream->waiting_ > 0) {
        upstream->loop_.flush_later(*upstream);
      } else if (upstream->others_wait()) {
        for (const auto& instance : upstream->instances_) {
          if (instance->close_one_idle()) return;
        }
      }
    });
  };
}

void LocalUpstream::unsubscribe() {
  if (list_ == nullptr) return;
  const std::lock_guard lock(list_->state->mutex);
  list_->state->wakers.erase(this);
}

void LocalUpstream::wake_others() {
  const std::lock_guard lock(list_->state->mutex);
  for (const auto& [owner, wake] : list_->state->wakers) {
    if (owner != this) wake();
  }
}

}  // namespace lictor
