// The whole gateway: owns the control loop, the control plane, the workers and the admin port, and
// leads the process from its start to its end (SPEC 8). Everything here runs on the main thread.
#pragma once

#include <uv.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/admin_api.h"
#include "app/admin_server.h"
#include "app/event_hub.h"
#include "app/listener_tls.h"
#include "app/worker.h"
#include "control/control.h"
#include "control/tracing.h"
#include "io/loop.h"
#include "model/bootstrap.h"
#include "telemetry/access_log.h"
#include "telemetry/metrics.h"

namespace lictor {

class Gateway final : public Control::User, public AdminSource {
 public:
  // `config_file` is read again on SIGHUP; empty = none. `token`: what calls of the admin port must
  // bring; none = nothing.
  Gateway(Bootstrap bootstrap, std::string config_file, std::optional<std::string> token);
  ~Gateway();

  // First of all. A text for people when a certificate can't be used.
  std::optional<std::string> load_certificates();
  // Binds and starts everything. A text for people when that failed; then nothing runs.
  // `verbose`: log at debug level, whatever the file says.
  std::optional<std::string> start(bool verbose);
  // Returns when the process should end: 0 drained, 1 failed.
  int run();

  // Control::User
  void on_snapshot(SnapshotPtr snapshot) override;
  void on_instances(const std::string& service, InstanceListPtr instances) override;
  void on_ready_change() override;

  // AdminSource
  GatewayState state() const override;
  double uptime_s() const override;
  size_t workers() const override { return workers_.size(); }
  Metrics& metrics() override { return *metrics_; }
  std::vector<CertificateGauge> certificates() const override {
    return listener_tls_.certificates();
  }
  uint64_t access_log_dropped() const override { return access_log_->dropped(); }
  uint64_t traces_dropped() const override {
    return tracing_ == nullptr ? 0 : tracing_->spans().dropped();
  }
  uint64_t limited_alone() const override { return shared_->filters.redis.counted_alone(); }
  const TrafficHistory& traffic() const override { return traffic_; }
  const std::vector<ListenerStatus>& listeners() const override { return listeners_; }
  std::vector<std::string> not_ready_reasons() const override;
  std::string source() const override { return std::string(control_->source()); }
  bool restored() const override { return control_->restored(); }
  bool has_consul() const override { return control_->has_consul(); }
  ConsulStatus consul() const override { return control_->consul_status(); }
  std::vector<JwksStatus> jwks() const override { return control_->jwks(); }
  SnapshotPtr snapshot() const override { return control_->snapshot(); }
  InstanceListPtr instances(const std::string& service) const override {
    return control_->instances(service);
  }
  std::vector<DocumentStatus> documents() const override { return control_->documents(); }
  std::deque<ConfigChange> history() const override { return control_->history(); }
  void eject(const std::string& service, const Instance& instance) override;
  void restore(const std::string& service, const Instance& instance) override;
  void drain() override;

 private:
  enum class Life : uint8_t { kRunning, kLeading, kDraining, kEnded };

  std::optional<std::string> start_workers();
  std::optional<std::string> start_admin();
  void watch_signals();
  void on_signal(int number);
  void reload();
  WorkerSettings worker_settings() const;
  void send_settings();
  void close_listeners();
  void see_off();
  void on_worker_drained();
  void end_drained();
  void end();
  void sweep_ejections();
  void look_at_traffic();
  void flush_events();

  Bootstrap bootstrap_;
  const std::string config_file_;
  const std::optional<std::string> token_;
  Loop loop_;
  ListenerTls listener_tls_;
  std::unique_ptr<AccessLog> access_log_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<WorkerShared> shared_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Tracing> tracing_;  // null: no trace is recorded
  std::unique_ptr<Control> control_;
  EventHub events_;
  TrafficHistory traffic_;
  std::vector<ListenerStatus> listeners_;
  std::unique_ptr<AdminApi> admin_api_;
  std::unique_ptr<AdminServer> admin_server_;
  std::vector<std::unique_ptr<uv_signal_t>> signals_;
  Timer see_off_timer_;   // in the middle of the drain's lead
  Timer life_timer_;      // the drain's lead, then its timeout
  Timer ejection_timer_;  // ejections end on time also where no traffic looks
  Timer traffic_timer_;
  Life life_ = Life::kRunning;
  size_t undrained_ = 0;    // workers
  bool registered_ = true;  // in Consul's catalog, perhaps
  GatewayAddresses addresses_;
  uint64_t started_ns_ = 0;
};

// The bootstrap file with the environment; the error is one line for people. Empty `file` =
// defaults.
std::expected<Bootstrap, std::string> load_bootstrap(const std::string& file);
// The content of admin.token_file without the blanks around it, never empty; none without a file.
std::expected<std::optional<std::string>, std::string> read_admin_token(const AdminConfig& admin);

}  // namespace lictor
