#include "model/bootstrap.h"

#include <algorithm>
#include <set>

#include "filter/names.h"
#include "telemetry/metrics.h"

extern "C" char** environ;

namespace lictor {
namespace {

constexpr size_t kMaxListeners = WorkerCells::kMaxListeners;
constexpr size_t kMaxCertificates = 256;
constexpr size_t kMaxCidrs = 1024;
constexpr size_t kMaxTags = 64;

// A string of the file that fills `out` unless it is empty.
void read_filled(JsonObject& object, std::string_view key, std::string& out) {
  std::string value;
  if (object.text(key, value) && !value.empty()) out = std::move(value);
}

// --- Consul --------------------------------------------------------------------------------------

struct ConsulUrl {
  std::string url;
  std::string unix_socket;
};

bool is_host(std::string_view host) {
  if (host.starts_with('[')) return IpAddress::parse(host).has_value();
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
}

// "consul:8500", "[::1]:8500" or "consul".
bool is_authority(std::string_view text) {
  const size_t colon = text.rfind(':');
  const bool has_port = colon != std::string_view::npos && !text.ends_with(']');
  if (!has_port) return is_host(text);
  return split_host_port(text).has_value() && is_host(text.substr(0, colon));
}

// As Consul's CLI reads CONSUL_HTTP_ADDR: a bare "host:port" gets its scheme from `ssl`.
std::optional<ConsulUrl> parse_consul_address(std::string_view text, bool ssl) {
  constexpr std::string_view kUnix = "unix://";
  if (text.starts_with(kUnix)) {
    text.remove_prefix(kUnix.size());
    if (!text.starts_with('/')) return std::nullopt;
    return ConsulUrl{"http://localhost", std::string(text)};
  }
  std::string scheme = ssl ? "https://" : "http://";
  for (const std::string_view known : {"http://", "https://"}) {
    if (!text.starts_with(known)) continue;
    scheme = known;
    text.remove_prefix(known.size());
    break;
  }
  while (text.ends_with('/')) text.remove_suffix(1);
  const size_t slash = text.find('/');
  if (!is_authority(text.substr(0, slash))) return std::nullopt;
  if (text.find_first_of("?#@ ") != std::string_view::npos) return std::nullopt;
  return ConsulUrl{scheme + std::string(text), {}};
}

// As Go's strconv.ParseBool, which Consul uses.
std::optional<bool> parse_go_bool(std::string_view text) {
  for (const auto word : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == word) return true;
  }
  for (const auto word : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == word) return false;
  }
  return std::nullopt;
}

class EnvironmentReader {
 public:
  EnvironmentReader(const Environment& environment, Problems& problems)
      : environment_(environment), problems_(problems) {}

  void text(std::string_view name, std::string& out) const {
    const auto found = environment_.find(name);
    if (found != environment_.end() && !found->second.empty()) out = found->second;
  }

  void flag(std::string_view name, bool& out) const {
    std::string value;
    text(name, value);
    if (value.empty()) return;
    if (const auto parsed = parse_go_bool(value)) {
      out = *parsed;
    } else {
      problems_.push_back({std::string(name), in_quotes(value) + " is not true or false"});
    }
  }

 private:
  const Environment& environment_;
  Problems& problems_;
};

ConsulConfig consul_from_environment(const EnvironmentReader& environment, bool& ssl) {
  ConsulConfig consul;
  environment.text("CONSUL_HTTP_ADDR", consul.address);
  environment.text("CONSUL_HTTP_TOKEN", consul.token);
  environment.text("CONSUL_HTTP_TOKEN_FILE", consul.token_file);
  environment.flag("CONSUL_HTTP_SSL", ssl);
  environment.flag("CONSUL_HTTP_SSL_VERIFY", consul.tls_verify);
  environment.text("CONSUL_CACERT", consul.ca_file);
  environment.text("CONSUL_CAPATH", consul.ca_path);
  environment.text("CONSUL_CLIENT_CERT", consul.cert_file);
  environment.text("CONSUL_CLIENT_KEY", consul.key_file);
  environment.text("CONSUL_TLS_SERVER_NAME", consul.tls_server_name);
  environment.text("CONSUL_NAMESPACE", consul.name_space);
  environment.text("CONSUL_PARTITION", consul.partition);
  // With CONSUL_HTTP_SSL the CLI takes "http://" for "https://" too, and so does its default.
  if (ssl && consul.address.starts_with("http://")) consul.address.insert(4, 1, 's');
  return consul;
}

void read_consul(JsonObject& object, ConsulConfig& consul) {
  read_filled(object, "address", consul.address);
  read_filled(object, "token_file", consul.token_file);
  read_filled(object, "datacenter", consul.datacenter);
  read_filled(object, "namespace", consul.name_space);
  read_filled(object, "partition", consul.partition);
  read_filled(object, "ca_file", consul.ca_file);
  read_filled(object, "cert_file", consul.cert_file);
  read_filled(object, "key_file", consul.key_file);
  object.choice("consistency", consul.consistency,
                {{"default", Consistency::kDefault},
                 {"stale", Consistency::kStale},
                 {"consistent", Consistency::kConsistent}});
  object.duration("wait", consul.wait, Millis{1'000}, Millis{600'000});
  object.whole("max_connections", consul.max_connections, 1, 10'000);
}

void finish_consul(ConsulConfig& consul, bool ssl, Problems& problems) {
  const std::string address_name = "$.consul.address";
  if (auto url = parse_consul_address(consul.address, ssl)) {
    consul.url = std::move(url->url);
    consul.unix_socket = std::move(url->unix_socket);
  } else {
    problems.push_back(
        {address_name, in_quotes(consul.address) +
                           R"( is not an address such as "http://127.0.0.1:8500", )"
                           R"("https://consul.example:8501" or "unix:///run/consul.sock")"});
  }
  if (consul.cert_file.empty() != consul.key_file.empty()) {
    problems.push_back({"$.consul", "cert_file and key_file go together: one is missing"});
  }
}

// --- the other sections --------------------------------------------------------------------------

void read_source(JsonObject& object, SourceConfig& source) {
  const bool has_tags = object.flag("fabio_tags", source.fabio_tags) && source.fabio_tags;
  const bool has_prefix = object.text("kv_prefix", source.kv_prefix);
  const bool has_directory = object.text("directory", source.directory);
  if (has_prefix && has_directory) {
    object.fail("has kv_prefix and directory: documents come from one of them");
  }
  if (has_directory) {
    if (source.directory.empty()) object.fail("directory", "must not be empty");
    if (has_tags) object.fail("fabio_tags", "tags are in Consul: goes with kv_prefix alone");
    source.kv_prefix.clear();
    return;
  }
  while (source.kv_prefix.ends_with('/')) source.kv_prefix.pop_back();
  if (source.kv_prefix.empty()) object.fail("kv_prefix", "must not be empty");
  if (source.kv_prefix.starts_with('/')) {
    object.fail("kv_prefix", "must not begin with a slash: keys in Consul don't");
  }
}

void read_register(JsonObject& object, RegisterConfig& registration) {
  if (object.text("service", registration.service)) {
    const std::string wrong = check_service_name(registration.service);
    if (!wrong.empty()) object.fail("service", wrong);
  }
  std::set<std::string> seen;
  object.array("tags", 0, kMaxTags, [&](const JsonValue& item) {
    std::string tag;
    if (!item.read_text(tag)) return;
    if (tag.empty()) item.fail("must not be empty");
    if (!seen.insert(tag).second) item.fail(in_quotes(tag) + " is listed twice");
    registration.tags.push_back(std::move(tag));
  });
}

void read_registration(JsonObject& object, Bootstrap& bootstrap) {
  const auto found = object.find("register");
  if (found && found->is_null()) {
    bootstrap.registration.reset();
  } else if (found && !bootstrap.consul) {
    found->fail("needs a Consul: give the key consul too");
  } else if (found) {
    found->read_object([&](JsonObject& one) { read_register(one, *bootstrap.registration); });
  }
  if (!bootstrap.consul) bootstrap.registration.reset();
}

void read_snapshot_file(JsonObject& object, SnapshotFileConfig& file) {
  const auto found = object.find("snapshot");
  if (!found) return;
  file.asked = true;
  if (found->is_null()) {
    file.path.clear();
  } else if (object.text("snapshot", file.path) &&
             (file.path.empty() || file.path.ends_with('/'))) {
    object.fail("snapshot", R"(must be a file such as "/var/lib/lictor/snapshot.json", or null)");
  }
}

constexpr std::string_view kAddressText =
    R"(an IP address with a port, such as "0.0.0.0:8080" or "[::]:8080")";

// A key that has to be there, with the path of a file.
void read_file_path(JsonObject& object, std::string_view key, std::string& path) {
  if (!object.has(key)) {
    object.fail(std::string(key) + " is missing");
  } else if (object.text(key, path) && path.empty()) {
    object.fail(key, "must not be empty");
  }
}

void read_client_cert(JsonObject& object, ListenerTlsConfig& tls) {
  const bool asked = object.choice("client_cert", tls.client_cert,
                                   {{"off", ClientCert::kOff},
                                    {"request", ClientCert::kRequest},
                                    {"require", ClientCert::kRequire}});
  const bool has_ca = object.text_or_null("client_ca", tls.client_ca) && !tls.client_ca.empty();
  if (tls.client_cert != ClientCert::kOff && !has_ca) {
    object.fail("client_cert", "needs client_ca: the authorities whose certificates count");
  } else if (has_ca && !asked) {
    object.fail("client_ca", R"(needs client_cert: "request" or "require")");
  }
}

void read_tls(JsonObject& object, ListenerTlsConfig& tls) {
  if (!object.has("certificates")) object.fail("certificates is missing");
  object.array("certificates", 1, kMaxCertificates, [&](const JsonValue& item) {
    CertificateFiles files;
    item.read_object([&](JsonObject& one) {
      read_file_path(one, "cert", files.cert);
      read_file_path(one, "key", files.key);
    });
    tls.certificates.push_back(std::move(files));
  });
  object.choice("min_version", tls.min_version,
                {{"1.2", TlsVersion::k12}, {"1.3", TlsVersion::k13}});
  read_client_cert(object, tls);
}

void read_listener(JsonObject& object, ListenerConfig& listener) {
  if (object.text("name", listener.name)) {
    const std::string wrong = check_name(listener.name);
    if (!wrong.empty()) object.fail("name", wrong);
  }
  if (!object.has("address")) object.fail("address is missing");
  object.parsed("address", listener.address, SocketAddress::parse, kAddressText);
  bool proxy_protocol = false;
  if (object.flag("proxy_protocol", proxy_protocol) && proxy_protocol) {
    object.fail("proxy_protocol", std::string(kNotSupported));
  }
  if (const auto tls = object.find("tls"); tls && !tls->is_null()) {
    listener.tls.emplace();
    tls->read_object([&](JsonObject& one) { read_tls(one, *listener.tls); });
  }
}

void read_listeners(JsonObject& object, std::vector<ListenerConfig>& listeners) {
  std::set<std::string> names;
  std::set<std::string> addresses;
  const bool found = object.array("listeners", 1, kMaxListeners, [&](const JsonValue& item) {
    ListenerConfig listener;
    if (!item.read_object([&](JsonObject& one) { read_listener(one, listener); })) return;
    if (!names.insert(listener.name).second) {
      item.fail("another listener has the name " + in_quotes(listener.name) + " too");
    }
    const bool fixed = listener.address.port() != 0;
    if (fixed && !addresses.insert(listener.address.to_string()).second) {
      item.fail("another listener has the address " + listener.address.to_string() + " too");
    }
    listeners.push_back(std::move(listener));
  });
  if (!found) listeners.push_back({"http", *SocketAddress::parse("0.0.0.0:8080"), {}});
}

void read_admin(JsonObject& object, AdminConfig& admin) {
  object.parsed("address", admin.address, SocketAddress::parse, kAddressText);
  read_filled(object, "name", admin.name);
  object.text_or_null("token_file", admin.token_file);
  if (!admin.address.ip().is_loopback() && admin.token_file.empty()) {
    object.fail("address", admin.address.to_string() +
                               " is not a loopback address: it needs a token_file, so that not "
                               "anyone who reaches it can steer the gateway");
  }
}

void read_limits(JsonObject& object, LimitsConfig& limits) {
  object.whole("connections", limits.connections, 1, 10'000'000);
  object.size("header_bytes", limits.header_bytes, 1 << 10, 1 << 20);
  object.whole("header_count", limits.header_count, 1, 1'000);
  object.size("uri_bytes", limits.uri_bytes, 64, 1 << 20);
  object.size("body_bytes", limits.body_bytes);
  object.duration("header_timeout", limits.header_timeout);
  object.duration("idle_timeout", limits.idle_timeout);
  object.duration("body_timeout", limits.body_timeout);
  object.whole("requests_per_connection", limits.requests_per_connection);
}

void read_access_log(JsonObject& object, AccessLog::Options& access) {
  if (object.text("path", access.path) && access.path.empty()) {
    object.fail("path", R"(must be "-" for stdout, "off" or a file)");
  }
  object.choice("format", access.format,
                {{"json", AccessFormat::kJson}, {"text", AccessFormat::kText}});
  object.number("sample", access.sample, 0.0, 1.0);
}

void read_log(JsonObject& object, LogConfig& log) {
  object.choice("level", log.level,
                {{"trace", log::Level::kTrace},
                 {"debug", log::Level::kDebug},
                 {"info", log::Level::kInfo},
                 {"warn", log::Level::kWarn},
                 {"error", log::Level::kError},
                 {"off", log::Level::kOff}});
  object.choice("format", log.format, {{"text", log::Format::kText}, {"json", log::Format::kJson}});
  object.object("access", [&](JsonObject& access) { read_access_log(access, log.access); });
}

// "http://host:4318" and what OTLP puts behind it.
std::optional<std::string> parse_otlp_endpoint(std::string_view text) {
  constexpr std::string_view kPath = "/v1/traces";
  std::string_view rest = text;
  if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else {
    return std::nullopt;
  }
  if (!is_authority(rest.substr(0, rest.find('/')))) return std::nullopt;
  if (rest.find_first_of("?#@ ") != std::string_view::npos) return std::nullopt;
  while (text.ends_with('/')) text.remove_suffix(1);
  return std::string(text) + std::string(text.ends_with(kPath) ? "" : kPath);
}

void read_tracing(JsonObject& object, TracingConfig& tracing) {
  const auto endpoint = object.find("otlp_endpoint");
  if (endpoint && !endpoint->is_null()) {
    object.parsed("otlp_endpoint", tracing.otlp_url, parse_otlp_endpoint,
                  R"(an http or https URL such as "http://127.0.0.1:4318")");
  }
  object.number("sample_ratio", tracing.sample_ratio, 0, 1);
  object.text("service_name", tracing.service_name);
}

void read_drain(JsonObject& object, DrainConfig& drain) {
  object.duration("lead", drain.lead, Millis{0}, Millis{3'600'000});
  object.duration("timeout", drain.timeout);
}

void read_trusted_proxies(JsonObject& object, std::vector<Cidr>& proxies) {
  object.array("trusted_proxies", 0, kMaxCidrs, [&](const JsonValue& item) {
    std::string text;
    if (!item.read_text(text)) return;
    if (const auto cidr = Cidr::parse(text)) {
      proxies.push_back(*cidr);
    } else {
      item.fail(in_quotes(text) + R"( is not an address or a range such as "10.0.0.0/8")");
    }
  });
}

// The whole file. `consul` holds what the environment says.
void read_bootstrap(JsonObject& object, Bootstrap& bootstrap, ConsulConfig& consul) {
  const bool has_consul = object.has("consul");
  if (const auto found = object.find("consul"); found && !found->is_null()) {
    found->read_object([&](JsonObject& section) { read_consul(section, consul); });
  }
  object.object("source", [&](JsonObject& section) { read_source(section, bootstrap.source); });
  if (!has_consul && !bootstrap.source.directory.empty()) bootstrap.consul.reset();
  read_registration(object, bootstrap);
  read_snapshot_file(object, bootstrap.snapshot_file);
  read_listeners(object, bootstrap.listeners);
  object.object("admin", [&](JsonObject& section) { read_admin(section, bootstrap.admin); });
  object.whole("workers", bootstrap.workers, 0, 256);
  read_trusted_proxies(object, bootstrap.trusted_proxies);
  object.object("limits", [&](JsonObject& section) { read_limits(section, bootstrap.limits); });
  object.object("log", [&](JsonObject& section) { read_log(section, bootstrap.log); });
  object.object("drain", [&](JsonObject& section) { read_drain(section, bootstrap.drain); });
  if (object.has("tracing")) {
    object.object("tracing",
                  [&](JsonObject& section) { read_tracing(section, bootstrap.tracing); });
  } else {
    object.find("tracing");  // null: as if it were not there
  }
}

}  // namespace

Environment process_environment() {
  Environment found;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos || !text.starts_with("CONSUL_")) continue;
    found.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return found;
}

std::expected<Bootstrap, Problems> parse_bootstrap(std::string_view text,
                                                   const Environment& environment) {
  Problems problems;
  bool ssl = false;
  ConsulConfig consul = consul_from_environment(EnvironmentReader(environment, problems), ssl);
  Bootstrap bootstrap;
  bootstrap.consul.emplace();
  bootstrap.admin.address = *SocketAddress::parse("127.0.0.1:9900");
  Problems found = read_json(text, JsonComments::kYes, [&](const JsonValue& root) {
    root.read_object([&](JsonObject& object) { read_bootstrap(object, bootstrap, consul); });
  });
  problems.insert(problems.begin(), std::make_move_iterator(found.begin()),
                  std::make_move_iterator(found.end()));
  if (bootstrap.consul) {
    finish_consul(consul, ssl, problems);
    bootstrap.consul = std::move(consul);
  }
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return bootstrap;
}

}  // namespace lictor
