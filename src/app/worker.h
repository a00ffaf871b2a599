// One event-loop thread of the data plane: its listeners, connections, exchanges, and its side of
// every upstream. Shares nothing hot. The control thread talks to it through a mailbox in which the
// latest wins.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "http/h1_server.h"
#include "io/listener.h"
#include "io/loop.h"
#include "io/tls_context.h"
#include "proxy/context.h"

namespace lictor {

struct WorkerShared {
  Metrics& metrics;
  AccessLog& access_log;
  FilterShared filters{};
  // Of all workers together, against limits.connections.
  std::atomic<uint32_t> connections{0};
  std::atomic<uint32_t> max_connections{0};
};

struct WorkerSettings {
  H1ServerOptions server;
  std::vector<TlsServerPtr> tls;  // by listener; null: plaintext
  std::shared_ptr<const ProxySettings> proxy;
};

class Worker final : public StreamHandler, public H1ServerContext::Observer {
 public:
  struct Socket {
    int fd;
    uint16_t listener;
    uint16_t port;
  };

  Worker(size_t index, WorkerShared& shared, WorkerSettings settings);
  ~Worker();  // after stop()

  // Control thread, all of these. `start` takes the sockets; the error is the first listen(2) that
  // failed.
  std::string start(const std::vector<Socket>& sockets);
  void set_snapshot(SnapshotPtr snapshot);
  void set_instances(const std::string& service, InstanceListPtr instances);
  void set_settings(WorkerSettings settings);
  // Responses end their connections from now on.
  void see_off();
  // Listeners close, connections end after their requests; then `done` is called on the worker's
  // thread.
  void drain(std::function<void()> done);
  // Cuts off what is left and joins the thread. Idempotent.
  void stop();

  // StreamHandler
  StreamUser* on_stream(ServerStream& stream) override;

  // H1ServerContext::Observer
  void on_open(uint16_t listener) override;
  void on_closed(uint16_t listener) override;
  void on_bytes(uint64_t in, uint64_t out) override;

 private:
  // One listening socket: connections come with its index.
  class Door final : public Acceptor, public TlsObserver {
   public:
    Door(Worker& worker, const Socket& socket) : worker_(worker), socket_(socket) {}
    void on_accept(TransportPtr transport) override;
    void on_handshake(TlsHandshake outcome) override;
    const Socket& socket() const { return socket_; }
    Listener* listener = nullptr;

   private:
    Worker& worker_;
    const Socket socket_;
  };
  struct Mail {
    SnapshotPtr snapshot;
    std::map<std::string, InstanceListPtr> instances;
    std::shared_ptr<const WorkerSettings> settings;
    bool announced = false;
  };

  template <class Change>
  void send(Change change);
  void read_mail();
  bool use(const SnapshotPtr& snapshot);
  LocalPtr<LocalUpstream> make_upstream(const std::shared_ptr<const Upstream>& policy);
  void close_doors();
  void check_drained();

  const size_t index_;
  WorkerShared& shared_;
  WorkerCells& cells_;
  Loop loop_;
  ProxyContext context_;
  H1ServerContext server_;
  std::vector<TlsServerPtr> tls_;
  std::vector<std::unique_ptr<Door>> doors_;
  std::map<std::string, InstanceListPtr, std::less<>> instances_;  // of upstreams to come, too
  std::function<void()> drained_;
  std::thread thread_;

  std::mutex mutex_;
  Mail mail_;  // guarded by mutex_
};

}  // namespace lictor
