#include "base/error.h"

#include <array>
#include <utility>

namespace lictor {
namespace {

constexpr auto kTable = std::to_array<FailureInfo>({
    {500, "internal", "Internal error", "proxy_internal_error"},  // kNone
    {400, "bad_request", "Bad request", "http_request_error"},
    {505, "http_version", "HTTP version not supported", "http_request_error"},
    {501, "not_implemented", "Not implemented", "http_request_error"},
    {405, "method_not_allowed", "Method not allowed", "http_request_denied"},
    {404, "no_route", "No route", "destination_not_found"},
    {408, "request_timeout", "Request timeout", "http_request_error"},
    {413, "body_too_large", "Body too large", "http_request_denied"},
    {414, "uri_too_long", "URI too long", "http_request_denied"},
    {431, "headers_too_large", "Headers too large", "http_request_denied"},
    {508, "loop_detected", "Loop detected", "proxy_loop_detected"},
    {499, "client_abort", "Client closed the connection", ""},
    {401, "unauthorized", "Unauthorized", "http_request_denied"},
    {403, "forbidden", "Forbidden", "http_request_denied"},
    {429, "rate_limited", "Too many requests", "http_request_denied"},
    {502, "upstream_failed", "Upstream failed", "connection_refused"},
    {504, "upstream_timeout", "Upstream timeout", "connection_timeout"},
    {502, "upstream_failed", "Upstream failed", "connection_terminated"},
    {502, "upstream_failed", "Upstream failed", "http_protocol_error"},
    {504, "upstream_timeout", "Upstream timeout", "http_response_timeout"},
    {502, "upstream_failed", "Upstream failed", "tls_certificate_error"},
    {502, "upstream_failed", "Upstream failed", "tls_protocol_error"},
    {503, "no_instance", "No instance", "destination_unavailable"},
    {503, "overloaded", "Overloaded", "connection_limit_reached"},
    {503, "overloaded", "Overloaded", "proxy_internal_error"},
    {503, "draining", "Draining", "proxy_internal_response"},
    {500, "internal", "Internal error", "proxy_internal_error"},
});
static_assert(kTable.size() == static_cast<size_t>(Failure::kInternal) + 1);

}  // namespace

const FailureInfo& describe(Failure failure) { return kTable[std::to_underlying(failure)]; }

}  // namespace lictor
