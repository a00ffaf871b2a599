// What all exchanges of one worker share. Belongs to the worker's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/arena.h"
#include "base/duration.h"
#include "base/list.h"
#include "base/local_ptr.h"
#include "filter/shared.h"
#include "io/loop.h"
#include "model/snapshot.h"
#include "proxy/local_upstream.h"
#include "proxy/request_trace.h"
#include "proxy/subrequest.h"
#include "telemetry/access_log.h"
#include "telemetry/metrics.h"

namespace lictor {

class Exchange;
class ServerStream;

// One snapshot as this worker uses it. Exchanges keep the pin they began with; the snapshot dies
// with the last.
struct Pin final : LocalCounted {
  SnapshotPtr snapshot;
  std::vector<LocalPtr<LocalUpstream>> upstreams;   // by Upstream::index
  std::vector<std::shared_ptr<RouteCells>> routes;  // by Route::index
};

struct ProxySettings {
  std::vector<Cidr> trusted_proxies;
  uint64_t body_bytes = 0;  // 0 = no limit
  Millis body_timeout{30'000};
  std::vector<std::string> listener_names;
  RequestTrace::Options tracing;
};

// xoshiro256**, for request ids and weighted choices; not for secrets.
class Random {
 public:
  Random();  // seeded by the system
  uint64_t next();
  std::string_view id(Arena& arena);  // 32 hex digits

 private:
  uint64_t state_[4];
};

class ProxyContext {
 public:
  ProxyContext(Loop& loop, AccessLog& access_log, WorkerCells& cells, FilterShared& filter_shared,
               std::shared_ptr<RouteCells> unrouted);
  ~ProxyContext();

  // A request begins on `downstream`.
  Exchange* start(ServerStream& downstream);
  // Ends the exchange; its memory is used again.
  void end(Exchange* exchange);
  std::string_view http_date();  // of now, RFC 9110, section 5.6.7; good until the next call

  Loop& loop;
  AccessLog& access_log;
  WorkerCells& cells;  // of this worker
  FilterShared& filter_shared;
  LocalPtr<Pin> pin;  // null until the first snapshot
  std::shared_ptr<const ProxySettings> settings;
  std::shared_ptr<RouteCells> unrouted;  // requests that no route took
  Random random;
  Subrequests subrequests;  // of filters

 private:
  static constexpr size_t kKept = 256;
  std::vector<void*> free_;  // memory for exchanges
  int64_t date_second_ = -1;
  std::string date_;
};

}  // namespace lictor
