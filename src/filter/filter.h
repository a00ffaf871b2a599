// The filter contract. A filter is immutable configuration, made once when a document is
// compiled and shared by all workers; what one request needs lives in its Call.
//
// Order: on_request in chain order; on_response in reverse, for the filters whose on_request
// ran; on_done once for each of those, also when the request is aborted. All on the worker's
// thread of that request. A filter that makes an asynchronous step keeps what it needs in the
// Call's arena, found again by state(), returns kWait, and calls resume(); on_done cancels the step
// when the request dies first.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "http/message.h"

namespace lictor {

class Consumers;
class KeySource;
class Loop;
class Subrequest;
class SubrequestUser;
struct FilterShared;

// What a verified token says, as text. Lives until on_done of the filter that set it.
class Claims {
 public:
  virtual std::string_view find(std::string_view name) const = 0;  // empty when absent

 protected:
  ~Claims() = default;
};

// Sees the request's body pass, and changes nothing. `end`: with the last piece, which may be empty
// (trailers are not told). None comes when the request breaks off: on_done tells.
class BodyTap {
 public:
  virtual void on_body(std::string_view bytes, bool end) = 0;

  BodyTap* next = nullptr;  // of BodyTaps

 protected:
  ~BodyTap() = default;
};

// Changes the response's body on its way.
class BodyTransform {
 public:
  // Appends to `out` what `bytes` become, all of it with `end`. False: it can't go on, the response
  // is cut short.
  virtual bool transform(std::string_view bytes, bool end, Buffer& out) = 0;
  // At the end of a turn in which bytes came: appends what is held back of them, since nobody knows
  // when the next come. False as above.
  virtual bool flush(Buffer&) { return true; }

  BodyTransform* next = nullptr;  // of BodyTransforms

 protected:
  ~BodyTransform() = default;
};

// Why a request was not mirrored that should have been.
enum class MirrorDrop : uint8_t { kBody, kBusy };

// All that a filter may see of a request on its way. Views stay good until on_done returns.
class Call {
 public:
  virtual Head& request() = 0;         // what will be sent upstream; its target is "path?query"
  virtual Head& response() = 0;        // valid in on_response
  virtual Arena& arena() = 0;          // lives as long as the request
  virtual Loop& loop() = 0;            // the worker's, for timers
  virtual FilterShared& shared() = 0;  // what all workers' filters share
  // A word of the running filter's own, null at first: the same in on_request, on_response,
  // on_done.
  virtual void*& state() = 0;
  // A request of the filter's own to one of its services(); null when too many are under way. With
  // a user it must be cancelled by on_done, unless it ended; without one it goes on by itself.
  virtual Subrequest* subrequest(std::string_view service, SubrequestUser* user) = 0;

  virtual const IpAddress& client_ip() const = 0;  // after trusted_proxies
  virtual std::string_view request_id() const = 0;
  virtual std::string_view route() const = 0;
  // The backend chosen for the request; empty before one was.
  virtual std::string_view service() const { return {}; }
  virtual std::string_view scheme() const = 0;
  virtual std::string_view capture(std::string_view name) const = 0;  // empty when absent
  // The callers that documents name; null without any. Lives as long as the request.
  virtual const Consumers* consumers() const { return nullptr; }
  // The subject of the client's verified certificate; empty without one.
  virtual std::string_view client_cert_subject() const { return {}; }

  // Who asks: for later filters, limits and the log. Copied by nobody: keep them in the arena.
  virtual std::string_view user() const = 0;
  virtual void set_user(std::string_view user) = 0;
  virtual std::string_view claim(std::string_view name) const = 0;  // empty when absent
  virtual void set_claims(const Claims& claims) = 0;

  // Of on_request: the body may have this many bytes, and not more than the least that any filter
  // or limits.body_bytes asks for. A longer one is 413 or, once the response began, cut off.
  virtual void limit_body(uint64_t bytes) = 0;
  // Of on_request. Both live until on_done.
  virtual void tap_request(BodyTap& tap) = 0;
  // Of on_response, for one with a body: its length is unknown from then on. The first that is set
  // (by the last filter of the chain) sees the bytes first.
  virtual void transform_response(BodyTransform& transform) = 0;

  // Sets the local reply; return kStop after it. `extra` fields are copied to the arena.
  virtual void reply(const Error& error, const Fields& extra) = 0;
  void reply(const Error& error) { reply(error, Fields{}); }
  virtual void reply(uint16_t status, const Fields& fields, std::string_view body) = 0;
  // Goes on after kWait. Only from a later event of the same worker, never inside on_request.
  virtual void resume() = 0;

  // lictor_auth_failures_total and the log's `reason`: a static text, one of a few.
  virtual void count_auth_failure(const char* reason) = 0;
  virtual void count_rate_limited() = 0;
  virtual void count_mirror_dropped(MirrorDrop why) = 0;

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
  // The services that it asks itself, to be discovered as those of routes are.
  virtual std::vector<std::string> services() const { return {}; }
  // Keys that are to be fetched for it and kept fresh; null when it needs none.
  virtual std::shared_ptr<KeySource> remote_keys() const { return nullptr; }
  virtual Step on_request(Call& call) const = 0;
  virtual void on_response(Call&) const {}
  virtual void on_done(Call&) const {}
};

using FilterChain = std::vector<std::shared_ptr<const Filter>>;

}  // namespace lictor
