// How a failure of a try is counted.
#pragma once

#include "base/error.h"
#include "telemetry/metrics.h"

namespace lictor {

inline Outcome outcome_of(Failure failure) {
  switch (failure) {
    case Failure::kConnectRefused:
    case Failure::kNoResources:
    case Failure::kConnectTimeout:
    case Failure::kTlsCertificate:
    case Failure::kTlsProtocol:
      return Outcome::kConnectError;
    case Failure::kUpstreamTimeout:
      return Outcome::kTimeout;
    case Failure::kUpstreamProtocol:
      return Outcome::kProtocolError;
    default:
      return Outcome::kReset;
  }
}

}  // namespace lictor
