// The bootstrap file (SPEC 2): what the gateway needs to know before it can ask for documents.
// JSON with // comments; every key is optional. Consul's own environment variables fill what the
// file leaves out. Nothing here touches the file system or the network.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/duration.h"
#include "base/json.h"
#include "base/log.h"
#include "io/tls_context.h"
#include "telemetry/access_log.h"

namespace lictor {

enum class Consistency : uint8_t { kDefault, kStale, kConsistent };

struct ConsulConfig {
  std::string address = "http://127.0.0.1:8500";  // as shown to people
  // What a path such as "/v1/kv" is appended to: scheme, host, port and an optional path prefix,
  // without a slash at the end. "http://localhost" when `unix_socket` is set.
  std::string url = "http://127.0.0.1:8500";
  std::string unix_socket;
  std::string token_file;  // wins over `token`
  std::string token;       // from CONSUL_HTTP_TOKEN; never in the file
  std::string datacenter;
  std::string name_space;
  std::string partition;
  std::string ca_file;
  std::string ca_path;
  std::string cert_file;
  std::string key_file;
  std::string tls_server_name;
  bool tls_verify = true;
  Consistency consistency = Consistency::kDefault;
  Millis wait{300'000};
  uint32_t max_connections = 100;
};

// Exactly one is not empty.
struct SourceConfig {
  std::string kv_prefix = "lictor";  // without a slash at either end
  std::string directory;
  bool fabio_tags = false;  // with kv_prefix alone: routes from urlprefix- tags too
};

// The gateway in Consul's catalog.
struct RegisterConfig {
  std::string service = "lictor";
  std::vector<std::string> tags;
};

// Where the last good documents and instances are kept for a restart.
struct SnapshotFileConfig {
  std::string path = "/var/lib/lictor/snapshot.json";  // empty = nowhere
  bool asked = false;  // false: the default, for machines that have its folder
};

struct CertificateFiles {
  std::string cert;
  std::string key;

  bool operator==(const CertificateFiles&) const = default;
};

struct ListenerTlsConfig {
  std::vector<CertificateFiles> certificates;  // at least one
  TlsVersion min_version = TlsVersion::k12;
  std::string client_ca;  // not empty unless client_cert is off
  ClientCert client_cert = ClientCert::kOff;
};

struct ListenerConfig {
  std::string name = "http";
  SocketAddress address;
  std::optional<ListenerTlsConfig> tls;  // none: plaintext
};

struct AdminConfig {
  SocketAddress address;
  std::string name;        // that the port may be called by, besides addresses; empty = none
  std::string token_file;  // empty = no token; then the address is a loopback one
};

struct LimitsConfig {
  uint32_t connections = 10'000;  // of all listeners and workers together; at least 1
  uint64_t header_bytes = 64 << 10;
  uint32_t header_count = 128;
  uint64_t uri_bytes = 16 << 10;
  // From here on 0 = no limit.
  uint64_t body_bytes = 0;
  Millis header_timeout{10'000};
  Millis idle_timeout{75'000};
  Millis body_timeout{30'000};
  uint64_t requests_per_connection = 0;
};

struct LogConfig {
  log::Level level = log::Level::kInfo;
  log::Format format = log::Format::kText;
  AccessLog::Options access;
};

struct TracingConfig {
  std::string otlp_url;  // where spans are posted to; empty = none are recorded
  double sample_ratio = 0.01;
  std::string service_name = "lictor";
};

struct DrainConfig {
  Millis lead{5'000};
  Millis timeout{30'000};  // 0 = no limit
};

struct Bootstrap {
  // None with source.directory and no "consul" key: no Consul is contacted at all.
  std::optional<ConsulConfig> consul;
  SourceConfig source;
  std::optional<RegisterConfig> registration = RegisterConfig{};  // none without a Consul
  SnapshotFileConfig snapshot_file;
  std::vector<ListenerConfig> listeners;  // at least one; names and addresses are unique
  AdminConfig admin;
  uint32_t workers = 0;  // 0 = one per CPU the process may use
  std::vector<Cidr> trusted_proxies;
  LimitsConfig limits;
  LogConfig log;
  TracingConfig tracing;
  DrainConfig drain;
};

// Consul's variables (CONSUL_HTTP_ADDR, ...) by name.
using Environment = std::map<std::string, std::string, std::less<>>;
Environment process_environment();

// `text` empty = no file: the defaults and the environment. On failure at least one problem.
std::expected<Bootstrap, Problems> parse_bootstrap(std::string_view text,
                                                   const Environment& environment);

}  // namespace lictor
