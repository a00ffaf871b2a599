// How it works: the table says who takes the request. Then every other route is judged plainly, in
// the order in which its parts are matched; how far it came is how near it was. Last, the filters
// that do nothing but to the call run on a call that goes nowhere.
#include "model/explain.h"

#include <algorithm>
#include <compare>
#include <cstdlib>
#include <optional>

#include "filter/cors.h"
#include "filter/names.h"
#include "http/rules.h"
#include "http/uri.h"
#include "model/path_pattern.h"

namespace lictor {
namespace {

// --- the request ---------------------------------------------------------------------------------

// A request as the gateway would see it. Views into the arena and into what was asked.
struct Asked {
  Arena arena;
  Head head;
  std::string scheme = "http";
  std::string_view host;
  std::string_view path;
  std::string_view query;
  bool has_query = false;

  RouteKey key() const { return {head.method_name, host, path, {&head.fields, query}}; }
};

std::string read_headers(const ExplainRequest& request, Asked& asked) {
  for (const auto& [name, value] : request.headers) {
    if (!is_token(name) || !is_field_value(value)) return in_quotes(name) + " is no header";
    if (field_id(name) == FieldId::kHost) {
      if (!valid_authority(value)) return in_quotes(value) + " is no host";
      asked.head.authority = value;
    } else {
      asked.head.fields.add(asked.arena, name, value);
    }
  }
  return {};
}

// What is wrong; empty when nothing is.
std::string read_request(const ExplainRequest& request, Asked& asked) {
  std::string wrong = check_method(request.method);
  if (!wrong.empty()) return wrong;
  asked.head.method = parse_method(request.method);
  asked.head.method_name = request.method;
  wrong = read_headers(request, asked);
  if (!wrong.empty()) return wrong;
  const auto target = parse_target(asked.head.method, request.url);
  const bool readable =
      target && (target->form == TargetForm::kOrigin || target->form == TargetForm::kAbsolute);
  if (!readable) {
    return in_quotes(request.url) +
           R"( is not a URL such as "http://example.com/path" or "/path")" +
           (target ? std::string() : std::string(": ") + target.error().detail);
  }
  if (target->form == TargetForm::kAbsolute) {
    if (!asked.head.authority.empty() &&
        !equals_ignore_case(asked.head.authority, target->authority)) {
      return "the Host header differs from the URL's host";
    }
    asked.head.authority = target->authority;
    asked.scheme = equals_ignore_case(target->scheme, "https") ? "https" : "http";
  }
  const auto path = normalise_path(target->path, asked.arena);
  if (!path) return std::string("the gateway refuses this path: ") + path.error().detail;
  asked.host = normalise_host(asked.head.authority, asked.arena);
  asked.path = *path;
  asked.query = target->query;
  asked.has_query = target->has_query;
  asked.head.target =
      asked.has_query ? asked.arena.concat(asked.path, "?", asked.query) : asked.path;
  return {};
}

// --- one route against it ------------------------------------------------------------------------

// A kind of path segment, the best one first. kEnd is the end of the pattern at the path's own.
enum class Part : uint8_t { kLiteral, kCapture, kEnd, kRest, kRegex };

// How a route takes a request, in order of precedence: less is better.
struct Rank {
  int64_t priority = 0;  // negated
  size_t host = 0;       // 0 = exact; the longer wildcard the less; the most is none
  std::vector<Part> path;
  int64_t conditions = 0;  // their number, negated
  std::string_view name;

  auto operator<=>(const Rank&) const = default;
};

constexpr size_t kAnyHost = 1'000;

std::optional<size_t> host_rank(std::string_view pattern, std::string_view host) {
  if (pattern.empty()) return kAnyHost;
  if (!pattern.starts_with('*')) {
    return pattern == host ? std::optional<size_t>(0) : std::nullopt;
  }
  const std::string_view tail = pattern.substr(1);
  const bool below = host.ends_with(tail) && host.size() > tail.size() && host.front() != '.';
  return below ? std::optional<size_t>(kAnyHost - pattern.size()) : std::nullopt;
}

std::optional<std::vector<Part>> path_parts(const PathPattern& pattern, std::string_view path) {
  std::vector<Part> parts;
  bool ended = false;
  path.remove_prefix(1);
  for (const auto& segment : pattern.segments) {
    if (ended) return std::nullopt;
    const size_t slash = path.find('/');
    const std::string_view text = path.substr(0, slash);
    ended = slash == std::string_view::npos;
    path = ended ? std::string_view{} : path.substr(slash + 1);
    if (segment.capture ? text.empty() : text != segment.text) return std::nullopt;
    parts.push_back(segment.capture ? Part::kCapture : Part::kLiteral);
  }
  if (!pattern.rest && !ended) return std::nullopt;
  parts.push_back(pattern.rest ? Part::kRest : Part::kEnd);
  return parts;
}

// The paths of a route that take the request, as their parts; empty when none does.
std::vector<std::vector<Part>> fitting_paths(const Route& route, std::string_view path) {
  std::vector<std::vector<Part>> fitting;
  for (const auto& regex : route.regexes) {
    if (regex->matches(path)) fitting.push_back({Part::kRegex});
  }
  for (const auto& text : route.paths) {
    if (is_regex_path(text)) continue;
    const auto pattern = parse_path_pattern(text);
    if (!pattern) continue;
    if (auto parts = path_parts(*pattern, path)) fitting.push_back(std::move(*parts));
  }
  return fitting;
}

std::string one_of(const std::vector<std::string>& list) {
  std::string out;
  for (size_t i = 0; i < list.size() && i < 4; ++i) out += (i == 0 ? "" : " or ") + list[i];
  return list.size() > 4 ? out + " or ..." : out;
}

// The first segment of a path or a pattern.
std::string_view first_segment(std::string_view path) {
  return path.substr(0, path.find('/', std::min<size_t>(1, path.size())));
}

// Whether someone may have meant this route by that path: one of the first segments begins with the
// other one.
bool resembles(const Route& route, std::string_view path) {
  const std::string_view asked = first_segment(path);
  return std::any_of(route.paths.begin(), route.paths.end(), [asked](std::string_view pattern) {
    const std::string_view first = first_segment(pattern);
    return first.size() > 1 && asked.size() > 1 &&
           (first.starts_with(asked) || asked.starts_with(first));
  });
}

// How far a route came; the farther, the nearer it was.
enum class Failed : uint8_t { kNowhere, kCondition, kMethod, kHost, kPath, kUnrelated };

struct Judged {
  const Route* route;
  Failed failed = Failed::kNowhere;
  std::string why;  // but of kNowhere
  Rank rank;        // the best one, of kNowhere alone
};

class Judge {
 public:
  // `method` is the one that counts: that of the request, or the one that a preflight asks about.
  Judge(const Asked& asked, std::string_view method) : asked_(asked), method_(method) {}

  Judged judge(const Route& route) const {
    Judged out{&route, Failed::kNowhere, {}, {}};
    const auto host = best_host(route);
    const auto paths = fitting_paths(route, asked_.path);
    if (paths.empty()) {
      const bool related = (host && *host != kAnyHost) || resembles(route, asked_.path);
      out.failed = host && related ? Failed::kPath : Failed::kUnrelated;
      out.why = "path " + std::string(asked_.path) + " is not " + one_of(route.paths);
    } else if (!host) {
      out.failed = Failed::kHost;
      out.why = (asked_.host.empty() ? "no host" : "host " + std::string(asked_.host)) +
                " is not " + one_of(route.hosts);
    } else if (!takes_method(route)) {
      out.failed = Failed::kMethod;
      out.why = "method " + std::string(method_) + " is not " + one_of(route.methods);
    } else if (const Condition* condition = failing(route)) {
      out.failed = Failed::kCondition;
      out.why = condition->why_not(asked_.key().data);
    } else {
      out.rank = {-int64_t{route.priority}, *host, *std::min_element(paths.begin(), paths.end()),
                  -static_cast<int64_t>(route.condition_count()), route.name};
    }
    return out;
  }

 private:
  std::optional<size_t> best_host(const Route& route) const {
    if (route.hosts.empty()) return kAnyHost;
    std::optional<size_t> best;
    for (const auto& pattern : route.hosts) {
      const auto rank = host_rank(pattern, asked_.host);
      if (rank && (!best || *rank < *best)) best = rank;
    }
    return best;
  }

  bool takes_method(const Route& route) const {
    return route.methods.empty() ||
           std::find(route.methods.begin(), route.methods.end(), method_) != route.methods.end();
  }

  const Condition* failing(const Route& route) const {
    const RequestData data = asked_.key().data;
    for (const Condition& condition : route.conditions) {
      if (!condition.holds(data)) return &condition;
    }
    return nullptr;
  }

  const Asked& asked_;
  const std::string_view method_;
};

// Why `loser`, which would take the request, doesn't get it.
std::string why_later(const Rank& loser, const Rank& winner) {
  const std::string to = " of " + std::string(winner.name);
  if (loser.priority != winner.priority) {
    return "priority " + std::to_string(-loser.priority) + " is below " +
           std::to_string(-winner.priority) + to;
  }
  if (loser.host != winner.host) return "less specific host than that" + to;
  if (loser.path != winner.path) return "less specific path than that" + to;
  if (loser.conditions != winner.conditions) {
    return "fewer conditions (" + std::to_string(-loser.conditions) + ") than those" + to + " (" +
           std::to_string(-winner.conditions) + ")";
  }
  return "its name comes after " + std::string(winner.name) + ", and nothing else decides";
}

void pass_over(const Snapshot& snapshot, const Asked& asked, std::string_view method,
               Explanation& out) {
  const Judge judge(asked, method);
  std::vector<Judged> others;
  std::optional<Rank> winner;
  for (const auto& route : snapshot.routes) {
    Judged judged = judge.judge(*route);
    if (route.get() == out.route) {
      winner = std::move(judged.rank);
    } else if (judged.failed != Failed::kUnrelated) {
      others.push_back(std::move(judged));
    }
  }
  for (Judged& judged : others) {
    if (judged.failed == Failed::kNowhere && winner) judged.why = why_later(judged.rank, *winner);
  }
  std::stable_sort(others.begin(), others.end(), [](const Judged& a, const Judged& b) {
    return a.failed != b.failed ? a.failed < b.failed : a.rank < b.rank;
  });
  out.passed_over_total = others.size();
  for (size_t i = 0; i < std::min(others.size(), Explanation::kMaxPassedOver); ++i) {
    out.passed_over.push_back({others[i].route->name, std::move(others[i].why)});
  }
}

// --- the filters ---------------------------------------------------------------------------------

// A request that goes nowhere. A filter that may be rehearsed asks for no loop and nothing shared.
class Rehearsal final : public Call {
 public:
  Rehearsal(Asked& asked, const Match& match) : asked_(asked), match_(match) {}

  Head& request() override { return asked_.head; }
  Head& response() override { return response_; }
  Arena& arena() override { return asked_.arena; }
  Loop& loop() override { std::abort(); }
  FilterShared& shared() override { std::abort(); }
  const IpAddress& client_ip() const override { return client_ip_; }
  std::string_view request_id() const override { return "explain"; }
  std::string_view route() const override { return match_.route->name; }
  std::string_view scheme() const override { return asked_.scheme; }
  std::string_view capture(std::string_view name) const override {
    for (size_t i = 0; i < match_.capture_count; ++i) {
      if (match_.captures[i].name == name) return match_.captures[i].value;
    }
    return {};
  }
  std::string_view user() const override { return {}; }
  void set_user(std::string_view) override {}
  std::string_view claim(std::string_view) const override { return {}; }
  void set_claims(const Claims&) override {}
  void*& state() override { return state_; }
  Subrequest* subrequest(std::string_view, SubrequestUser*) override { return nullptr; }
  void limit_body(uint64_t) override {}
  void tap_request(BodyTap&) override {}
  void transform_response(BodyTransform&) override {}
  void count_auth_failure(const char*) override {}
  void count_rate_limited() override {}
  void count_mirror_dropped(MirrorDrop) override {}
  void reply(const Error& error, const Fields&) override { status_ = error.status(); }
  void reply(uint16_t status, const Fields&, std::string_view) override { status_ = status; }
  void resume() override {}

  uint16_t status() const { return status_; }

 private:
  Asked& asked_;
  const Match& match_;
  Head response_;
  IpAddress client_ip_ = *IpAddress::parse("127.0.0.1");
  void* state_ = nullptr;
  uint16_t status_ = 0;
};

void rehearse(const Snapshot& snapshot, Asked& asked, const Match& match, Explanation& out) {
  Rehearsal call(asked, match);
  for (const FilterChain* chain : {&snapshot.filters, &match.route->filters}) {
    for (const auto& filter : *chain) {
      out.filters.emplace_back(filter->name());
      if (!out.answered_by.empty()) continue;
      if (!filter->rehearsable()) {
        out.not_run.emplace_back(filter->name());
      } else if (filter->on_request(call) == Step::kStop) {
        out.answered_by = filter->name();
        out.status = call.status();
      }
    }
  }
  if (out.answered_by.empty() && !match.route->backends.empty()) {
    out.upstream_path = asked.head.target;
  }
}

}  // namespace

std::expected<Explanation, std::string> explain(const Snapshot& snapshot,
                                                const ExplainRequest& request) {
  Asked asked;
  std::string wrong = read_request(request, asked);
  if (!wrong.empty()) return std::unexpected(std::move(wrong));
  Match match;
  const std::string_view method =
      snapshot.table.match_preflight(asked.key(), preflight_method(asked.head), match);
  Explanation out;
  out.route = match.route;
  if (match.method_mismatch) out.allow = snapshot.table.allowed_methods(asked.key());
  for (size_t i = 0; i < match.capture_count; ++i) {
    out.captures.emplace_back(match.captures[i].name, match.captures[i].value);
  }
  pass_over(snapshot, asked, method, out);
  if (match.route != nullptr) rehearse(snapshot, asked, match, out);
  return out;
}

}  // namespace lictor
