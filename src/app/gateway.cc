#include "app/gateway.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "base/log.h"
#include "base/version.h"
#include "proxy/ejection.h"

namespace lictor {
namespace {

constexpr uint64_t kEjectionSweepMs = 500;

size_t usable_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<size_t>(std::max(1, CPU_COUNT(&set)));
}

std::expected<std::string, std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file) return std::unexpected(path + ": can't be read");
  return text.str();
}

// Two descriptors a proxied connection, and some for everything else.
void raise_descriptor_limit(uint64_t connections) {
  const rlim_t wanted = 2 * connections + 512;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min(wanted, limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur < wanted) {
    log::warn("{} file descriptors are too few for limits.connections {}: allow {} (LimitNOFILE)",
              limit.rlim_cur, connections, wanted);
  }
}

std::string problems_line(const std::string& file, const Problems& problems) {
  std::string line = file + ": " + problems.front().to_string();
  if (problems.size() > 1) {
    line += " (and " + std::to_string(problems.size() - 1) + " more: see lictor check)";
  }
  return line;
}

H1ServerOptions server_options(const LimitsConfig& limits) {
  H1ServerOptions options;
  options.limits = {.header_bytes = limits.header_bytes,
                    .header_count = limits.header_count,
                    .uri_bytes = limits.uri_bytes};
  options.header_timeout = limits.header_timeout;
  options.idle_timeout = limits.idle_timeout;
  options.requests_per_connection = limits.requests_per_connection;
  return options;
}

}  // namespace

std::expected<Bootstrap, std::string> load_bootstrap(const std::string& file) {
  std::string text = "{}";
  if (!file.empty()) {
    auto read = read_file(file);
    if (!read) return std::unexpected(read.error());
    text = std::move(*read);
  }
  auto parsed = parse_bootstrap(text, process_environment());
  if (parsed) return std::move(*parsed);
  return std::unexpected(problems_line(file.empty() ? "environment" : file, parsed.error()));
}

std::expected<std::optional<std::string>, std::string> read_admin_token(const AdminConfig& admin) {
  if (admin.token_file.empty()) return std::nullopt;
  const auto text = read_file(admin.token_file);
  if (!text) return std::unexpected("admin.token_file: " + text.error());
  const std::string_view token = trimmed(*text);
  if (token.empty()) {
    return std::unexpected("admin.token_file: " + admin.token_file +
                           ": is blank; write a token into it, or leave the key out");
  }
  return std::string(token);
}

Gateway::Gateway(Bootstrap bootstrap, std::string config_file, std::optional<std::string> token)
    : bootstrap_(std::move(bootstrap)),
      config_file_(std::move(config_file)),
      token_(std::move(token)),
      started_ns_(uv_hrtime()) {
  see_off_timer_.bind<&Gateway::see_off>(this);
  life_timer_.bind<&Gateway::close_listeners>(this);
  ejection_timer_.bind<&Gateway::sweep_ejections>(this);
  traffic_timer_.bind<&Gateway::look_at_traffic>(this);
}

Gateway::~Gateway() {
  for (const auto& worker : workers_) worker->stop();
  // The loop runs once more below, when what they look at is gone.
  for (Timer* timer : {&see_off_timer_, &life_timer_, &ejection_timer_, &traffic_timer_}) {
    Loop::cancel(*timer);
  }
  admin_server_.reset();
  control_.reset();
  tracing_.reset();
  for (const auto& signal : signals_) {
    uv_close(reinterpret_cast<uv_handle_t*>(signal.get()), nullptr);
  }
  uv_run(loop_.uv(), UV_RUN_NOWAIT);
}

// --- start ---------------------------------------------------------------------------------------

std::optional<std::string> Gateway::load_certificates() {
  const Problems problems = listener_tls_.load(bootstrap_.listeners);
  if (problems.empty()) return std::nullopt;
  return problems_line(config_file_, problems);
}

WorkerSettings Gateway::worker_settings() const {
  auto proxy = std::make_shared<ProxySettings>();
  proxy->trusted_proxies = bootstrap_.trusted_proxies;
  proxy->body_bytes = bootstrap_.limits.body_bytes;
  proxy->body_timeout = bootstrap_.limits.body_timeout;
  for (const auto& listener : bootstrap_.listeners) proxy->listener_names.push_back(listener.name);
  if (tracing_ != nullptr) proxy->tracing = {&tracing_->spans(), bootstrap_.tracing.sample_ratio};
  return {server_options(bootstrap_.limits), listener_tls_.servers(), std::move(proxy)};
}

std::optional<std::string> Gateway::start(bool verbose) {
  log::configure(verbose ? log::Level::kDebug : bootstrap_.log.level, bootstrap_.log.format);
  raise_descriptor_limit(bootstrap_.limits.connections);
  try {
    access_log_ = std::make_unique<AccessLog>(bootstrap_.log.access);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  signal(SIGPIPE, SIG_IGN);
  const size_t count = bootstrap_.workers == 0 ? usable_cpus() : bootstrap_.workers;
  std::vector<std::string> names;
  names.reserve(bootstrap_.listeners.size());
  for (const auto& listener : bootstrap_.listeners) names.push_back(listener.name);
  metrics_ = std::make_unique<Metrics>(count, std::move(names));
  shared_ = std::make_unique<WorkerShared>(*metrics_, *access_log_);
  shared_->max_connections = bootstrap_.limits.connections;
  if (!bootstrap_.tracing.otlp_url.empty()) {
    tracing_ = std::make_unique<Tracing>(loop_.uv(), bootstrap_.tracing);
  }
  for (size_t i = 0; i < count; ++i) {
    workers_.push_back(std::make_unique<Worker>(i, *shared_, worker_settings()));
  }
  control_ = std::make_unique<Control>(loop_.uv(), bootstrap_, *this);
  if (auto failed = start_admin()) return failed;
  if (auto failed = start_workers()) return failed;
  watch_signals();
  listener_tls_.watch(loop_, [this] { send_settings(); });
  control_->start(addresses_);
  loop_.arm(ejection_timer_, kEjectionSweepMs);
  look_at_traffic();
  log::info("lictor {} started with {} workers", version(), workers_.size());
  return std::nullopt;
}

std::optional<std::string> Gateway::start_workers() {
  std::vector<std::vector<Worker::Socket>> sockets(workers_.size());
  for (size_t i = 0; i < bootstrap_.listeners.size(); ++i) {
    const ListenerConfig& config = bootstrap_.listeners[i];
    SocketAddress address = config.address;
    for (size_t worker = 0; worker < workers_.size(); ++worker) {
      const auto fd = bind_socket(address, worker == 0);
      if (!fd) return "listener " + config.name + ": " + fd.error();
      address = socket_name(*fd);
      sockets[worker].push_back({*fd, static_cast<uint16_t>(i), address.port()});
    }
    log::info("listener {} on {}", config.name, address.to_string());
    listeners_.push_back({config.name, address.to_string()});
    if (i == 0) addresses_.listener = address;
  }
  for (size_t worker = 0; worker < workers_.size(); ++worker) {
    if (auto failed = workers_[worker]->start(sockets[worker]); !failed.empty()) {
      return "a listener can't listen: " + failed;
    }
  }
  return std::nullopt;
}

std::optional<std::string> Gateway::start_admin() {
  AdminApi::Options options;
  options.token = token_;
  options.host_name = bootstrap_.admin.name;
  admin_api_ = std::make_unique<AdminApi>(*this, std::move(options));
  admin_server_ = std::make_unique<AdminServer>(loop_, *admin_api_, events_);
  const auto fd = bind_socket(bootstrap_.admin.address, true);
  if (!fd) return "admin: " + fd.error();
  addresses_.admin = socket_name(*fd);
  if (auto failed = admin_server_->start(*fd); !failed.empty()) return "admin: " + failed;
  log::info("admin on {}", addresses_.admin.to_string());
  return std::nullopt;
}

void Gateway::watch_signals() {
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) {
    auto& handle = signals_.emplace_back(std::make_unique<uv_signal_t>());
    uv_signal_init(loop_.uv(), handle.get());
    handle->data = this;
    uv_signal_start(
        handle.get(),
        [](uv_signal_t* signal, int caught) {
          auto* self = static_cast<Gateway*>(signal->data);
          self->on_signal(caught);
          self->loop_.end_turn();
        },
        number);
  }
}

int Gateway::run() {
  loop_.run();
  for (const auto& worker : workers_) worker->stop();
  control_->stop();
  log::info("lictor ended");
  return 0;
}

// --- the control plane ---------------------------------------------------------------------------

void Gateway::on_snapshot(SnapshotPtr snapshot) {
  for (const auto& worker : workers_) worker->set_snapshot(snapshot);
  events_.keep_only(*snapshot);
  const auto history = control_->history();
  events_.on_snapshot(*snapshot, history.empty() ? ConfigChange{} : history.back());
  flush_events();
}

void Gateway::on_instances(const std::string& service, InstanceListPtr instances) {
  for (const auto& worker : workers_) worker->set_instances(service, instances);
  events_.on_instances(service, std::move(instances));
  flush_events();
}

// The control plane's callbacks are no turns of the loop, at whose end bytes go out.
void Gateway::flush_events() {
  if (events_.listeners() != 0) loop_.post([] {});
}

void Gateway::on_ready_change() {
  events_.on_state("ready");
  flush_events();
}

void Gateway::sweep_ejections() {
  if (const auto current = control_->snapshot()) {
    for (const auto& upstream : current->upstreams) {
      if (const auto list = control_->instances(upstream->service)) {
        return_expired(upstream->service, *list, static_cast<int64_t>(loop_.now_ms()));
      }
    }
  }
  events_.look_for_ejections();
  loop_.arm(ejection_timer_, kEjectionSweepMs);
}

// At the seconds of the clock, so that the samples of several gateways fit together.
void Gateway::look_at_traffic() {
  using std::chrono::duration_cast;
  const int64_t now_ms =
      duration_cast<Millis>(std::chrono::system_clock::now().time_since_epoch()).count();
  traffic_.look(now_ms, metrics_->traffic());
  constexpr int64_t kInterval = TrafficHistory::kIntervalMs;
  // A timer that is a little early is not armed again for the same second.
  const int64_t next = kInterval - (now_ms + kInterval / 4) % kInterval + kInterval / 4;
  loop_.arm(traffic_timer_, static_cast<uint64_t>(next));
}

// --- the admin port ------------------------------------------------------------------------------

GatewayState Gateway::state() const {
  if (life_ != Life::kRunning) return GatewayState::kDraining;
  return control_->ready() ? GatewayState::kReady : GatewayState::kStarting;
}

double Gateway::uptime_s() const { return static_cast<double>(uv_hrtime() - started_ns_) / 1e9; }

std::vector<std::string> Gateway::not_ready_reasons() const {
  return control_->not_ready_reasons();
}

void Gateway::eject(const std::string& service, const Instance& instance) {
  const auto list = control_->instances(service);
  if (!list) return;
  eject_by_operator(*list, *instance.state);
  log::info("admin: upstream {}: instance {} ejected by an operator", service, instance.id);
}

void Gateway::restore(const std::string& service, const Instance& instance) {
  const auto list = control_->instances(service);
  if (!list) return;
  restore_by_operator(*list, *instance.state, static_cast<int64_t>(loop_.now_ms()));
  log::info("admin: upstream {}: instance {} restored by an operator", service, instance.id);
}

// --- the end -------------------------------------------------------------------------------------

void Gateway::on_signal(int number) {
  switch (number) {
    case SIGHUP:
      reload();
      return;
    case SIGUSR1:
      access_log_->reopen();
      return;
    default:
      break;
  }
  if (life_ == Life::kRunning) {
    drain();
  } else {
    log::warn("second signal: ending at once");
    end();
  }
}

// Certificates, log level, limits, trusted proxies (SPEC 8).
void Gateway::reload() {
  auto fresh = load_bootstrap(config_file_);
  if (!fresh) {
    log::error("reload refused, the old configuration stays: {}", fresh.error());
    return;
  }
  bootstrap_.limits = fresh->limits;
  bootstrap_.trusted_proxies = fresh->trusted_proxies;
  // A level set by hand (-v, the admin port) stays unless the file's own changed.
  if (bootstrap_.log.level != fresh->log.level) log::set_level(fresh->log.level);
  bootstrap_.log.level = fresh->log.level;
  shared_->max_connections = bootstrap_.limits.connections;
  listener_tls_.reload(fresh->listeners);
  control_->reread_files();
  send_settings();
  log::info("reloaded certificates, log level, limits and trusted proxies");
}

void Gateway::send_settings() {
  for (const auto& worker : workers_) worker->set_settings(worker_settings());
}

void Gateway::drain() {
  if (life_ != Life::kRunning) return;
  life_ = Life::kLeading;
  events_.on_state("draining");
  log::info("draining: not ready from now on, listeners close in {}",
            format_duration(bootstrap_.drain.lead));
  loop_.arm(life_timer_, static_cast<uint64_t>(bootstrap_.drain.lead.count()));
  loop_.arm(see_off_timer_, static_cast<uint64_t>(bootstrap_.drain.lead.count()) / 2);
}

// By now who asks /readyz has heard; whoever is still here should find another gateway.
void Gateway::see_off() {
  for (const auto& worker : workers_) worker->see_off();
}

// The lead is over.
void Gateway::close_listeners() {
  if (life_ == Life::kDraining) {
    log::warn("drain.timeout is over: cutting off the requests that are left");
    end();
    return;
  }
  life_ = Life::kDraining;
  undrained_ = workers_.size();
  if (bootstrap_.drain.timeout.count() > 0) {
    loop_.arm(life_timer_, static_cast<uint64_t>(bootstrap_.drain.timeout.count()));
  }
  control_->leave([this] {
    registered_ = false;
    end_drained();
  });
  for (const auto& worker : workers_) {
    worker->drain([this] { loop_.post([this] { on_worker_drained(); }); });
  }
}

void Gateway::on_worker_drained() {
  --undrained_;
  end_drained();
}

void Gateway::end_drained() {
  if (undrained_ != 0 || registered_ || life_ != Life::kDraining) return;
  if (tracing_ == nullptr) {
    end();
  } else {
    tracing_->finish([this] { end(); });
  }
}

void Gateway::end() {
  life_ = Life::kEnded;
  loop_.stop();
}

}  // namespace lictor
