#include "proxy/local_upstream.h"

#include <algorithm>
#include <functional>

#include "io/tcp.h"
#include "proxy/ejection.h"

namespace lictor {

// --- LocalInstance -------------------------------------------------------------------------------

LocalInstance::LocalInstance(Loop& loop, const Instance& instance,
                             std::shared_ptr<InstanceCells> cells)
    : loop_(loop),
      id_(instance.id),
      address_(instance.address),
      identity_(instance.identity()),
      socket_address_(instance.socket_address),
      state_(instance.state),
      cells_(std::move(cells)),
      weight_(instance.weight) {
  idle_timer_.bind<&LocalInstance::expire_idle>(this);
}

LocalInstance::~LocalInstance() {
  while (!idle_.empty()) idle_.front().close();
  while (!busy_.empty()) busy_.front().close();
}

ClientStream& LocalInstance::acquire(const UpstreamPolicy& policy, bool fresh) {
  idle_timeout_ = policy.idle_timeout;
  if (!fresh && !idle_.empty()) {
    H1Client& client = idle_.front();
    busy_.push_front(client);
    cells_->idle_connections.sub();
    cells_->busy_connections.add();
    return client;
  }
  auto* client = new H1Client(loop_, *this);
  busy_.push_front(*client);
  cells_->busy_connections.add();
  client->start(Tcp::connect(loop_, socket_address_, client), policy.connect_timeout);
  return *client;
}

void LocalInstance::retire() {
  retired_ = true;
  while (!idle_.empty()) idle_.front().close();
}

void LocalInstance::on_idle(H1Client& client) {
  idle_.push_front(client);
  cells_->busy_connections.sub();
  cells_->idle_connections.add();
  if (retired_) {
    client.close();
    return;
  }
  if (!idle_timer_.armed()) arm_idle_timer();
}

void LocalInstance::on_closed(H1Client& client) {
  (client.pooled() ? cells_->idle_connections : cells_->busy_connections).sub();
}

void LocalInstance::arm_idle_timer() {
  if (idle_.empty() || idle_timeout_.count() == 0) return;
  const uint64_t due = idle_.back().idle_since_ms() + static_cast<uint64_t>(idle_timeout_.count());
  const uint64_t now = loop_.now_ms();
  loop_.arm(idle_timer_, due > now ? due - now : 0);
}

void LocalInstance::expire_idle() {
  const uint64_t now = loop_.now_ms();
  const auto limit = static_cast<uint64_t>(idle_timeout_.count());
  while (!idle_.empty() && now - idle_.back().idle_since_ms() >= limit) idle_.back().close();
  arm_idle_timer();
}

// --- LocalUpstream -------------------------------------------------------------------------------

LocalUpstream::LocalUpstream(Loop& loop, Metrics& metrics, size_t worker, std::string service)
    : loop_(loop),
      metrics_(metrics),
      worker_(worker),
      service_(std::move(service)),
      cells_(metrics.upstream(worker, service_)),
      balancer_(std::hash<std::string>()(service_) * (2 * worker + 1)) {}

LocalUpstream::~LocalUpstream() {
  for (const auto& instance : instances_) instance->retire();
}

void LocalUpstream::set_policy(std::shared_ptr<const Upstream> upstream) {
  upstream_ = std::move(upstream);
  stale_ = true;
}

void LocalUpstream::set_instances(InstanceListPtr list) {
  std::vector<LocalPtr<LocalInstance>> next;
  next.reserve(list->instances.size());
  auto old = instances_.begin();
  for (const Instance& instance : list->instances) {
    const std::string identity = instance.identity();
    while (old != instances_.end() && (*old)->identity() < identity) (*old++)->retire();
    if (old != instances_.end() && (*old)->identity() == identity) {
      (*old)->update(instance);
      next.push_back(std::move(*old++));
    } else {
      next.push_back(make_local<LocalInstance>(loop_, instance,
                                               metrics_.instance(worker_, service_, instance.id)));
    }
  }
  while (old != instances_.end()) (*old++)->retire();
  instances_ = std::move(next);
  list_ = std::move(list);
  stale_ = true;
}

void LocalUpstream::rebuild() {
  seen_version_ = list_->state->version.load(std::memory_order_acquire);
  stale_ = false;
  std::vector<RoundRobin::Candidate> candidates;
  for (size_t i = 0; i < instances_.size(); ++i) {
    const Instance& instance = list_->instances[i];
    if (!instance.usable || instance.weight == 0 || instance.state->ejected()) continue;
    const bool weighted = policy().balance == Balance::kWeightedRoundRobin;
    candidates.push_back({instances_[i].get(), weighted ? instance.weight : 1});
  }
  balancer_.set(candidates);
}

LocalInstance* LocalUpstream::pick(std::span<const LocalPtr<LocalInstance>> excluded) {
  if (list_ == nullptr) return nullptr;
  return_expired(service_, *list_, static_cast<int64_t>(loop_.now_ms()));
  if (stale_ || seen_version_ != list_->state->version.load(std::memory_order_acquire)) rebuild();
  if (!excluded.empty()) {
    std::vector<void*> targets;
    for (const auto& instance : excluded) targets.push_back(instance.get());
    if (void* other = balancer_.pick_except(targets)) return static_cast<LocalInstance*>(other);
  }
  return static_cast<LocalInstance*>(balancer_.pick());
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

}  // namespace lictor
