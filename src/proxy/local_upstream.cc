#include "proxy/local_upstream.h"

#include <algorithm>

#include "proxy/ejection.h"

namespace lictor {
namespace {

constexpr uint32_t kMostWeight = 65'535;

// May be alive, and it is known where.
bool is_up(const Instance& instance) {
  return (instance.health == Health::kPassing || instance.health == Health::kWarning) &&
         instance.socket_address.port() != 0;
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
  if (upstream_ == upstream) return;
  const bool same_kind =
      upstream_ != nullptr && upstream_->policy.balance == upstream->policy.balance;
  std::vector<Group> groups;
  for (const Subset& subset : upstream->subsets) {
    Group group;
    group.subset = subset;
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
  for (const auto& instance : instances_) instance->use_tls(policy());
  mark_stale();
  on_room();  // a limit may have been raised
}

void LocalUpstream::set_instances(InstanceListPtr list) {
  const uint64_t joined = list_ == nullptr ? 0 : loop_.now_ms();
  if (list_ == nullptr || list_->state != list->state) {
    unsubscribe();
    if (list_ != nullptr) list_->state->pending -= waiting_;
    list->state->pending += waiting_;
    list_ = list;
    subscribe();
  }
  std::vector<LocalPtr<LocalInstance>> next;
  next.reserve(list->instances.size());
  auto old = instances_.begin();
  for (const Instance& instance : list->instances) {
    const std::string identity = instance.identity();
    while (old != instances_.end() && (*old)->identity() < identity) (*old++)->retire();
    // A name may lead to another address now; the old one's connections are of no use.
    const bool stays = old != instances_.end() && (*old)->identity() == identity &&
                       (*old)->socket_address() == instance.socket_address;
    if (stays) {
      next.push_back(std::move(*old++));
    } else {
      next.push_back(make_local<LocalInstance>(loop_, instance, list->state,
                                               metrics_.instance(worker_, service_, instance.id),
                                               *this, joined));
      if (upstream_ != nullptr) next.back()->use_tls(policy());
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

// A new instance, or one back from its ejection, starts at a tenth of its weight (which round_robin
// takes for 1).
uint32_t LocalUpstream::ramped_weight(const Instance& instance, const LocalInstance& local,
                                      bool& ramping) const {
  const auto ramp = static_cast<uint64_t>(policy().slow_start.count());
  const auto returned =
      static_cast<uint64_t>(instance.state->returned_ms.load(std::memory_order_relaxed));
  const uint64_t since = std::max(local.joined_ms(), returned);
  const uint64_t now = loop_.now_ms();
  const bool weighted = policy().balance != Balance::kRoundRobin;
  const uint32_t weight = weighted ? std::min(instance.weight, kMostWeight) : 1;
  if (ramp == 0 || since == 0 || now >= since + ramp) return weight * kRampScale;
  ramping = true;
  const uint64_t part =
      std::max<uint64_t>((now - std::min(now, since)) * kRampScale / ramp, kRampScale / 10);
  return static_cast<uint32_t>(std::max<uint64_t>(weight * part, 1));
}

// So few instances are left that they would break under the load: better all that may be alive.
bool LocalUpstream::in_panic(Group& group) const {
  uint64_t all = 0;
  uint64_t usable = 0;
  for (const Instance& instance : list_->instances) {
    if (!group.subset.takes(instance)) continue;
    ++all;
    usable += instance.usable && instance.weight > 0 && !instance.state->ejected() ? 1 : 0;
  }
  group.has_usable = usable > 0;
  return usable * 100 < uint64_t{policy().panic_percent} * all;
}

void LocalUpstream::rebuild(Group& group) {
  group.stale = false;
  const bool panic = in_panic(group);
  bool ramping = false;
  std::vector<Balancer::Entry> entries;
  for (size_t i = 0; i < instances_.size(); ++i) {
    const Instance& instance = list_->instances[i];
    if (instance.weight == 0 || !group.subset.takes(instance)) continue;
    const bool taken = panic ? is_up(instance) && !out_by_operator(instance)
                             : instance.usable && !instance.state->ejected();
    if (!taken) continue;
    entries.push_back({instances_[i].get(), ramped_weight(instance, *instances_[i], ramping)});
  }
  group.balancer->set(entries);
  if (ramping) {
    const auto step =
        std::max<uint64_t>(static_cast<uint64_t>(policy().slow_start.count()) / 20, 20);
    next_ramp_ms_ = std::min(next_ramp_ms_, loop_.now_ms() + step);
  }
}

uint32_t LocalUpstream::subset(const Destination& target) {
  const auto same = [&](const Group& group) { return group.subset == target.subset; };
  const uint32_t index = target.subset_index;
  if (index < groups_.size() && same(groups_[index])) return index;
  const auto found = std::find_if(groups_.begin(), groups_.end(), same);
  if (found != groups_.end()) return static_cast<uint32_t>(found - groups_.begin());
  Group& added = groups_.emplace_back();
  added.subset = target.subset;
  added.balancer = make_balancer(policy().balance, seed(target.subset));
  return static_cast<uint32_t>(groups_.size() - 1);
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

bool LocalUpstream::can_retry(const RequestSlot* failed) const {
  const bool held = failed != nullptr && failed->upstream_.get() == this;
  const uint32_t tries = tries_ - (held ? 1 : 0);
  const uint32_t retries = retries_ - (held && failed->retry_ ? 1 : 0);
  const uint32_t percent = policy().retry_budget_percent;
  const auto share = static_cast<uint32_t>((uint64_t{tries} + 1) * percent / 100);
  return percent > 0 && retries < std::max(kFewRetries, share);
}

// --- waiting for a connection --------------------------------------------------------------------

bool LocalUpstream::wait(Waiter& waiter) {
  const bool again = &waiter == retrying_;
  retrying_ = nullptr;
  UpstreamState& state = *list_->state;
  const uint32_t most = policy().max_pending;
  if (state.pending.fetch_add(1) >= most && most != 0 && !again) {
    --state.pending;
    return false;
  }
  ++waiting_;
  if (again) {
    waiters_.push_front(waiter);
  } else {
    waiters_.push_back(waiter);
    make_room();
  }
  return true;
}

void LocalUpstream::leave(Waiter& waiter) {
  if (!waiter.linked()) return;
  waiter.unlink();
  --waiting_;
  --list_->state->pending;
}

bool LocalUpstream::others_wait() const {
  return list_ != nullptr && list_->state->pending > waiting_;
}

bool LocalUpstream::may_connect() const {
  const uint32_t most = policy().max_connections;
  return most == 0 || list_->state->connections < most;
}

bool LocalUpstream::has_room() const {
  return may_connect() || std::any_of(instances_.begin(), instances_.end(),
                                      [](const auto& instance) { return instance->has_idle(); });
}

bool LocalUpstream::close_one_idle() {
  return std::any_of(instances_.begin(), instances_.end(),
                     [](const auto& instance) { return instance->close_one_idle(); });
}

// Idle connections, to other instances or of other workers, hold the places of those that would be
// used.
void LocalUpstream::make_room() {
  if (close_one_idle()) return;  // on_room has heard of it
  if (may_connect()) {
    loop_.flush_later(*this);
  } else {
    wake_workers(*list_->state, this);
  }
}

// When both wait, this worker's waiters and the others' take turns.
void LocalUpstream::on_room() {
  if (giving_ || upstream_ == nullptr) return;
  const bool others = others_wait();
  if (others && waiting_ > 0) their_turn_ = !their_turn_;
  if (waiting_ > 0 && !(others && their_turn_)) {
    loop_.flush_later(*this);
  } else if (others) {
    giving_ = true;
    if (!may_connect()) close_one_idle();
    giving_ = false;
    wake_workers(*list_->state, this);
  }
}

void LocalUpstream::flush() {
  const LocalPtr<LocalUpstream> alive(this);  // a waiter may be the last one that needs it
  while (!waiters_.empty() && has_room()) {
    const uint32_t before = waiting_;
    Waiter& waiter = waiters_.front();
    leave(waiter);
    retrying_ = &waiter;
    waiter.on_room();
    retrying_ = nullptr;
    if (waiting_ < before) continue;
    // The idle connections are to other instances than the one that was chosen.
    close_one_idle();
    return;
  }
}

// Another worker's waiters want room, or it made some.
void LocalUpstream::on_wake() {
  if (list_ == nullptr || upstream_ == nullptr) return;
  if (waiting_ > 0) {
    loop_.flush_later(*this);
  } else if (others_wait() && !close_one_idle() && may_connect()) {
    wake_workers(*list_->state, this);  // ours that were meant are gone
  }
}

void LocalUpstream::subscribe() {
  const std::lock_guard lock(list_->state->mutex);
  list_->state->wakers[this] = [&loop = loop_, self = self_] {
    loop.post([self] {
      if (*self != nullptr) (*self)->on_wake();
    });
  };
}

void LocalUpstream::unsubscribe() {
  if (list_ == nullptr) return;
  const std::lock_guard lock(list_->state->mutex);
  list_->state->wakers.erase(this);
}

}  // namespace lictor
