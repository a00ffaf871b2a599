#include "control/control.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/log.h"
#include "control/agent.h"
#include "control/directory_source.h"
#include "control/discovery.h"
#include "control/fabio_source.h"
#include "control/http_client.h"
#include "control/jwks.h"
#include "control/kv_source.h"
#include "control/parts.h"
#include "control/publisher.h"
#include "control/registration.h"
#include "control/state_saver.h"
#include "control/uv_background.h"
#include "control/uv_doorbell.h"
#include "control/uv_scheduler.h"
#include "control/uv_watch_folder.h"
#include "io/lookup.h"
#include "io/loop.h"

namespace lictor {
namespace {

constexpr size_t kReasons = 20;
constexpr uint32_t kIssuerConnections = 16;

std::unique_ptr<ControlParts> real_parts(uv_loop_t* loop, const Bootstrap& bootstrap) {
  auto parts = std::make_unique<ControlParts>();
  parts->scheduler = std::make_unique<UvScheduler>(loop);
  parts->lookup = [loop](const std::string& name, Resolver::Answer answer) {
    return look_up(*static_cast<Loop*>(loop->data), name, std::move(answer));
  };
  parts->watch_folder = uv_watch_folder(loop);
  parts->background = uv_background(loop);
  parts->doorbell = uv_doorbell(loop);
  // Issuers are others than Consul: the system's authorities, and no certificate of ours.
  HttpClientOptions issuers;
  issuers.max_connections = kIssuerConnections;
  parts->issuer_fetcher = std::make_unique<HttpClient>(loop, std::move(issuers));
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

// Where the snapshot file is; empty = nowhere.
std::string snapshot_path(const SnapshotFileConfig& config) {
  if (config.path.empty() || can_write_state_file(config.path)) return config.path;
  if (!config.asked) {
    log::info("snapshot: none: the folder of {} is not there, or not writable", config.path);
    return {};
  }
  log::warn("snapshot: {} can't be written: its folder is not there, or not writable", config.path);
  return config.path;
}

}  // namespace

// Members die in reverse order: queries and timers before what they run on.
struct Control::Impl final : Publisher::User, Discovery::User {
  Impl(std::unique_ptr<ControlParts> given, const Bootstrap& bootstrap, Control::User& theirs);
  virtual ~Impl() { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void prepare(const Snapshot& snapshot) override {
    discovery->prepare(snapshot);
    if (jwks) jwks->prepare(snapshot);
  }
  bool warm(const Snapshot& snapshot) override {
    return discovery->all_answered(snapshot) && (!jwks || jwks->all_answered(snapshot));
  }
  void publish(SnapshotPtr snapshot) override;
  void on_instances(const std::string& service, InstanceListPtr instances) override;
  void on_answered() override;
  void check_ready();
  void start(const GatewayAddresses& addresses);
  void start_registration(const GatewayAddresses& addresses);
  void leave(std::function<void()> done);
  void load();
  void restore();
  std::string origin() const;
  StateToSave state_to_save() const;
  void changed();
  bool restored() const;
  void stop();
  ConsulStatus status() const;

  std::unique_ptr<ControlParts> parts;
  Control::User& user;
  std::unique_ptr<Agent> agent;  // null without a Consul
  std::unique_ptr<Discovery> discovery;
  std::unique_ptr<Publisher> publisher;
  std::unique_ptr<Jwks> jwks;  // null where nothing can be fetched
  std::unique_ptr<Source> source;
  std::string_view source_name;
  std::optional<RegisterConfig> register_config;
  std::unique_ptr<Registration> registration;  // null when there is none
  std::unique_ptr<ScheduledCall> leave_timer;
  std::unique_ptr<ScheduledCall> ready_timer;
  std::string snapshot_file;          // empty = none
  std::unique_ptr<StateSaver> saver;  // null without
  std::unique_ptr<SavedState> saved;  // read, and not in force yet
  std::unique_ptr<ScheduledCall> restore_timer;
  Millis saved_age{0};                      // of what was restored, at the start
  std::optional<ConsulStatus> last_status;  // once stopped
  bool read = false;                        // the documents
  bool from_file = false;                   // documents were restored
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
    changed();
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
  if (parts->issuer_fetcher) {
    jwks = std::make_unique<Jwks>(scheduler, *parts->issuer_fetcher, parts->doorbell,
                                  [this] { publisher->poke(); });
  }
  // Told from the loop, so that nobody is called from inside a watch.
  ready_timer = scheduler.timer([this] { check_ready(); });
  restore_timer = scheduler.timer([this] { restore(); });
  register_config = bootstrap.registration;
  snapshot_file = snapshot_path(bootstrap.snapshot_file);
  if (!snapshot_file.empty()) {
    saver = std::make_unique<StateSaver>(scheduler, parts->background, snapshot_file,
                                         [this] { return state_to_save(); });
  }
}

void Control::Impl::start(const GatewayAddresses& addresses) {
  log::info("source: {}", source->describe());
  if (saver) load();
  source->start();
  if (agent && register_config) start_registration(addresses);
}

void Control::Impl::start_registration(const GatewayAddresses& addresses) {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  auto entry = make_registration(*register_config, agent->consul.config(), addresses, host.data());
  if (!entry) {
    log::warn("register: not in Consul's catalog: {}", entry.error());
    return;
  }
  registration =
      std::make_unique<Registration>(*agent, std::move(*entry), [this] { return ready; });
  registration->start();
}

void Control::Impl::leave(std::function<void()> done) {
  if (registration && !stopped) {
    registration->leave(std::move(done));
  } else {
    leave_timer = parts->scheduler->timer(std::move(done));
    leave_timer->start(Millis(0));
  }
}

void Control::Impl::load() {
  auto found = read_state_file(snapshot_file);
  if (!found) {
    log::warn("snapshot: {} is ignored: {}", snapshot_file, found.error());
    return;
  }
  saved = std::move(*found);
  if (!saved) return;
  if (saved->source != origin()) {
    log::warn("snapshot: {} is ignored: it is of {}", snapshot_file, saved->source);
    saved.reset();
    return;
  }
  saved_age = std::max(Millis(0), Millis(parts->scheduler->wall_ms() - saved->time_ms));
  log::info("snapshot: {} documents and {} services restored from {}, {} old",
            saved->documents.size(), saved->services.size(), snapshot_file,
            format_duration(saved_age));
  std::vector<Document> documents;
  for (const auto& one : saved->documents) {
    if (one.text) documents.push_back({one.key, *one.text, one.modify_index});
  }
  source->restore(documents);
  discovery->restore(std::move(saved->services));
  restore_timer->start(Millis(0));
}

void Control::Impl::restore() {
  const auto state = std::move(saved);
  if (publisher->snapshot()) return;  // the source was faster
  from_file = true;
  publisher->restore(state->documents);
}

// What must be the same for a snapshot to be of use: another Consul has other instances.
std::string Control::Impl::origin() const {
  std::string out = source->describe();
  if (!agent) return out;
  const ConsulConfig& config = agent->consul.config();
  for (const auto& [name, value] : {std::pair{", datacenter ", &config.datacenter},
                                    std::pair{", namespace ", &config.name_space},
                                    std::pair{", partition ", &config.partition}}) {
    if (!value->empty()) out += name + *value;
  }
  return out;
}

StateToSave Control::Impl::state_to_save() const {
  return {origin(), parts->scheduler->wall_ms(),
          std::make_shared<const std::vector<DocumentVersions>>(publisher->versions()),
          discovery->found_services()};
}

void Control::Impl::changed() {
  if (saver) saver->touch();
}

bool Control::Impl::restored() const {
  const auto snapshot = publisher->snapshot();
  return snapshot && ((from_file && !read) || discovery->any_restored(*snapshot));
}

void Control::Impl::publish(SnapshotPtr snapshot) {
  discovery->adopt(*snapshot);
  user.on_snapshot(snapshot);
  discovery->keep_only(*snapshot);
  if (jwks) jwks->keep_only(*snapshot);
  if (read) discovery->forget_restored();
  changed();
  check_ready();
}

void Control::Impl::on_instances(const std::string& service, InstanceListPtr instances) {
  const auto usable = std::count_if(instances->instances.begin(), instances->instances.end(),
                                    [](const Instance& i) { return i.usable; });
  log::debug("service {}: {} instances, {} usable", service, instances->instances.size(), usable);
  user.on_instances(service, std::move(instances));
  changed();
}

void Control::Impl::on_answered() {
  publisher->poke();
  if (!ready) ready_timer->start(Millis(0));
}

void Control::Impl::check_ready() {
  const auto snapshot = publisher->snapshot();
  if (ready || stopped || !snapshot || !discovery->all_answered(*snapshot)) return;
  ready = true;
  log::info("ready: {} routes, {} services{}", snapshot->routes.size(), snapshot->upstreams.size(),
            restored() ? ", restored from the snapshot" : "");
  user.on_ready_change();
}

void Control::Impl::stop() {
  if (std::exchange(stopped, true)) return;
  last_status = status();
  if (saver) saver->finish();
  ready_timer.reset();
  restore_timer.reset();
  publisher->stop();
  discovery->stop();
  jwks.reset();
  // No query is left after these; then the connections may go.
  source.reset();
  registration.reset();
  leave_timer.reset();
  parts->fetcher.reset();
  parts->issuer_fetcher.reset();
}

ConsulStatus Control::Impl::status() const {
  if (last_status) return *last_status;
  ConsulStatus out;
  if (!agent) return out;
  out.address = agent->consul.config().address;
  out.connected = agent->monitor.connected();
  out.known_leader = agent->monitor.known_leader();
  const Millis older = agent->monitor.ever_connected() ? Millis(0) : saved_age;
  out.staleness_s = static_cast<double>((agent->monitor.staleness() + older).count()) / 1000;
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

void Control::start(const GatewayAddresses& addresses) { impl_->start(addresses); }
void Control::leave(std::function<void()> done) { impl_->leave(std::move(done)); }

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

std::string_view Control::source() const {
  return impl_->from_file && !impl_->read ? "snapshot" : impl_->source_name;
}

bool Control::restored() const { return impl_->restored(); }

bool Control::has_consul() const { return impl_->agent != nullptr; }
ConsulStatus Control::consul_status() const { return impl_->status(); }
void Control::reread_files() { impl_->publisher->reread_files(); }
std::vector<JwksStatus> Control::jwks() const {
  return impl_->jwks ? impl_->jwks->status() : std::vector<JwksStatus>{};
}
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
