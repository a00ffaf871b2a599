// A client of Consul's HTTP API: makes the URL and headers of a query from the configuration, sends
// it, and reads what Consul says about its answer (X-Consul-Index and the like). It also keeps the
// account of all queries, for status and metrics. It judges nothing: see watch.h.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/fetcher.h"
#include "model/bootstrap.h"

namespace lictor {

struct ConsulQuery {
  std::string endpoint;  // the metrics' label: "kv", "health"
  std::string path;      // below the address, already escaped: "/v1/health/service/web"
  std::vector<std::pair<std::string, std::string>> params;  // an empty value: the name alone
  std::string datacenter;   // not empty: instead of the configured one
  uint64_t index = 0;       // 0 = answer at once
  Millis wait{0};           // with an index: how long the agent may keep the query
  bool consistent = false;  // whatever is configured: a read that the leader confirms
  std::string method = "GET";
  std::string body;
};

struct ConsulAnswer {
  int status = 0;                 // 0 = none came: `error` says why
  std::optional<uint64_t> index;  // none = the header was missing or no number; at least 1
  bool known_leader = true;       // false only when the agent said so
  bool filtered = false;          // the token may not see all of it (said by Consul 1.11 and later)
  Millis last_contact{0};         // of a stale answer: since its server heard of the leader
  std::string body;
  std::string error;  // not empty unless the status is 200 or 404
  bool timed_out = false;
  bool multiplexed = false;  // as in HttpResponse
};

// How a query ended; the metrics' label.
enum class QueryOutcome : uint8_t { kOk, kHeld, kMalformed, k4xx, k5xx, kError, kTimeout };
std::string_view query_outcome_name(QueryOutcome outcome);

std::string escape_url(std::string_view text, std::string_view keep = {});

class Consul {
 public:
  Consul(ConsulConfig config, Fetcher& fetcher);

  // As Fetcher::fetch. Every query is to be counted once, by the caller, who knows how it ended.
  [[nodiscard]] std::unique_ptr<Fetch> ask(const ConsulQuery& query,
                                           std::function<void(ConsulAnswer)> done);
  void count(const std::string& endpoint, QueryOutcome outcome);

  const ConsulConfig& config() const { return config_; }
  uint64_t queries() const { return queries_; }
  const std::map<std::pair<std::string, std::string>, uint64_t>& by_outcome() const {
    return by_outcome_;
  }
  size_t connections() const { return fetcher_.connections(); }

 private:
  std::string url_of(const ConsulQuery& query) const;
  const std::string& token();
  void read_token_file();
  void on_response(HttpResponse response, const std::function<void(ConsulAnswer)>& done);

  const ConsulConfig config_;
  Fetcher& fetcher_;
  std::string token_;
  // What of the file's metadata tells that it is another one: inode, size, mtime.
  std::pair<uint64_t, std::pair<int64_t, int64_t>> token_stamp_{};
  bool token_trouble_ = false;  // said once in the log
  uint64_t queries_ = 0;
  std::map<std::pair<std::string, std::string>, uint64_t> by_outcome_;
};

}  // namespace lictor
