#include "control/control.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"
#include "control/agent.h"
#include "control/directory_source.h"
#include "control/discovery.h"
#include "control/fabio_source.h"
#include "control/http_client.h"
#include "control/kv_source.h"
#include "control/parts.h"
#include "control/publisher.h"
#include "control/uv_lookup.h"
#include "control/uv_scheduler.h"
#include "control/uv_watch_folder.h"

namespace lictor {
namespace {

constexpr size_t kReasons = 20;

std::unique_ptr<ControlParts> real_parts(uv_loop_t* loop, const Bootstrap& bootstrap) {
  auto parts = std::make_unique<ControlParts>();
  parts->scheduler = std::make_unique<UvScheduler>(loop);
  parts->lookup = uv_lookup(loop);
  parts->watch_folder = uv_watch_folder(loop);
  if (bootstrap.consul) {
    const ConsulConfig& consul = *bootstrap.consul;
    HttpClientOptions options;
    options.unix_socket = consul.unix_socket;
    options.ca_file = consul.ca_file;
    options.ca_path = consul.ca_path;
    options.cert_file = consul.cert_file;
    options.key_file = consul.key_file;
    options.tls_server_name = consul.tls_server_name;
    options.tls_verify = consul.tls_verify;
    options.max_connections = consul.max_connections;
    parts->fetcher = std::make_unique<HttpClient>(loop, std::move(options));
  }
  return parts;
}

}  // namespace

// Members die in reverse order: queries and timers before what they run on.
struct Control::Impl final : Publisher::User, Discovery::User {
  Impl(std::unique_ptr<ControlParts> given, const Bootstrap& bootstrap, Control::User& theirs);
  ~Impl() { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void prepare(const Snapshot& snapshot) override { discovery->prepare(snapshot); }
  bool warm(const Snapshot& snapshot) override { return discovery->unanswered(snapshot).empty(); }
  void publish(SnapshotPtr snapshot) override;
  void on_instances(const std::string& service, InstanceListPtr instances) override;
  void on_answered() override;
  void check_ready();
  void stop();
  ConsulStatus status() const;

  std::unique_ptr<ControlParts> parts;
  Control::User& user;
  std::unique_ptr<Agent> agent;  // null without a Consul
  std::unique_ptr<Discovery> discovery;
  std::unique_ptr<Publisher> publisher;
  std::unique_ptr<Source> source;
  std::string_view source_name;
  std::unique_ptr<Timer> ready_timer;
  std::optional<ConsulStatus> last_status;  // once stopped
  bool read = false;                        // the documents
  bool ready = false;
  bool stopped = false;
};

Control::Impl::Impl(std::unique_ptr<ControlParts> given, const Bootstrap& bootstrap,
                    Control::User& theirs)
    : parts(std::move(given)), user(theirs) {
  Scheduler& scheduler = *parts->scheduler;
  if (bootstrap.consul) {
    agent = std::make_unique<Agent>(*bootstrap.consul, scheduler, *parts->fetcher);
  }
  discovery = std::make_unique<Discovery>(scheduler, agent.get(), parts->lookup, *this);
  const auto sink = [this](DocumentSet documents) {
    read = true;
    publisher->set(std::move(documents));
  };
  if (!bootstrap.source.directory.empty()) {
    source = std::make_unique<DirectorySource>(scheduler, parts->watch_folder,
                                               bootstrap.source.directory, sink);
  } else if (bootstrap.source.fabio_tags) {
    source = std::make_unique<FabioSource>(*agent, bootstrap.source.kv_prefix, sink);
  } else {
    source = std::make_unique<KvSource>(*agent, bootstrap.source.kv_prefix, sink);
  }
  source_name = source->name();
  publisher = std::make_unique<Publisher>(scheduler, source->prefix(), *this);
  // Told from the loop, so that nobody is called from inside a watch.
  ready_timer = scheduler.timer([this] { check_ready(); });
}

void Control::Impl::publish(SnapshotPtr snapshot) {
  discovery->adopt(*snapshot);
  user.on_snapshot(snapshot);
  discovery->keep_only(*snapshot);
  check_ready();
}

void Control::Impl::on_instances(const std::string& service, InstanceListPtr instances) {
  const auto usable = std::count_if(instances->instances.begin(), instances->instances.end(),
                                    [](const Instance& i) { return i.usable; });
  log::debug("service {}: {} instances, {} usable", service, instances->instances.size(), usable);
  user.on_instances(service, std::move(instances));
}

void Control::Impl::on_answered() {
  publisher->poke();
  if (!ready) ready_timer->start(Millis(0));
}

void Control::Impl::check_ready() {
  const auto snapshot = publisher->snapshot();
  if (ready || stopped || !snapshot || !discovery->unanswered(*snapshot).empty()) return;
  ready = true;
  log::info("ready: {} routes, {} services", snapshot->routes.size(), snapshot->upstreams.size());
  user.on_ready_change();
}

void Control::Impl::stop() {
  if (std::exchange(stopped, true)) return;
  last_status = status();
  ready_timer.reset();
  publisher->stop();
  discovery->stop();
  // No query is left after these; then the connections may go.
  source.reset();
  parts->fetcher.reset();
}

ConsulStatus Control::Impl::status() const {
  if (last_status) return *last_status;
  ConsulStatus out;
  if (!agent) return out;
  out.address = agent->consul.config().address;
  out.connected = agent->monitor.connected();
  out.known_leader = agent->monitor.known_leader();
  out.staleness_s = static_cast<double>(agent->monitor.staleness().count()) / 1000;
  out.queries = agent->consul.queries();
  out.connections = agent->consul.connections();
  out.errors_total = agent->monitor.errors_total();
  out.last_error = agent->monitor.last_error();
  out.by_outcome = agent->consul.by_outcome();
  return out;
}

Control::Control(uv_loop_t* loop, const Bootstrap& bootstrap, User& user)
    : Control(real_parts(loop, bootstrap), bootstrap, user) {}
Control::Control(std::unique_ptr<ControlParts> parts, const Bootstrap& bootstrap, User& user)
    : impl_(std::make_unique<Impl>(std::move(parts), bootstrap, user)) {}
Control::~Control() = default;

void Control::start() {
  log::info("source: {}", impl_->source->describe());
  impl_->source->start();
}

void Control::stop() { impl_->stop(); }

bool Control::ready() const { return impl_->ready; }

std::vector<std::string> Control::not_ready_reasons() const {
  std::vector<std::string> reasons;
  if (impl_->ready) return reasons;
  const auto snapshot = impl_->publisher->snapshot();
  if (!snapshot) {
    reasons.emplace_back(impl_->read ? "the documents are not in force yet"
                                     : "the documents have not been read yet");
    if (impl_->agent && !impl_->agent->monitor.last_error().empty()) {
      reasons.push_back("consul: " + impl_->agent->monitor.last_error());
    }
    return reasons;
  }
  const auto services = impl_->discovery->unanswered(*snapshot);
  for (size_t i = 0; i < std::min(services.size(), kReasons); ++i) {
    reasons.push_back("service " + services[i] + " has not been read yet");
  }
  if (services.size() > kReasons) {
    reasons.push_back("and " + std::to_string(services.size() - kReasons) + " more services");
  }
  return reasons;
}

std::string_view Control::source() const { return impl_->source_name; }

bool Control::has_consul() const { return impl_->agent != nullptr; }
ConsulStatus Control::consul_status() const { return impl_->status(); }
SnapshotPtr Control::snapshot() const { return impl_->publisher->snapshot(); }

InstanceListPtr Control::instances(const std::string& service) const {
  return impl_->discovery->instances(service);
}

std::vector<DocumentStatus> Control::documents() const { return impl_->publisher->documents(); }
std::deque<ConfigChange> Control::history() const { return impl_->publisher->history(); }

uint64_t Control::rejected_documents() const {
  const auto& documents = impl_->publisher->documents();
  return static_cast<uint64_t>(std::count_if(
      documents.begin(), documents.end(),
      [](const DocumentStatus& status) { return status.state != DocumentState::kActive; }));
}

}  // namespace lictor
