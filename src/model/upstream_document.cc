// upstreams/<service>, and upstream_defaults of the gateway's document: the same keys.
#include <algorithm>
#include <set>

#include "http/rules.h"
#include "http/uri.h"
#include "model/documents.h"

namespace lictor {
namespace {

constexpr size_t kMaxEndpoints = 1024;
constexpr size_t kMaxHostName = 253;
constexpr uint32_t kMaxWeight = 65'535;
constexpr uint32_t kMaxLimit = 1'000'000;

void read_balance(JsonObject& object, Balance& balance) {
  object.choice("balance", balance,
                {{"weighted_round_robin", Balance::kWeightedRoundRobin},
                 {"round_robin", Balance::kRoundRobin},
                 {"random", Balance::kRandom},
                 {"least_request", Balance::kLeastRequest},
                 {"ring_hash", Balance::kRingHash}});
}

// "client_ip", {"header": "x-user"}, {"cookie": "lb", "set": true} or {"query": "id"}.
void read_hash_on(JsonObject& object, HashOn& hash_on) {
  const auto at = object.find("hash_on");
  if (!at) return;
  HashOn read;
  constexpr std::string_view kWanted =
      R"(must be "client_ip" or an object with one of header, cookie and query)";
  if (at->is_text()) {
    std::string text;
    at->read_text(text);
    if (text != "client_ip") return at->fail(std::string(kWanted));
    read.kind = HashOn::Kind::kClientIp;
  } else if (!at->read_object([&](JsonObject& one) {
               int kinds = 0;
               const auto kind = [&](std::string_view key, HashOn::Kind value) {
                 if (!one.text(key, read.name)) return;
                 read.kind = value;
                 ++kinds;
                 if (!is_token(read.name)) one.fail(key, "is not a name of such a thing");
               };
               kind("header", HashOn::Kind::kHeader);
               kind("cookie", HashOn::Kind::kCookie);
               kind("query", HashOn::Kind::kQuery);
               one.flag("set", read.set);
               if (kinds != 1) one.fail(std::string(kWanted));
               if (read.set && read.kind != HashOn::Kind::kCookie) {
                 one.fail("set", "goes with cookie alone");
               }
             })) {
    return;
  }
  hash_on = std::move(read);
}

// The address in its one spelling. A name's last label has a letter, so that "10.0.0.300" is none.
std::optional<std::string> parse_endpoint(std::string_view text) {
  if (const auto address = SocketAddress::parse(text)) return address->to_string();
  const auto parts = split_host_port(text);
  if (!parts || parts->host.size() > kMaxHostName) return std::nullopt;
  const std::string_view host = parts->host;
  const auto label_sign = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  };
  const bool clean =
      std::all_of(host.begin(), host.end(), [&](char c) { return label_sign(c) || c == '.'; });
  const std::string_view last = host.substr(host.rfind('.') + 1);
  const bool lettered =
      std::any_of(last.begin(), last.end(), [](char c) { return c >= 'A' && c <= 'z'; });
  const bool empty_label = host.starts_with('.') || host.find("..") != std::string_view::npos;
  if (!clean || !lettered || empty_label) return std::nullopt;
  std::string name(text);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return name;
}

void read_endpoint(JsonObject& object, Endpoint& endpoint) {
  if (!object.has("address")) object.fail("address is missing");
  const bool read =
      object.parsed("address", endpoint.address, parse_endpoint,
                    R"(an address with a port, such as "10.0.0.7:80" or "backend.internal:80")");
  const auto parts = split_host_port(endpoint.address);
  if (read && parts->port == 0) object.fail("address", "port 0 can't be connected to");
  object.whole("weight", endpoint.weight, 0, kMaxWeight);
}

void read_endpoints(JsonObject& object, std::vector<Endpoint>& endpoints) {
  std::vector<Endpoint> read;
  std::set<std::string> addresses;
  const bool found = object.array("endpoints", 1, kMaxEndpoints, [&](const JsonValue& item) {
    Endpoint endpoint;
    if (!item.read_object([&](JsonObject& one) { read_endpoint(one, endpoint); })) return;
    if (!addresses.insert(endpoint.address).second) {
      item.fail(endpoint.address + " is listed twice");
    }
    read.push_back(std::move(endpoint));
  });
  if (found) endpoints = std::move(read);
}

void read_ejection(JsonObject& object, EjectionPolicy& ejection) {
  object.whole("consecutive_failures", ejection.consecutive_failures, 0, 1'000'000);
  const bool base = object.duration("base_time", ejection.base_time, Millis{1});
  const bool most = object.duration("max_time", ejection.max_time, Millis{1});
  if (ejection.max_time < ejection.base_time) {
    if (base && most) object.fail("max_time", "must not be shorter than base_time");
    // When one of them is inherited, the one that is written here counts.
    if (most) {
      ejection.base_time = ejection.max_time;
    } else {
      ejection.max_time = ejection.base_time;
    }
  }
  object.whole("max_percent", ejection.max_percent, 0, 100);
  read_statuses(object, "failure_status", 400, ejection.failure_status);
}

void read_host(JsonObject& object, UpstreamPolicy& policy) {
  std::string text;
  if (!object.text("host", text)) return;
  policy.host_literal.clear();
  if (text == "preserve") {
    policy.host = HostMode::kPreserve;
  } else if (text == "instance") {
    policy.host = HostMode::kInstance;
  } else {
    policy.host = HostMode::kLiteral;
    const std::string hint = did_you_mean(text, {"preserve", "instance"});
    if (!valid_authority(text) || !hint.empty()) {
      object.fail("host", in_quotes(text) +
                              R"( is not "preserve", "instance" or a host such as "example.com")" +
                              hint);
    }
    policy.host_literal = std::move(text);
  }
}

// Keys whose only value in this version is the one that means "off".
void read_off_switches(JsonObject& object) {
  int protocol = 1;
  if (object.choice("protocol", protocol, {{"http1", 1}, {"http2", 2}}) && protocol == 2) {
    object.fail("protocol", std::string(kNotSupported));
  }
  bool connect = false;
  if (object.flag("connect", connect) && connect) {
    object.fail("connect", std::string(kNotSupported));
  }
}

bool is_server_name(std::string_view name) {
  if (IpAddress::parse(name)) return true;
  return valid_authority(name) && name.find_first_of(":[]") == std::string_view::npos;
}

void read_tls_keys(JsonObject& object, TlsClientOptions& options) {
  object.text_or_null("ca_file", options.ca_file);
  object.flag("verify", options.verify);
  object.text_or_null("cert_file", options.cert_file);
  object.text_or_null("key_file", options.key_file);
  if (object.text_or_null("server_name", options.server_name) &&
      !is_server_name(options.server_name)) {
    object.fail("server_name", in_quotes(options.server_name) +
                                   R"( is not a name such as "web.internal" or an IP address)");
  }
  if (options.cert_file.empty() != options.key_file.empty()) {
    object.fail("cert_file and key_file go together: one is missing");
  }
}

// Whole: nothing of an inherited one is left. The files are read here, so that one that is missing
// is this document's error.
void read_tls(JsonObject& object, UpstreamTls& tls) {
  const auto at = object.find("tls");
  if (!at) return;
  tls.client.reset();
  if (at->is_null()) return;
  at->read_object([&](JsonObject& one) {
    TlsClientOptions options;
    const size_t before = at->problems().size();
    read_tls_keys(one, options);
    if (at->problems().size() != before) return;
    auto made = TlsClient::make(options);
    if (made) {
      tls.client = std::move(*made);
    } else {
      one.fail(made.error().key, made.error().text);
    }
  });
}

}  // namespace

void read_statuses(JsonObject& object, std::string_view key, uint16_t least,
                   std::vector<uint16_t>& out) {
  std::vector<uint16_t> read;
  const bool found = object.array(key, 0, 100, [&](const JsonValue& item) {
    uint64_t status = 0;
    if (item.read_whole(status, least, 599)) read.push_back(static_cast<uint16_t>(status));
  });
  if (found) out = std::move(read);
}

void read_upstream(JsonObject& object, UpstreamPolicy& policy) {
  read_balance(object, policy.balance);
  read_endpoints(object, policy.endpoints);
  object.choice("health", policy.health,
                {{"passing", HealthFloor::kPassing}, {"warning", HealthFloor::kWarning}});
  object.object("ejection", [&](JsonObject& one) { read_ejection(one, policy.ejection); });
  object.duration("connect_timeout", policy.connect_timeout);
  object.duration("idle_timeout", policy.idle_timeout);
  read_host(object, policy);
  read_off_switches(object);
  read_tls(object, policy.tls);
  read_hash_on(object, policy.hash_on);
  object.whole("panic_percent", policy.panic_percent, 0, 100);
  object.duration("slow_start", policy.slow_start);
  object.whole("max_connections", policy.max_connections, 0, kMaxLimit);
  object.whole("max_pending", policy.max_pending, 0, kMaxLimit);
  object.whole("max_requests", policy.max_requests, 0, kMaxLimit);
  object.whole("retry_budget_percent", policy.retry_budget_percent, 0, 100);
}

Parsed<UpstreamPolicy> parse_upstream(std::string_view text, const UpstreamPolicy& defaults) {
  UpstreamPolicy policy = defaults;
  Problems problems = read_json(text, JsonComments::kNo, [&](const JsonValue& root) {
    root.read_object([&](JsonObject& object) { read_upstream(object, policy); });
  });
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return policy;
}

}  // namespace lictor
