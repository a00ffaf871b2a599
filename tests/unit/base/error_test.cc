#include "base/error.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

using lictor::describe;
using lictor::Failure;

TEST_CASE("failures have the statuses and codes of the contract") {
  struct Case {
    Failure failure;
    int status;
    const char* code;
  };
  for (const auto& [failure, status, code] : {
           Case{Failure::kBadRequest, 400, "bad_request"},
           Case{Failure::kUnauthorized, 401, "unauthorized"},
           Case{Failure::kForbidden, 403, "forbidden"},
           Case{Failure::kNoRoute, 404, "no_route"},
           Case{Failure::kMethodNotAllowed, 405, "method_not_allowed"},
           Case{Failure::kRequestTimeout, 408, "request_timeout"},
           Case{Failure::kBodyTooLarge, 413, "body_too_large"},
           Case{Failure::kUriTooLong, 414, "uri_too_long"},
           Case{Failure::kRateLimited, 429, "rate_limited"},
           Case{Failure::kHeadersTooLarge, 431, "headers_too_large"},
           Case{Failure::kClientAbort, 499, "client_abort"},
           Case{Failure::kInternal, 500, "internal"},
           Case{Failure::kNotImplemented, 501, "not_implemented"},
           Case{Failure::kConnectRefused, 502, "upstream_failed"},
           Case{Failure::kUpstreamReset, 502, "upstream_failed"},
           Case{Failure::kUpstreamProtocol, 502, "upstream_failed"},
           Case{Failure::kNoInstance, 503, "no_instance"},
           Case{Failure::kOverloaded, 503, "overloaded"},
           Case{Failure::kDraining, 503, "draining"},
           Case{Failure::kConnectTimeout, 504, "upstream_timeout"},
           Case{Failure::kUpstreamTimeout, 504, "upstream_timeout"},
           Case{Failure::kHttpVersion, 505, "http_version"},
           Case{Failure::kLoopDetected, 508, "loop_detected"},
       }) {
    CAPTURE(code);
    CHECK(describe(failure).status == status);
    CHECK(describe(failure).code == code);
    CHECK_FALSE(describe(failure).title.empty());
  }
}

TEST_CASE("Proxy-Status tells the upstream's failures apart") {
  std::set<std::string_view> types;
  for (const auto failure :
       {Failure::kConnectRefused, Failure::kConnectTimeout, Failure::kUpstreamReset,
        Failure::kUpstreamProtocol, Failure::kUpstreamTimeout, Failure::kNoInstance}) {
    types.insert(describe(failure).proxy_error);
  }
  CHECK(types.size() == 6);
  CHECK_FALSE(types.contains(""));
}

TEST_CASE("a failure that was just made was not sent") {
  const lictor::Result<int> result = lictor::fail(Failure::kNoRoute, "why");
  REQUIRE_FALSE(result);
  CHECK_FALSE(result.error().possibly_sent);
  CHECK(result.error().status() == 404);
  CHECK(result.error().code() == "no_route");
  CHECK(std::string(result.error().detail) == "why");
}
