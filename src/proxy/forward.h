// All rules about header fields between the two sides (SPEC 4; RFC 9110, section 7.6), for every
// protocol: what goes, what the gateway adds, and who the client is.
#pragma once

#include <span>
#include <string_view>

#include "base/address.h"
#include "base/arena.h"
#include "http/message.h"
#include "http/stream.h"
#include "model/upstream.h"

namespace lictor {

inline constexpr std::string_view kVia = "1.1 lictor";
// A request that has been through this many lictors goes in circles.
inline constexpr unsigned kMaxLoops = 10;

struct Client {
  IpAddress ip;                 // nearest address in X-Forwarded-For that is not a trusted proxy
  bool trusted_peer = false;    // the connection itself comes from a trusted proxy
  std::string_view request_id;  // the trusted peer's, else empty
};
// Before any field is removed. Cost: one range check when the peer isn't trusted.
Client identify_client(const Fields& fields, const IpAddress& peer, std::span<const Cidr> trusted);

bool loops(const Fields& request_fields);

struct ForwardInfo {
  const Client& client;
  const Peer& peer;
  std::string_view request_id;
  std::string_view scheme;
  std::string_view traceparent;
  bool keep_tracestate = false;
};
// Turns the client's request into the gateway's: hop-by-hop fields and those Connection names go
// first, then what an untrusted peer may not say, then the gateway adds its own.
void prepare_request(Head& request, const ForwardInfo& info, Arena& arena);
// The Host that this instance is sent.
std::string_view upstream_host(const UpstreamPolicy& policy, std::string_view client_host,
                               std::string_view instance_address);

// A 1xx on its way to the client.
void prepare_informational(Head& response);
// Turns the upstream's response into the gateway's. `date` is added when there is none.
void prepare_response(Head& response, std::string_view date, Arena& arena);

}  // namespace lictor
