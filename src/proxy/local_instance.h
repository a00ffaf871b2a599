// One worker's side of an instance: its connections, idle and busy.
#pragma once

#include <memory>
#include <string>

#include "base/list.h"
#include "base/local_ptr.h"
#include "http/h1_client.h"
#include "io/loop.h"
#include "model/upstream.h"
#include "proxy/balancer.h"
#include "telemetry/metrics.h"

namespace lictor {

// Hears when there may be room for another connection: one went, or is idle again.
class RoomWatcher {
 public:
  virtual void on_room() = 0;

 protected:
  ~RoomWatcher() = default;
};

// Tells workers, but the one that `except` belongs to, that requests wait for a connection or that
// there may be room for one.
void wake_workers(UpstreamState& state, const void* except);

// Lives while it is in its upstream's list or a request is with it; connections that are idle when
// the instance goes, or become so later, are closed.
class LocalInstance final : public Candidate, public LocalCounted, public H1ClientOwner {
 public:
  LocalInstance(Loop& loop, const Instance& instance, std::shared_ptr<UpstreamState> upstream,
                std::shared_ptr<InstanceCells> cells, RoomWatcher& watcher, uint64_t joined_ms);
  ~LocalInstance();

  // How it is connected to from now on. Connections that were made another way are not used again.
  void use_tls(const UpstreamPolicy& policy);
  // The idle connection that was used last, unless `fresh`; else one that is being made; null when
  // the policy allows no other connection now. The caller releases it.
  ClientStream* acquire(const UpstreamPolicy& policy, bool fresh);
  bool close_one_idle();  // false when there is none
  bool has_idle() const { return !idle_.empty(); }
  // No longer in the list, nor is whoever watched.
  void retire();

  const std::string& id() const { return id_; }
  const std::string& address() const { return address_; }
  const std::string& identity() const { return identity_; }
  const SocketAddress& socket_address() const { return socket_address_; }
  InstanceState& state() const { return *state_; }
  InstanceCells& cells() const { return *cells_; }
  uint64_t joined_ms() const { return joined_ms_; }  // 0: it was there from the start

  // H1ClientOwner
  void on_idle(H1Client& client) override;
  void on_closed(H1Client& client) override;

 private:
  TransportPtr connect(TransportUser& user);
  void expire_idle();
  void arm_idle_timer();

  Loop& loop_;
  std::string id_;
  std::string address_;
  std::string identity_;
  SocketAddress socket_address_;
  std::shared_ptr<InstanceState> state_;
  std::shared_ptr<UpstreamState> upstream_;
  std::shared_ptr<InstanceCells> cells_;
  RoomWatcher* watcher_;  // null once retired
  const uint64_t joined_ms_;
  UpstreamTls tls_;
  std::string tls_host_;
  TlsSessionPtr tls_session_;  // null: plaintext
  Millis idle_timeout_{0};
  List<H1Client> idle_;  // last used first
  List<H1Client> busy_;
  Timer idle_timer_;
};

}  // namespace lictor
