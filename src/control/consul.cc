#include "control/consul.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <limits>
#include <utility>

#include "base/log.h"

namespace lictor {
namespace {

constexpr size_t kMaxToken = 4096;
constexpr size_t kMaxErrorText = 200;

constexpr auto kOutcomes =
    std::to_array<std::string_view>({"ok", "held", "malformed", "4xx", "5xx", "error", "timeout"});
static_assert(kOutcomes.size() == static_cast<size_t>(QueryOutcome::kTimeout) + 1);

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

// Below 1 means 1, so that the next query does block; what is no number is no index.
std::optional<uint64_t> parse_index(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || end != text.data() + text.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) return std::nullopt;
  return negative ? 1 : std::max<uint64_t>(value, 1);
}

// Whole seconds where the loss doesn't matter, for people who read the agent's log.
std::string wait_text(Millis wait) {
  if (wait >= Millis(10'000)) return std::to_string(wait.count() / 1000) + "s";
  return std::to_string(wait.count()) + "ms";
}

std::string status_error(const HttpResponse& response) {
  std::string text = "HTTP " + std::to_string(response.status);
  const auto said = trimmed(std::string_view(response.body).substr(0, kMaxErrorText));
  if (!said.empty()) text.append(": ").append(said);
  return text;
}

}  // namespace

std::string_view query_outcome_name(QueryOutcome outcome) {
  return kOutcomes[static_cast<size_t>(outcome)];
}

std::string escape_url(std::string_view text, std::string_view keep) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  static constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (kPlain.find(c) != std::string_view::npos || keep.find(c) != std::string_view::npos) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

Consul::Consul(ConsulConfig config, Fetcher& fetcher)
    : config_(std::move(config)), fetcher_(fetcher), token_(config_.token) {}

std::unique_ptr<Fetch> Consul::ask(const ConsulQuery& query,
                                   std::function<void(ConsulAnswer)> done) {
  ++queries_;
  HttpRequest request;
  request.method = query.method;
  request.url = url_of(query);
  request.body = query.body;
  request.only_once = query.index != 0;
  if (const auto& secret = token(); !secret.empty()) {
    request.headers.push_back("X-Consul-Token: " + secret);
  }
  return fetcher_.fetch(std::move(request), [this, done = std::move(done)](HttpResponse response) {
    on_response(std::move(response), done);
  });
}

void Consul::count(const std::string& endpoint, QueryOutcome outcome) {
  ++by_outcome_[{endpoint, std::string(query_outcome_name(outcome))}];
}

std::string Consul::url_of(const ConsulQuery& query) const {
  std::string url = config_.url + query.path;
  char separator = '?';
  const auto add = [&](std::string_view name, std::string_view value) {
    url += separator;
    url += name;
    if (!value.empty()) url.append("=").append(escape_url(value));
    separator = '&';
  };
  const auto add_if = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) add(name, value);
  };
  for (const auto& [name, value] : query.params) add(name, value);
  add_if("dc", query.datacenter.empty() ? config_.datacenter : query.datacenter);
  add_if("ns", config_.name_space);
  add_if("partition", config_.partition);
  if (query.consistent || config_.consistency == Consistency::kConsistent) {
    add("consistent", {});
  } else if (config_.consistency == Consistency::kStale) {
    add("stale", {});
  }
  if (query.index != 0) {
    add("index", std::to_string(query.index));
    add("wait", wait_text(query.wait));
  }
  return url;
}

const std::string& Consul::token() {
  if (config_.token_file.empty()) return token_;
  struct stat now{};
  if (stat(config_.token_file.c_str(), &now) != 0) {
    if (!std::exchange(token_trouble_, true)) {
      log::warn("consul: token file {} can't be read; going on with the token known",
                config_.token_file);
    }
    return token_;
  }
  const std::pair stamp{
      uint64_t{now.st_ino},
      std::pair{int64_t{now.st_size},
                int64_t{now.st_mtim.tv_sec} * 1'000'000'000 + now.st_mtim.tv_nsec}};
  if (stamp != token_stamp_) {
    token_stamp_ = stamp;
    read_token_file();
  }
  return token_;
}

void Consul::read_token_file() {
  std::ifstream file(config_.token_file, std::ios::binary);
  std::string text(kMaxToken, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  const auto found = trimmed(text);
  const bool clean =
      std::all_of(found.begin(), found.end(), [](char c) { return c > 32 && c < 127; });
  if (file.bad() || found.empty() || !clean) {
    if (!std::exchange(token_trouble_, true)) {
      log::warn("consul: token file {} holds no token; going on with the token known",
                config_.token_file);
    }
    return;
  }
  token_trouble_ = false;
  token_ = found;
}

void Consul::on_response(HttpResponse response, const std::function<void(ConsulAnswer)>& done) {
  ConsulAnswer answer;
  answer.status = response.status;
  answer.timed_out = response.timed_out;
  answer.multiplexed = response.multiplexed;
  answer.error = response.error;
  answer.index = parse_index(response.header("x-consul-index"));
  answer.known_leader = response.header("x-consul-knownleader") != "false";
  answer.filtered = response.header("x-consul-results-filtered-by-acls") == "true";
  uint32_t contact = 0;
  const auto text = response.header("x-consul-lastcontact");
  std::from_chars(text.data(), text.data() + text.size(), contact);
  answer.last_contact = Millis(contact);
  if (answer.error.empty() && response.status != 200 && response.status != 404) {
    answer.error = status_error(response);
    if (response.body.find("No cluster leader") != std::string::npos) answer.known_leader = false;
  }
  // A token that is refused may have been replaced within the clock's grain.
  if (response.status == 403) token_stamp_ = {};
  answer.body = std::move(response.body);
  done(std::move(answer));
}

}  // namespace lictor
