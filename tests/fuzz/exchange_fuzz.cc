// The whole data plane over transports without sockets: what a client and its upstreams say to it,
// in any order. An input is a sequence of steps: the byte 0xFE, a letter, and what is said, up to
// the next 0xFE; what comes before the first is the client's.
//
//   c, C  the client sends, at once or byte by byte      u, U  the newest upstream connection sends
//   e, r  the client ends its direction, or resets       E, R  the upstream does
//   p, P  the client stops reading, or goes on           q, Q  the upstream does
//   n     the next connection is refused                 t     time passes, a second a byte
#include <algorithm>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "fake_transport.h"
#include "http/h1_server.h"
#include "io/manual_clock.h"
#include "io/tcp.h"
#include "messages.h"
#include "model/snapshot.h"
#include "proxy/context.h"
#include "proxy/exchange.h"

namespace lictor::fuzz {
namespace {

using testing::FakeTransport;
using testing::ManualLoop;

constexpr H1Limits kRoomy{.header_bytes = 1 << 20, .header_count = 1000, .uri_bytes = 1 << 20};

AccessLog& no_log() {
  static AccessLog made([] {
    AccessLog::Options options;
    options.path = "off";
    return options;
  }());
  return made;
}
Metrics& metrics() {
  static Metrics made(1, {"http"});
  return made;
}

struct Far {
  explicit Far(Loop& loop) : transport(loop) {}
  FakeTransport transport;
  std::string heard;
  bool asked = true;  // and the connection does not stand yet
};

class Plane final : public StreamHandler {
 public:
  Plane()
      : context_(*loop_, no_log(), metrics().worker(0), filter_shared_, metrics().route(0, "")),
        server_(*loop_, *this, nullptr, options()),
        client_(*loop_),
        upstream_(make_local<LocalUpstream>(*loop_, metrics(), 0, "s")) {
    current = this;
    publish();
    server_.accept(client_.handle(), 0, 8080);
  }
  ~Plane() {
    server_.close_all();
    loop_->end_turn();
    require(server_.connections() == 0, "every connection ends");
    context_.pin.reset();
    upstream_ = {};
    loop_->end_turn();
    for (Far& far : fars_) require(!far.transport.open(), "no upstream connection is left");
    current = nullptr;
  }

  TransportPtr connect() { return fars_.emplace_back(*loop_).transport.handle(); }

  void step(char what, std::string_view said) {
    switch (what) {
      case 'c':
        say(client_, said, said.size());
        asked_ += said;
        break;
      case 'C':
        say(client_, said, 1);
        asked_ += said;
        break;
      case 'u':
        if (!fars_.empty()) say(fars_.back().transport, said, said.size());
        break;
      case 'U':
        if (!fars_.empty()) say(fars_.back().transport, said, 1);
        break;
      case 'e':
        client_.eof();
        break;
      case 'r':
        client_.fail();
        break;
      case 'E':
        if (!fars_.empty()) fars_.back().transport.eof();
        break;
      case 'R':
        if (!fars_.empty()) fars_.back().transport.fail();
        break;
      case 'p':
        client_.stop_taking();
        break;
      case 'P':
        client_.take_all();
        break;
      case 'q':
        if (!fars_.empty()) fars_.back().transport.stop_taking();
        break;
      case 'Q':
        if (!fars_.empty()) fars_.back().transport.take_all();
        break;
      case 'n':
        refuse_ = true;
        break;
      case 't':
        loop_.pass(1000 * (1 + said.size()));
        loop_->end_turn();
        break;
      default:
        return;
    }
    settle();
  }

  void check() {
    Messages requests(H1Codec::Kind::kRequest, H1Limits());
    requests.read(asked_, asked_.size(), 1);
    auto methods = requests.methods();
    methods.push_back(requests.refused());
    Messages answers(H1Codec::Kind::kResponse, kRoomy, methods);
    answers.read(told_, told_.size(), 1);
    require(answers.failure() == Failure::kNone, "the client gets good HTTP", told_);
    require(answers.finals() <= requests.methods().size() + 1, "an answer a request", told_);
    // The client would take what it has for the whole.
    require(!client_.ended() || client_.aborted() || answers.between() || answers.switched(),
            "nothing cut short ends in good order", told_);
    if (!answers.switched()) check_upstreams(requests);
  }

  StreamUser* on_stream(ServerStream& stream) override { return context_.start(stream); }

  static Plane* current;

 private:
  static H1ServerOptions options() {
    H1ServerOptions made;
    // What they answer depends on more than the bytes.
    made.header_timeout = made.idle_timeout = Millis(0);
    return made;
  }

  void publish() {
    auto made = std::make_shared<Upstream>();
    made->service = "s";
    made->policy.connect_timeout = Millis(1'000);
    upstream_->set_policy(made);
    Instance instance;
    instance.id = "i";
    instance.address = "192.0.2.1:80";
    instance.socket_address = *SocketAddress::parse(instance.address);
    upstream_->set_instances(make_instance_list({instance}, nullptr));
    auto route = std::make_shared<Route>();
    route->name = "r";
    route->paths = {"/*"};
    Backend backend;
    backend.service = "s";
    route->backends = {backend};
    route->total_weight = 1;
    route->retries.on_reset = true;
    route->retries.on_status = {503};
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->upstreams = {made};
    snapshot->routes = {route};
    snapshot->table.build(snapshot->routes);
    auto pin = make_local<Pin>();
    pin->snapshot = snapshot;
    pin->upstreams = {upstream_};
    pin->routes = {metrics().route(0, "r")};
    context_.pin = pin;
    auto settings = std::make_shared<ProxySettings>();
    settings->listener_names = {"http"};
    settings->body_bytes = 1 << 16;
    context_.settings = settings;
  }

  static void say(FakeTransport& transport, std::string_view bytes, size_t step) {
    for (size_t at = 0; at < bytes.size(); at += step) transport.receive(bytes.substr(at, step));
  }

  // Everything that follows by itself: connections stand or are refused, bytes are written down.
  void settle() {
    loop_->end_turn();
    for (size_t i = 0; i < fars_.size(); ++i) {
      Far& far = fars_[i];
      if (std::exchange(far.asked, false) && far.transport.open()) {
        std::exchange(refuse_, false) ? far.transport.fail("refused") : far.transport.connected();
      }
    }
    // What was held while nobody read.
    client_.deliver();
    for (size_t i = 0; i < fars_.size(); ++i) fars_[i].transport.deliver();
    loop_->end_turn();
    for (Far& far : fars_) far.heard += far.transport.sent();
    told_ += client_.sent();
  }

  void check_upstreams(const Messages& requests) {
    std::set<std::string> ids;
    for (Far& far : fars_) {
      Messages heard(H1Codec::Kind::kRequest, kRoomy);
      heard.read(far.heard, far.heard.size(), 1);
      require(heard.failure() == Failure::kNone, "an upstream gets good HTTP", far.heard);
      for (const Message& message : heard.all()) {
        require(!message.id.empty(), "every request has an id", far.heard);
        require(came(message, requests), "what goes on is what came", far.heard);
        ids.insert(message.id);
      }
    }
    require(ids.size() <= requests.all().size(), "no more requests go on than came", asked_);
  }
  // Whether the client sent it: all of it, or at least what went on.
  static bool came(const Message& message, const Messages& requests) {
    return std::any_of(requests.all().begin(), requests.all().end(), [&](const Message& one) {
      if (message.method != one.method) return false;
      return message.whole ? one.whole && message.body == one.body
                           : one.body.starts_with(message.body);
    });
  }

  ManualLoop loop_;
  FilterShared filter_shared_;
  ProxyContext context_;
  H1ServerContext server_;
  FakeTransport client_;
  std::deque<Far> fars_;
  LocalPtr<LocalUpstream> upstream_;
  std::string asked_;  // all that the client said
  std::string told_;   // all that it got
  bool refuse_ = false;
};

Plane* Plane::current = nullptr;

}  // namespace

// In place of lictor::Tcp::connect (the linker's --wrap, see meson.build).
TransportPtr
connect_without_sockets(Loop& loop, const SocketAddress& address, TransportUser* user) __asm__(
    "__wrap__ZN6lictor3Tcp7connectERNS_4LoopERKNS_13SocketAddressEPNS_13TransportUserE");
TransportPtr connect_without_sockets(Loop&, const SocketAddress&, TransportUser*) {
  return Plane::current->connect();
}

}  // namespace lictor::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lictor;
  log::set_level(log::Level::kOff);
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  fuzz::Plane plane;
  char what = 'c';
  for (size_t at = 0; at <= input.size();) {
    const size_t end = std::min(input.find('\xFE', at), input.size());
    plane.step(what, input.substr(at, end - at));
    if (end + 1 >= input.size()) break;
    what = input[end + 1];
    at = end + 2;
  }
  plane.check();
  return 0;
}
