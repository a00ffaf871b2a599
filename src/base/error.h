// The failures of the data path: what went wrong, whose fault it was, and whether the
// request may already have reached an upstream. Trivially copyable; never allocates.
#pragma once

#include <cstdint>
#include <expected>
#include <string_view>

namespace lictor {

// One entry a way to fail. `describe` gives each its HTTP status, the `code` of the local
// reply (SPEC 4) and its Proxy-Status error type (RFC 9209, section 2.3).
enum class Failure : uint8_t {
  kNone,
  // The client's fault.
  kBadRequest,
  kHttpVersion,
  kNotImplemented,
  kMethodNotAllowed,
  kNoRoute,
  kRequestTimeout,
  kBodyTooLarge,
  kUriTooLong,
  kHeadersTooLarge,
  kLoopDetected,
  kClientAbort,
  // Decided by filters.
  kUnauthorized,
  kForbidden,
  kRateLimited,
  // The upstream's fault.
  kConnectRefused,
  kConnectTimeout,
  kUpstreamReset,
  kUpstreamProtocol,
  kUpstreamTimeout,
  kTlsCertificate,  // the instance's, or ours in its eyes
  kTlsProtocol,
  // Ours, or the state of the fleet.
  kNoInstance,
  kOverloaded,
  kNoResources,  // of this machine: descriptors, ports, memory
  kDraining,
  kInternal,
};

struct FailureInfo {
  uint16_t status;               // HTTP status of the local reply
  std::string_view code;         // `code` in problem+json, access log and metrics
  std::string_view title;        // the reply's human-readable title
  std::string_view proxy_error;  // RFC 9209 error type, empty when none fits
};

const FailureInfo& describe(Failure failure);

struct Error {
  Failure failure = Failure::kNone;
  // True unless it is certain that no byte of the request reached the upstream.
  bool possibly_sent = false;
  // A short static text for the log and the problem's `detail`; never from the wire.
  const char* detail = "";

  uint16_t status() const { return describe(failure).status; }
  std::string_view code() const { return describe(failure).code; }
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Failure failure, const char* detail) {
  return std::unexpected(Error{failure, false, detail});
}

}  // namespace lictor
