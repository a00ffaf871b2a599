// Answers of the gateway's own: application/problem+json (RFC 9457) with a Proxy-Status (RFC 9209).
#pragma once

#include <string_view>

#include "base/arena.h"
#include "base/error.h"
#include "http/message.h"

namespace lictor {

struct LocalReply {
  Head head;
  std::string_view body;
};

// `allow` for 405: the value of Allow. An empty trace id is left out. Everything is in `arena`.
LocalReply make_problem(const Error& error, std::string_view request_id, std::string_view allow,
                        Arena& arena, std::string_view trace_id = {});
// A reply that a filter made.
LocalReply make_reply(uint16_t status, const Fields& fields, std::string_view body, Arena& arena);

}  // namespace lictor
