#include "proxy/local_instance.h"

#include "io/tcp.h"
#include "io/tls.h"

namespace lictor {

void wake_workers(UpstreamState& state, const void* except) {
  const std::lock_guard lock(state.mutex);
  for (const auto& [owner, wake] : state.wakers) {
    if (owner != except) wake();
  }
}

LocalInstance::LocalInstance(Loop& loop, const Instance& instance,
                             std::shared_ptr<UpstreamState> upstream,
                             std::shared_ptr<InstanceCells> cells, RoomWatcher& watcher,
                             uint64_t joined_ms)
    : loop_(loop),
      id_(instance.id),
      address_(instance.address),
      identity_(instance.identity()),
      socket_address_(instance.socket_address),
      state_(instance.state),
      upstream_(std::move(upstream)),
      cells_(std::move(cells)),
      watcher_(&watcher),
      joined_ms_(joined_ms) {
  key = socket_address_.to_string();
  idle_timer_.bind<&LocalInstance::expire_idle>(this);
}

LocalInstance::~LocalInstance() {
  watcher_ = nullptr;
  while (!idle_.empty()) idle_.front().close();
  while (!busy_.empty()) busy_.front().close();
}

ClientStream* LocalInstance::acquire(const UpstreamPolicy& policy, bool fresh) {
  idle_timeout_ = policy.idle_timeout;
  if (!fresh && !idle_.empty()) {
    H1Client& client = idle_.front();
    busy_.push_front(client);
    cells_->idle_connections.sub();
    cells_->busy_connections.add();
    return &client;
  }
  // Never more than the limit, not for a moment: another worker would take that for a refusal.
  uint32_t open = upstream_->connections.load();
  do {
    if (policy.max_connections != 0 && open >= policy.max_connections) return nullptr;
  } while (!upstream_->connections.compare_exchange_weak(open, open + 1));
  auto* client = new H1Client(loop_, *this);
  busy_.push_front(*client);
  cells_->busy_connections.add();
  client->start(connect(*client), policy.connect_timeout);
  return client;
}

TransportPtr LocalInstance::connect(TransportUser& user) {
  if (tls_.client == nullptr) return Tcp::connect(loop_, socket_address_, &user);
  return Tls::connect(loop_, Tcp::connect(loop_, socket_address_, nullptr), *tls_.client, tls_host_,
                      tls_session_);
}

void LocalInstance::use_tls(const UpstreamPolicy& policy) {
  const std::string_view host =
      policy.tls.client == nullptr ? std::string_view{} : tls_host(policy, address_);
  if (tls_ == policy.tls && tls_host_ == host) return;
  tls_ = policy.tls;
  tls_host_ = host;
  tls_session_ = tls_.client == nullptr ? nullptr : std::make_shared<TlsSession>();
  while (!idle_.empty()) idle_.front().close();
  busy_.for_each([](H1Client& client) { client.retire(); });
}

bool LocalInstance::close_one_idle() {
  if (idle_.empty()) return false;
  idle_.back().close();
  return true;
}

void LocalInstance::retire() {
  watcher_ = nullptr;
  while (!idle_.empty()) idle_.front().close();
}

void LocalInstance::on_idle(H1Client& client) {
  idle_.push_front(client);
  cells_->busy_connections.sub();
  cells_->idle_connections.add();
  if (watcher_ == nullptr) {
    client.close();
    return;
  }
  if (!idle_timer_.armed()) arm_idle_timer();
  watcher_->on_room();
}

void LocalInstance::on_closed(H1Client& client) {
  (client.pooled() ? cells_->idle_connections : cells_->busy_connections).sub();
  --upstream_->connections;
  if (watcher_ != nullptr) {
    watcher_->on_room();
  } else if (upstream_->pending > 0) {
    wake_workers(*upstream_, nullptr);
  }
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

}  // namespace lictor
