// The filter contract. A filter is immutable configuration, made once when a document is
// compiled and shared by all workers; what one request needs lives in its Call.
//
// Order: on_request in chain order; on_response in reverse, for the filters whose on_request
// ran; on_done once for each of those, also when the request is aborted. All on the worker's
// thread of that request. A filter that makes an asynchronous step keeps its state in the Call's
// arena, returns kWait, and calls resume(); on_done cancels the step when the request dies first.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/arena.h"
#include "base/error.h"
#include "http/message.h"

namespace lictor {

// All that a filter may see of a request on its way. Views stay good until on_done returns.
class Call {
 public:
  virtual Head& request() = 0;   // what will be sent upstream; path without the query
  virtual Head& response() = 0;  // valid in on_response
  virtual Arena& arena() = 0;    // lives as long as the request
  virtual const IpAddress& client_ip() const = 0;  // after trusted_proxies
  virtual std::string_view request_id() const = 0;
  virtual std::string_view route() const = 0;
  // The backend chosen for the request; empty before one was.
  virtual std::string_view service() const { return {}; }
  virtual std::string_view scheme() const = 0;
  virtual std::string_view capture(std::string_view name) const = 0;  // empty when absent
  virtual std::string_view user() const = 0;
  virtual void set_user(std::string_view user) = 0;  // copied by nobody: keep it in the arena

  // Sets the local reply; return kStop after it. `extra` fields are copied to the arena.
  virtual void reply(const Error& error) = 0;
  virtual void reply(uint16_t status, const Fields& fields, std::string_view body) = 0;
  // Goes on after kWait. Only from a later event of the same worker, never inside on_request.
  virtual void resume() = 0;

 protected:
  ~Call() = default;
};

enum class Step : uint8_t { kNext, kWait, kStop };

class Filter {
 public:
  virtual ~Filter() = default;
  virtual std::string_view name() const = 0;
  // True when it answers requests itself, so that a route that has it needs no service.
  virtual bool answers() const { return false; }
  // True when on_request does nothing but to the call and needs nothing that `lictor explain` lacks
  // (the client's address, keys, other services), so that explain may run it.
  virtual bool rehearsable() const { return false; }
  virtual Step on_request(Call& call) const = 0;
  virtual void on_response(Call&) const {}
  virtual void on_done(Call&) const {}
};

using FilterChain = std::vector<std::shared_ptr<const Filter>>;

}  // namespace lictor
