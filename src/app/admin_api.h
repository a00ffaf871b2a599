// The admin API (SPEC 6) as a function from a request to an answer, without sockets: who may ask is
// decided here, what each call answers in admin_calls.cc. Control thread only.
//
// Order of the checks: Host (421), token (401), cross-site (403), then the call (404, 405).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/traffic_history.h"
#include "control/control.h"
#include "http/message.h"
#include "model/compiler.h"
#include "model/snapshot.h"
#include "telemetry/metrics.h"

namespace lictor {

// All views are borrowed for the time of the call.
struct AdminRequest {
  std::string_view method;
  std::string_view path;   // as it came: still percent-encoded, not normalised
  std::string_view query;  // without the '?'
  std::string_view host;   // Host, or the authority of an absolute-form target
  const Fields* fields = nullptr;
  std::string_view body;
};

// An answer to HEAD has the body that GET would get: send its length alone.
struct AdminResponse {
  uint16_t status = 200;
  std::string_view content_type = "application/json";  // static text
  std::string body;
  std::vector<std::pair<std::string_view, std::string>> headers;  // besides Content-Type, -Length
  bool is_stream = false;  // `body` is the beginning; events follow until somebody closes
};

enum class GatewayState : uint8_t { kStarting, kReady, kDraining };

struct ListenerStatus {
  std::string name;
  std::string address;  // bound: with its real port
};

// What the API needs of the gateway.
class AdminSource {
 public:
  virtual GatewayState state() const = 0;
  virtual double uptime_s() const = 0;
  virtual size_t workers() const = 0;
  virtual Metrics& metrics() = 0;
  virtual uint64_t access_log_dropped() const = 0;
  virtual uint64_t traces_dropped() const = 0;
  virtual uint64_t limited_alone() const = 0;
  virtual std::vector<CertificateGauge> certificates() const = 0;
  virtual const TrafficHistory& traffic() const = 0;
  virtual const std::vector<ListenerStatus>& listeners() const = 0;  // as in the bootstrap file

  // As in control.h.
  virtual std::vector<std::string> not_ready_reasons() const = 0;
  virtual std::string source() const = 0;  // consul, directory, snapshot
  virtual bool restored() const = 0;
  virtual bool has_consul() const = 0;
  virtual ConsulStatus consul() const = 0;
  virtual std::vector<JwksStatus> jwks() const { return {}; }
  virtual SnapshotPtr snapshot() const = 0;                                 // null before the first
  virtual InstanceListPtr instances(const std::string& service) const = 0;  // null when unknown
  virtual std::vector<DocumentStatus> documents() const = 0;
  virtual std::deque<ConfigChange> history() const = 0;

  // An operator's hand: out until restored, or back in with a clean record. Idempotent.
  virtual void eject(const std::string& service, const Instance& instance) = 0;
  virtual void restore(const std::string& service, const Instance& instance) = 0;
  virtual void drain() = 0;  // returns at once; idempotent

 protected:
  ~AdminSource() = default;
};

// Without the blanks around it.
std::string_view trimmed(std::string_view text);

class AdminApi {
 public:
  struct Now {
    int64_t system_ms;  // since the epoch
    int64_t steady_ms;  // of InstanceState::ejected_until_ms
  };
  struct Options {
    // As bearer token; an empty one lets nobody in. None = open.
    std::optional<std::string> token;
    std::string host_name;     // a name for the admin port besides localhost and addresses
    std::function<Now()> now;  // for tests; empty = the clocks of the system
  };

  // `source` outlives this.
  AdminApi(AdminSource& source, Options options);

  AdminResponse handle(const AdminRequest& request) const;

 private:
  AdminResponse answer(const AdminRequest& request) const;
  AdminResponse dispatch(const AdminRequest& request) const;
  bool host_allowed(std::string_view host) const;
  bool token_matches(const Fields& fields) const;

  AdminSource& source_;
  const Options options_;
};

}  // namespace lictor
