#include "proxy/forward.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "http/rules.h"

namespace lictor {
namespace {

constexpr auto kOwnFields = std::to_array<std::string_view>(
    {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
     "x-forwarded-prefix", "x-forwarded-client-cert", "x-real-ip", "x-request-id"});
constexpr std::string_view kClientCert = "X-Forwarded-Client-Cert";

bool contains(std::span<const Cidr> ranges, const IpAddress& ip) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const Cidr& range) { return range.contains(ip); });
}

// Only for peers that are trusted: what they say about the client.
bool is_forwarding(FieldId id) {
  switch (id) {
    case FieldId::kForwarded:
    case FieldId::kXForwardedFor:
    case FieldId::kXForwardedHost:
    case FieldId::kXForwardedPort:
    case FieldId::kXForwardedPrefix:
    case FieldId::kXForwardedProto:
    case FieldId::kXRealIp:
      return true;
    default:
      return false;
  }
}

bool is_twin_of_own(std::string_view name) {
  if (std::memchr(name.data(), '_', name.size()) == nullptr) return false;
  return std::any_of(kOwnFields.begin(), kOwnFields.end(),
                     [&](std::string_view own) { return is_underscore_twin(name, own); });
}

// X-Forwarded-Server, X-Forwarded-Ssl and whatever else backends believe.
bool is_other_x_forwarded(std::string_view name) {
  constexpr std::string_view kPrefix = "x-forwarded-";
  if (name.size() < kPrefix.size()) return false;
  const std::string_view start = name.substr(0, kPrefix.size());
  return equals_ignore_case(start, kPrefix) || is_underscore_twin(start, kPrefix);
}

// Removes hop-by-hop fields and those that Connection names (RFC 9110, section 7.6.1).
void remove_hop_by_hop(Fields& fields) {
  std::array<std::string_view, 32> named;
  size_t count = 0;
  bool overflow = false;
  for (const Field& field : fields) {
    if (field.id != FieldId::kConnection) continue;
    for_each_element(field.value, [&](std::string_view name) {
      if (equals_ignore_case(name, "close") || equals_ignore_case(name, "keep-alive")) return true;
      if (count == named.size()) {
        overflow = true;
        return false;
      }
      named[count++] = name;
      return true;
    });
  }
  const auto is_named = [&](const Field& field) {
    return std::any_of(named.begin(), named.begin() + count,
                       [&](std::string_view name) { return equals_ignore_case(name, field.name); });
  };
  fields.remove_if([&](const Field& field) {
    // A list too long to be honest names everything that is not known to be end-to-end.
    return is_hop_by_hop(field.id) || (count > 0 && is_named(field)) ||
           (overflow && field.id == FieldId::kOther);
  });
}

// All values of a field as one list; a copy only when there are several.
std::string_view joined_value(const Fields& fields, FieldId id, Arena& arena) {
  std::string_view joined;
  bool found = false;
  for (const Field& field : fields) {
    if (field.id != id) continue;
    joined = found ? arena.concat(joined, ", ", field.value) : field.value;
    found = true;
  }
  return joined;
}

// A trusted peer's word about its own client stays, and ours about that peer goes behind it.
void add_client_cert(Fields& fields, std::string_view own, Arena& arena) {
  if (own.empty()) return;
  std::string_view all;
  fields.remove_if([&](const Field& field) {
    if (field.id != FieldId::kOther || !equals_ignore_case(field.name, kClientCert)) return false;
    all = all.empty() ? field.value : arena.concat(all, ",", field.value);
    return true;
  });
  fields.add(arena, kClientCert, all.empty() ? arena.copy(own) : arena.concat(all, ",", own));
}

// A tunnel to HTTP/2 would carry requests past every rule.
std::string_view without_h2c(std::string_view protocols, Arena& arena) {
  if (!list_has_token(protocols, "h2c")) return protocols;
  std::string_view kept;
  for_each_element(protocols, [&](std::string_view protocol) {
    if (equals_ignore_case(protocol, "h2c")) return true;
    kept = kept.empty() ? protocol : arena.concat(kept, ", ", protocol);
    return true;
  });
  return kept;
}

std::string_view format_ip(const IpAddress& ip, Arena& arena) {
  char* out = arena.chars(48);
  return {out, ip.format(out)};
}

void add_via(Fields& fields, Arena& arena) {
  for (Field& field : fields) {
    if (field.id != FieldId::kVia) continue;
    const std::string_view all = joined_value(fields, FieldId::kVia, arena);
    fields.remove(FieldId::kVia);
    fields.add(arena, {"Via", arena.concat(all, ", ", kVia), FieldId::kVia});
    return;
  }
  fields.add(arena, {"Via", kVia, FieldId::kVia});
}

}  // namespace

Client identify_client(const Fields& fields, const IpAddress& peer, std::span<const Cidr> trusted) {
  Client client;
  client.ip = peer;
  if (!contains(trusted, peer)) return client;
  client.trusted_peer = true;
  client.request_id = fields.get(FieldId::kXRequestId);
  if (client.request_id.size() > 128) client.request_id = {};
  // From the nearest hop outwards; the first that is not ours is the client.
  for (const Field* field = fields.end(); field != fields.begin();) {
    --field;
    if (field->id != FieldId::kXForwardedFor) continue;
    std::string_view rest = field->value;
    while (!rest.empty()) {
      const size_t comma = rest.rfind(',');
      std::string_view hop = comma == std::string_view::npos ? rest : rest.substr(comma + 1);
      rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(0, comma);
      while (!hop.empty() && (hop.front() == ' ' || hop.front() == '\t')) hop.remove_prefix(1);
      while (!hop.empty() && (hop.back() == ' ' || hop.back() == '\t')) hop.remove_suffix(1);
      auto ip = IpAddress::parse(hop);
      if (!ip) {
        if (const auto with_port = SocketAddress::parse(hop)) ip = with_port->ip();
      }
      if (!ip) return client;
      client.ip = *ip;
      if (!contains(trusted, *ip)) return client;
    }
  }
  return client;
}

bool loops(const Fields& request_fields) {
  unsigned seen = 0;
  for (const Field& field : request_fields) {
    if (field.id != FieldId::kVia) continue;
    for_each_element(field.value, [&](std::string_view hop) {
      if (hop == kVia) ++seen;
      return true;
    });
  }
  return seen >= kMaxLoops;
}

void prepare_request(Head& request, const ForwardInfo& info, Arena& arena) {
  Fields& fields = request.fields;
  // Read before anything goes: a client's Connection field must not take these away.
  const bool trusted = info.client.trusted_peer;
  const std::string_view chain =
      trusted ? joined_value(fields, FieldId::kXForwardedFor, arena) : std::string_view{};
  const std::string_view proto = trusted ? fields.get(FieldId::kXForwardedProto) : "";
  const std::string_view host = trusted ? fields.get(FieldId::kXForwardedHost) : "";
  const std::string_view port = trusted ? fields.get(FieldId::kXForwardedPort) : "";
  const bool wants_trailers = list_has_token(fields.get(FieldId::kTe), "trailers");
  request.upgrade = without_h2c(request.upgrade, arena);

  remove_hop_by_hop(fields);
  fields.remove_if([trusted, &info](const Field& field) {
    switch (field.id) {
      case FieldId::kXForwardedFor:
      case FieldId::kXForwardedProto:
      case FieldId::kXForwardedHost:
      case FieldId::kXForwardedPort:
      case FieldId::kXRequestId:
      case FieldId::kTraceparent:
        return true;  // written anew below
      case FieldId::kTracestate:
        return !info.keep_tracestate;
      case FieldId::kOther:
        return is_twin_of_own(field.name) || (!trusted && is_other_x_forwarded(field.name));
      default:
        return !trusted && is_forwarding(field.id);
    }
  });

  const std::string_view peer_ip = format_ip(info.peer.address.ip(), arena);
  fields.add(arena,
             {"X-Forwarded-For", chain.empty() ? peer_ip : arena.concat(chain, ", ", peer_ip),
              FieldId::kXForwardedFor});
  fields.add(arena,
             {"X-Forwarded-Proto", proto.empty() ? info.scheme : proto, FieldId::kXForwardedProto});
  const std::string_view asked = host.empty() ? request.authority : host;
  if (!asked.empty()) fields.add(arena, {"X-Forwarded-Host", asked, FieldId::kXForwardedHost});
  std::string_view port_text = port;
  if (port.empty()) {
    char* digits = arena.chars(8);
    const auto end = std::to_chars(digits, digits + 8, info.peer.local_port).ptr;
    port_text = {digits, static_cast<size_t>(end - digits)};
  }
  fields.add(arena, {"X-Forwarded-Port", port_text, FieldId::kXForwardedPort});
  fields.add(arena, {"X-Request-Id", info.request_id, FieldId::kXRequestId});
  if (!info.traceparent.empty()) {
    fields.add(arena, {"traceparent", info.traceparent, FieldId::kTraceparent});
  }
  if (info.peer.tls != nullptr) add_client_cert(fields, info.peer.tls->forwarded, arena);
  if (wants_trailers) fields.add(arena, {"TE", "trailers", FieldId::kTe});
  add_via(fields, arena);
}

std::string_view upstream_host(const UpstreamPolicy& policy, std::string_view client_host,
                               std::string_view instance_address) {
  switch (policy.host) {
    case HostMode::kInstance:
      return instance_address;
    case HostMode::kLiteral:
      return policy.host_literal;
    case HostMode::kPreserve:
      break;
  }
  // HTTP/1.0 may come without one, and no request goes upstream without (RFC 9112, section 3.2).
  return client_host.empty() ? instance_address : client_host;
}

void prepare_informational(Head& response) {
  response.upgrade = {};
  remove_hop_by_hop(response.fields);
}

void prepare_response(Head& response, std::string_view date, Arena& arena) {
  if (response.status != 101) response.upgrade = {};
  remove_hop_by_hop(response.fields);
  add_via(response.fields, arena);
  if (response.fields.find(FieldId::kDate) == nullptr) {
    response.fields.add(arena, {"Date", date, FieldId::kDate});
  }
}

}  // namespace lictor
