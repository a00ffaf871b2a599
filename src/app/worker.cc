#include "app/worker.h"

#include <pthread.h>

#include <string>
#include <utility>

#include "io/tls.h"
#include "proxy/exchange.h"

namespace lictor {

Worker::Worker(size_t index, WorkerShared& shared, WorkerSettings settings)
    : index_(index),
      shared_(shared),
      cells_(shared.metrics.worker(index)),
      context_(loop_, shared.access_log, cells_, shared.filters, shared.metrics.route(index, "")),
      server_(loop_, *this, this, settings.server) {
  context_.settings = std::move(settings.proxy);
  tls_ = std::move(settings.tls);
}

Worker::~Worker() { stop(); }

// --- from the control thread ---------------------------------------------------------------------

std::string Worker::start(const std::vector<Socket>& sockets) {
  for (const Socket& socket : sockets) {
    auto door = std::make_unique<Door>(*this, socket);
    auto opened = Listener::open(loop_, socket.fd, *door);
    if (!opened) return opened.error();
    door->listener = *opened;
    doors_.push_back(std::move(door));
  }
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), ("worker-" + std::to_string(index_)).c_str());
    loop_.run();
  });
  return {};
}

template <class Change>
void Worker::send(Change change) {
  bool announce = false;
  {
    const std::lock_guard lock(mutex_);
    change(mail_);
    announce = !std::exchange(mail_.announced, true);
  }
  if (announce) loop_.post([this] { read_mail(); });
}

void Worker::set_snapshot(SnapshotPtr snapshot) {
  send([&](Mail& mail) { mail.snapshot = std::move(snapshot); });
}

void Worker::set_instances(const std::string& service, InstanceListPtr instances) {
  send([&](Mail& mail) { mail.instances[service] = std::move(instances); });
}

void Worker::set_settings(WorkerSettings settings) {
  send([&](Mail& mail) {
    mail.settings = std::make_shared<const WorkerSettings>(std::move(settings));
  });
}

void Worker::see_off() {
  loop_.post([this] { server_.see_off(); });
}

void Worker::drain(std::function<void()> done) {
  loop_.post([this, done = std::move(done)] {
    drained_ = done;
    close_doors();
    server_.drain();
    check_drained();
  });
}

void Worker::stop() {
  const auto end = [this] {
    close_doors();
    drained_ = nullptr;
    server_.close_all();
    shared_.filters.redis.close(loop_);
    context_.subrequests.close_all();
    context_.pin.reset();
    loop_.stop();
  };
  if (thread_.joinable()) {
    loop_.post(end);
    thread_.join();
  } else {
    end();
  }
}

// --- on the worker's thread ----------------------------------------------------------------------

void Worker::read_mail() {
  Mail mail;
  {
    const std::lock_guard lock(mutex_);
    std::swap(mail, mail_);
  }
  if (mail.settings != nullptr) {
    server_.set_options(mail.settings->server);
    context_.settings = mail.settings->proxy;
    tls_ = mail.settings->tls;
  }
  const auto upstream_of = [this](std::string_view service) -> LocalUpstream* {
    if (!context_.pin) return nullptr;
    const Upstream* known = context_.pin->snapshot->find_upstream(service);
    return known == nullptr ? nullptr : context_.pin->upstreams[known->index].get();
  };
  for (auto& [service, list] : mail.instances) {
    if (LocalUpstream* known = upstream_of(service)) known->set_instances(list);
    instances_[service] = std::move(list);
  }
  if (mail.snapshot == nullptr) return;
  if (!use(mail.snapshot)) return;
  // Lists of services that no snapshot needs any more go; those that just came may be for the next
  // one.
  std::erase_if(instances_, [&](const auto& entry) {
    return upstream_of(entry.first) == nullptr && !mail.instances.contains(entry.first);
  });
}

// What the old snapshot and the new one share stays as it is: both are sorted by name, and most of
// a change is no change. True when an upstream went.
bool Worker::use(const SnapshotPtr& snapshot) {
  const LocalPtr<Pin> before = context_.pin;
  static const Snapshot kNone;
  const Snapshot& old = before ? *before->snapshot : kNone;
  auto pin = make_local<Pin>();
  pin->snapshot = snapshot;
  pin->upstreams.reserve(snapshot->upstreams.size());
  size_t kept = 0;
  size_t at = 0;
  for (const auto& policy : snapshot->upstreams) {
    const auto& known = old.upstreams;
    while (at < known.size() && known[at]->service < policy->service) ++at;
    const bool same = at < known.size() && known[at]->service == policy->service;
    if (same) {
      ++kept;
      before->upstreams[at]->set_policy(policy);
    }
    pin->upstreams.push_back(same ? before->upstreams[at] : make_upstream(policy));
  }
  pin->routes.reserve(snapshot->routes.size());
  at = 0;
  for (const auto& route : snapshot->routes) {
    const auto& known = old.routes;
    while (at < known.size() && known[at]->name < route->name) ++at;
    const bool same = at < known.size() && known[at]->name == route->name;
    pin->routes.push_back(same ? before->routes[at] : shared_.metrics.route(index_, route->name));
  }
  context_.pin = std::move(pin);
  return kept < old.upstreams.size();
}

// The policy comes first: other workers' requests may wait for what a list brings.
LocalPtr<LocalUpstream> Worker::make_upstream(const std::shared_ptr<const Upstream>& policy) {
  auto made = make_local<LocalUpstream>(loop_, shared_.metrics, index_, policy->service);
  made->set_policy(policy);
  if (const auto list = instances_.find(policy->service); list != instances_.end()) {
    made->set_instances(list->second);
  }
  return made;
}

StreamUser* Worker::on_stream(ServerStream& stream) { return context_.start(stream); }

void Worker::Door::on_accept(TransportPtr transport) {
  const uint32_t most = worker_.shared_.max_connections.load(std::memory_order_relaxed);
  if (worker_.shared_.connections.fetch_add(1, std::memory_order_relaxed) >= most) {
    worker_.shared_.connections.fetch_sub(1, std::memory_order_relaxed);
    worker_.cells_.connections_refused.add();
    return;
  }
  if (const TlsServerPtr& tls = worker_.tls_[socket_.listener]) {
    transport = Tls::accept(worker_.loop_, std::move(transport), tls, this);
  }
  worker_.server_.accept(std::move(transport), socket_.listener, socket_.port);
}

void Worker::Door::on_handshake(TlsHandshake outcome) {
  worker_.cells_.handshakes[socket_.listener][static_cast<size_t>(outcome)].add();
}

void Worker::on_open(uint16_t listener) { cells_.connections[listener].add(); }

void Worker::on_closed(uint16_t listener) {
  cells_.connections[listener].sub();
  shared_.connections.fetch_sub(1, std::memory_order_relaxed);
  check_drained();
}

void Worker::on_bytes(uint64_t in, uint64_t out) {
  cells_.bytes_in.add(in);
  cells_.bytes_out.add(out);
}

void Worker::close_doors() {
  for (const auto& door : doors_) {
    if (door->listener != nullptr) std::exchange(door->listener, nullptr)->close();
  }
}

void Worker::check_drained() {
  if (!drained_ || server_.connections() != 0) return;
  std::exchange(drained_, nullptr)();
}

}  // namespace lictor
