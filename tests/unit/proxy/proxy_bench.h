// A whole data plane on one manual loop: a client over a fake transport, the HTTP/1 server, the
// exchange, the pools, and instances that are real sockets of the test.
#pragma once

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/socket.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "fake_transport.h"
#include "http/h1_server.h"
#include "io/manual_clock.h"
#include "io/sockets.h"
#include "model/snapshot.h"
#include "proxy/context.h"
#include "proxy/exchange.h"
#include "telemetry/access_log.h"
#include "telemetry/metrics.h"

namespace lictor::testing {

inline AccessLog::Options log_to(const std::string& path) {
  AccessLog::Options options;
  options.path = path;
  return options;
}

// Turns the loop until `done`. The kernel may need a moment, the clock stands: no time limit then,
// but one of turns.
template <class Condition>
bool turn_until(ManualLoop& loop, Condition done) {
  loop->end_turn();
  for (int turns = 0; turns < 200'000; ++turns) {
    if (done()) return true;
    loop.turn();
    sched_yield();
  }
  return false;
}

// The instance's end of a connection.
class Far {
 public:
  Far(ManualLoop& loop, int fd) : loop_(loop), socket_(fd) {}

  // Everything up to and with `end`.
  std::string read(std::string_view end = "\r\n\r\n") {
    const bool came = turn_until(loop_, [&] {
      take();
      return buffer_.find(end) != std::string::npos;
    });
    CHECK_MESSAGE(came, "waited for ", end, " and got ", buffer_);
    const size_t size = came ? buffer_.find(end) + end.size() : buffer_.size();
    std::string bytes = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return bytes;
  }
  bool sees_end() {
    return turn_until(loop_, [&] {
      take();
      return ended_;
    });
  }
  void send(std::string_view bytes) { socket_.send(bytes); }
  void end() { socket_.end(); }
  void close() { socket_.close(); }
  void reset() { socket_.reset(); }
  RawSocket& socket() { return socket_; }

 private:
  void take() {
    const std::string got = socket_.receive_now();
    if (got == "(end)" || got == "(reset)") ended_ = true;
    if (!got.starts_with('(')) buffer_ += got;
  }
  ManualLoop& loop_;
  RawSocket socket_;
  std::string buffer_;
  bool ended_ = false;
};

// An instance of a service.
class Machine {
 public:
  explicit Machine(ManualLoop& loop, int backlog = 16)
      : loop_(loop),
        socket_(*bind_socket(*SocketAddress::parse("127.0.0.1:0"), false)),
        address_(socket_name(socket_.fd())) {
    REQUIRE(::listen(socket_.fd(), backlog) == 0);
  }
  Far accept() {
    int fd = -1;
    turn_until(loop_, [&] { return (fd = try_accept()) >= 0; });
    REQUIRE(fd >= 0);
    return {loop_, fd};
  }
  bool has_visitor() {
    const int fd = try_accept();
    if (fd >= 0) ::close(fd);
    return fd >= 0;
  }
  int fd() const { return socket_.fd(); }
  // Somebody who waits in the queue.
  RawSocket fill() const {
    RawSocket waiting(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ::connect(waiting.fd(), address_.raw(), address_.length());
    return waiting;
  }
  // Nobody listens any more.
  void stop() { socket_.close(); }
  const SocketAddress& address() const { return address_; }

 private:
  int try_accept() { return ::accept4(socket_.fd(), nullptr, nullptr, SOCK_CLOEXEC); }
  ManualLoop& loop_;
  RawSocket socket_;
  SocketAddress address_;
};

struct ProxyBench : StreamHandler {
  // One service "s" on `instances` machines, and a route "r" that takes everything to it.
  explicit ProxyBench(size_t instances = 1, const std::string& log_path = "off")
      : access_log(log_to(log_path)),
        metrics(1, {"http"}),
        context(*loop, access_log, metrics.worker(0), filter_shared, metrics.route(0, "")),
        server(*loop, *this, nullptr, {}),
        client(*loop),
        upstream(make_local<LocalUpstream>(*loop, metrics, 0, "s")) {
    log::set_level(log::Level::kOff);
    settings.listener_names = {"http"};
    settings.trusted_proxies = {};
    for (size_t i = 0; i < instances; ++i) add_machine();
    route.name = "r";
    route.paths = {"/*"};
    route.backends = {to_s(1)};
    route.total_weight = 1;
    policy.connect_timeout = Millis(1'000);
  }
  virtual ~ProxyBench() {
    server.close_all();
    context.subrequests.close_all();
    loop->end_turn();
    context.pin.reset();
    upstream = {};
    loop->end_turn();
    log::set_level(log::Level::kInfo);
  }

  static Backend to_s(uint32_t its_weight) {
    Backend backend;
    backend.service = "s";
    backend.weight = its_weight;
    return backend;
  }
  Machine& add_machine() { return *machines.emplace_back(std::make_unique<Machine>(loop)); }
  // Makes what was said so far the configuration; by itself before the first request.
  void publish() {
    publish_instances();
    auto made = std::make_shared<Upstream>();
    made->service = "s";
    made->policy = policy;
    upstream->set_policy(made);
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->upstreams = {made};
    snapshot->routes = {std::make_shared<Route>(route)};
    snapshot->filters = common_filters;
    snapshot->table.build(snapshot->routes);
    auto pin = make_local<Pin>();
    pin->snapshot = snapshot;
    pin->upstreams = {upstream};
    pin->routes = {metrics.route(0, "r")};
    context.pin = pin;
    context.settings = std::make_shared<ProxySettings>(settings);
    published = true;
  }
  void publish_instances() {
    std::vector<Instance> instances;
    for (size_t i = 0; i < machines.size(); ++i) {
      Instance instance;
      instance.id = "i" + std::to_string(i);
      instance.socket_address = machines[i]->address();
      instance.address = instance.socket_address.to_string();
      instance.weight = weight;
      instances.push_back(instance);
    }
    list = make_instance_list(std::move(instances), list.get());
    upstream->set_instances(list);
  }

  void ask(std::string_view bytes) {
    if (!published) publish();
    if (!connected) server.accept(client.handle(), 0, 8080);
    connected = true;
    client.receive(bytes);
  }
  // A second client, which says `bytes`.
  FakeTransport& ask_too(std::string_view bytes) {
    FakeTransport& other = others.emplace_back(*loop);
    server.accept(other.handle(), 0, 8080);
    other.receive(bytes);
    return other;
  }
  // What the client got, as soon as it has `end` in it.
  std::string answer(std::string_view end = "\r\n\r\n") {
    std::string got;
    turn_until(loop, [&] {
      got += client.sent();
      return got.find(end) != std::string::npos;
    });
    CHECK_MESSAGE(got.find(end) != std::string::npos, "waited for ", end, " and got ", got);
    return got;
  }
  bool client_cut_off() {
    return turn_until(loop, [&] { return !client.open(); });
  }
  // A few turns, for what must not happen.
  void turn() {
    loop->end_turn();
    for (int i = 0; i < 20; ++i) loop.turn();
  }
  void pass(uint64_t ms) {
    loop.pass(ms);
    loop->end_turn();
  }

  StreamUser* on_stream(ServerStream& stream) override { return context.start(stream); }

  AccessLog access_log;
  FilterShared filter_shared;
  Metrics metrics;
  ManualLoop loop;
  ProxyContext context;
  H1ServerContext server;
  FakeTransport client;
  std::deque<FakeTransport> others;
  std::vector<std::unique_ptr<Machine>> machines;
  UpstreamPolicy policy;
  Route route;
  FilterChain common_filters;
  ProxySettings settings;
  uint32_t weight = 1;
  LocalPtr<LocalUpstream> upstream;
  InstanceListPtr list;
  bool published = false;
  bool connected = false;
};

inline std::string get(std::string_view target = "/", std::string_view fields = "") {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n" + std::string(fields) + "\r\n";
}
inline std::string send_with(std::string_view method, std::string_view body,
                             std::string_view fields = "") {
  return std::string(method) +
         " / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(fields) + "\r\n" + std::string(body);
}
inline constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

}  // namespace lictor::testing
