// The table of the calls: the whole of the port.
#include "app/admin_calls.h"

namespace lictor {
namespace {

constexpr auto kCalls = std::to_array<AdminCall>({
    {"GET", "/", "the dashboard", get_index, true},
    {"GET", "/assets/{name}", "what the dashboard is made of", get_asset, true},
    {"GET", "/healthz", "200 while the process is alive", get_healthz, true},
    {"GET", "/readyz", "200 when it may get traffic, else 503 with the reasons", get_readyz, true},
    {"GET", "/metrics", "metrics for Prometheus", get_metrics},
    {"GET", "/v1/status", "the gateway and its Consul", get_status},
    {"GET", "/v1/stats", "the traffic of the last 15 minutes, a sample a second", get_stats},
    {"GET", "/v1/routes", "all routes in force", get_routes},
    {"GET", "/v1/routes/{name}", "one of them", get_route},
    {"GET", "/v1/upstreams", "all services with their instances", get_upstreams},
    {"GET", "/v1/upstreams/{service}", "one of them", get_upstream},
    {"POST", "/v1/upstreams/{service}/instances/{id}/eject", "no traffic until restored",
     post_eject},
    {"POST", "/v1/upstreams/{service}/instances/{id}/restore", "traffic again", post_restore},
    {"GET", "/v1/config", "state of each document, and what changed when", get_config},
    {"GET", "/v1/explain", "which route takes ?method=GET&url=http://host/path, and why",
     get_explain},
    {"GET", "/v1/events", "changes as they happen, as server-sent events", get_events},
    {"POST", "/v1/drain", "finish what runs, take nothing new, then end", post_drain},
    {"GET", "/v1/log-level", "level of the gateway's own log", get_log_level},
    {"PUT", "/v1/log-level", "change it: {\"level\": \"debug\"}", put_log_level},
    {"GET", "/v1/openapi.json", "these calls as an OpenAPI document", get_openapi},
});

}  // namespace

std::span<const AdminCall> admin_calls() { return kCalls; }

}  // namespace lictor
