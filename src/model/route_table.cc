// How it works: each host pattern has a trie over path segments; a node holds the candidates that
// end there, best first. A request visits the tries of its host (exact, wildcards longest first,
// any host) and walks each in order of precedence: literal child, capture, "*". The first candidate
// that takes the request is the best of its priority; since priority is above everything, the walk
// goes on, but only into subtrees that hold a higher one (every node knows the best below it). With
// equal priorities, the usual case, that is nowhere. The regular expressions of a host come after
// its trie, best first.
//
// A trie node is visited at most once, and only along the request's own segments, so the cost has a
// bound whatever the path: the nodes whose pattern fits a beginning of it.
#include "model/route_table.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>

#include "model/path_pattern.h"
#include "model/route_trie.h"

namespace lictor {
namespace {

constexpr uint32_t kNone = RouteTrie::kNone;
constexpr size_t kLongestHost = 255;

using Values = Regex::Values;
static_assert(Regex::kMaxCaptures == Match::kMaxCaptures);

struct TransparentHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

// The routes of one host pattern.
struct HostRoutes {
  uint32_t root = kNone;
  CandidateRange regexes;  // in Impl::regexes
};
using HostMap = std::unordered_map<std::string, HostRoutes, TransparentHash, std::equal_to<>>;

// Holds what a match reads of a route that is not chosen, so that those routes stay untouched.
struct Candidate {
  const Route* route;
  int32_t priority;
  uint32_t first_name;  // of its captures, in Impl::names
  uint16_t captures;
  uint16_t conditions;  // Route::condition_count
  bool any_method;
  bool unconditional;  // any_method aside
};

struct RegexCandidate : Candidate {
  const Regex* regex;
};

// The candidates of a node while the table is built.
struct Draft {
  std::vector<Candidate> exact;
  std::vector<Candidate> rest;
};

// The order among candidates of one host and one path, and among the regular expressions of a host.
bool goes_first(const Candidate& a, const Candidate& b) {
  if (a.priority != b.priority) return a.priority > b.priority;
  if (a.conditions != b.conditions) return a.conditions > b.conditions;
  return a.route->name < b.route->name;
}

bool takes_method(const Candidate& candidate, std::string_view method) {
  if (candidate.any_method) return true;
  const auto& methods = candidate.route->methods;
  return std::find(methods.begin(), methods.end(), method) != methods.end();
}

bool conditions_hold(const Candidate& candidate, const RequestData& data) {
  return candidate.unconditional || all_hold(candidate.route->conditions, data);
}

// What is left of a path while it is walked. "/a/" has the segments "a" and "".
class Rest {
 public:
  explicit Rest(std::string_view path) : text_(path.substr(1)) {}

  bool ended() const { return ended_; }
  std::string_view take() {
    const size_t slash = text_.find('/');
    const std::string_view segment = text_.substr(0, slash);
    ended_ = slash == std::string_view::npos;
    text_ = ended_ ? std::string_view{} : text_.substr(slash + 1);
    return segment;
  }

 private:
  std::string_view text_;
  bool ended_ = false;
};

}  // namespace

struct RouteTable::Impl {
  RouteTrie trie;
  std::vector<Candidate> candidates;
  std::vector<RegexCandidate> regexes;
  std::vector<std::string> names;
  HostMap hosts;
  HostMap wildcards;  // by what is behind the "*": ".example.org"
  HostRoutes any_host;

  // Empty once built. Most routes name their captures alike: each list of names is kept once.
  std::map<uint32_t, Draft> drafts;
  std::map<uint32_t, std::vector<RegexCandidate>> regex_drafts;  // by root
  std::map<std::vector<std::string>, uint32_t> known_names;

  uint32_t root_of(std::string_view host);
  void add(const Route& route, std::string_view host, const PathPattern& pattern);
  void add(const Route& route, std::string_view host, const Regex& regex);
  Candidate candidate_for(const Route& route, const std::vector<std::string>& captures);
  CandidateRange keep(std::vector<Candidate>& list);
  void keep_regexes(HostRoutes& host);
  void finish();

  template <class Visitor>
  void visit_hosts(const RouteKey& key, Visitor& visitor) const;
};

// --- building ------------------------------------------------------------------------------------

uint32_t RouteTable::Impl::root_of(std::string_view host) {
  const bool wildcard = host.starts_with('*');
  HostRoutes& routes = host.empty() ? any_host
                       : wildcard   ? wildcards[std::string(host.substr(1))]
                                    : hosts[std::string(host)];
  if (routes.root == kNone) routes.root = trie.add_root();
  return routes.root;
}

Candidate RouteTable::Impl::candidate_for(const Route& route,
                                          const std::vector<std::string>& captures) {
  const auto [known, added] =
      known_names.try_emplace(captures, static_cast<uint32_t>(names.size()));
  if (added) names.insert(names.end(), captures.begin(), captures.end());
  return {&route,
          route.priority,
          known->second,
          static_cast<uint16_t>(captures.size()),
          static_cast<uint16_t>(route.condition_count()),
          route.methods.empty(),
          route.conditions.empty()};
}

void RouteTable::Impl::add(const Route& route, std::string_view host, const PathPattern& pattern) {
  uint32_t node = root_of(host);
  for (const auto& segment : pattern.segments) {
    node = segment.capture ? trie.capture_child(node) : trie.literal_child(node, segment.text);
  }
  auto& list = pattern.rest ? drafts[node].rest : drafts[node].exact;
  list.push_back(candidate_for(route, pattern.captures()));
}

void RouteTable::Impl::add(const Route& route, std::string_view host, const Regex& regex) {
  regex_drafts[root_of(host)].push_back({candidate_for(route, regex.captures()), &regex});
}

CandidateRange RouteTable::Impl::keep(std::vector<Candidate>& list) {
  std::stable_sort(list.begin(), list.end(), goes_first);
  const auto first = static_cast<uint32_t>(candidates.size());
  candidates.insert(candidates.end(), list.begin(), list.end());
  return {first, static_cast<uint32_t>(candidates.size())};
}

void RouteTable::Impl::keep_regexes(HostRoutes& host) {
  const auto found = regex_drafts.find(host.root);
  if (found == regex_drafts.end()) return;
  std::stable_sort(found->second.begin(), found->second.end(), goes_first);
  host.regexes.first = static_cast<uint32_t>(regexes.size());
  regexes.insert(regexes.end(), found->second.begin(), found->second.end());
  host.regexes.last = static_cast<uint32_t>(regexes.size());
}

void RouteTable::Impl::finish() {
  for (HostMap* map : {&hosts, &wildcards}) {
    for (auto& [host, routes] : *map) keep_regexes(routes);
  }
  keep_regexes(any_host);
  for (auto& [node, draft] : drafts) {
    trie[node].exact = keep(draft.exact);
    trie[node].rest = keep(draft.rest);
  }
  // Children come after their parent, so that backwards each node is complete when it is read.
  for (auto i = static_cast<uint32_t>(trie.size()); i-- > 0;) {
    TrieNode& node = trie[i];
    for (const CandidateRange range : {node.exact, node.rest}) {
      if (range.first == range.last) continue;
      node.best_priority = std::max(node.best_priority, candidates[range.first].priority);
    }
    if (node.parent == kNone) continue;
    TrieNode& parent = trie[node.parent];
    parent.best_priority = std::max(parent.best_priority, node.best_priority);
  }
  drafts = {};
  regex_drafts = {};
  known_names = {};
}

// --- matching ------------------------------------------------------------------------------------

namespace {

// Visits the candidates that fit a path in order of precedence. `Visitor::wants(priority)` says
// whether a subtree whose best priority is that is worth a visit; `Visitor::take` gets each
// candidate with the values of its captures.
template <class Visitor>
class Walk {
 public:
  Walk(const RouteTrie& trie, const std::vector<Candidate>& candidates, Visitor& visitor)
      : trie_(trie), candidates_(candidates), visitor_(visitor) {}

  void visit(uint32_t index, Rest rest) {
    const TrieNode& node = trie_[index];
    if (!visitor_.wants(node.best_priority)) return;
    if (rest.ended()) {
      take(node.exact);
    } else {
      visit_children(index, node, rest);
    }
    take(node.rest);
  }

 private:
  void visit_children(uint32_t index, const TrieNode& node, Rest rest) {
    const std::string_view segment = rest.take();
    const uint32_t literal = trie_.find(index, segment);
    if (literal != kNone) visit(literal, rest);
    if (node.capture == kNone || segment.empty()) return;
    values_[count_++] = segment;
    visit(node.capture, rest);
    --count_;
  }

  void take(CandidateRange range) {
    for (uint32_t i = range.first; i < range.last; ++i) {
      const Candidate& candidate = candidates_[i];
      if (!visitor_.wants(candidate.priority)) return;
      visitor_.take(candidate, values_);
    }
  }

  const RouteTrie& trie_;
  const std::vector<Candidate>& candidates_;
  Visitor& visitor_;
  Values values_;
  size_t count_ = 0;
};

class Finder {
 public:
  Finder(const RouteKey& key, const std::vector<std::string>& names, Match& match)
      : key_(key), names_(names), match_(match) {}

  bool wants(int32_t priority) const { return match_.route == nullptr || priority > best_; }
  void take(const Candidate& candidate, const Values& values) {
    if (!takes_method(candidate, key_.method)) {
      mismatch_ = mismatch_ || conditions_hold(candidate, key_.data);
      return;
    }
    if (!conditions_hold(candidate, key_.data)) return;
    best_ = candidate.priority;
    match_.route = candidate.route;
    match_.capture_count = candidate.captures;
    for (size_t i = 0; i < candidate.captures; ++i) {
      match_.captures[i] = {names_[candidate.first_name + i], values[i]};
    }
  }
  void finish() { match_.method_mismatch = match_.route == nullptr && mismatch_; }

 private:
  const RouteKey& key_;
  const std::vector<std::string>& names_;
  Match& match_;
  int32_t best_ = 0;
  bool mismatch_ = false;
};

class MethodCollector {
 public:
  explicit MethodCollector(const RouteKey& key) : key_(key) {}

  bool wants(int32_t) const { return true; }
  void take(const Candidate& candidate, const Values&) {
    if (!conditions_hold(candidate, key_.data)) return;
    methods.insert(candidate.route->methods.begin(), candidate.route->methods.end());
  }

  std::set<std::string> methods;

 private:
  const RouteKey& key_;
};

}  // namespace

template <class Visitor>
void RouteTable::Impl::visit_hosts(const RouteKey& key, Visitor& visitor) const {
  if (!key.path.starts_with('/')) return;
  const Rest rest(key.path);
  const auto visit = [&](const HostRoutes& host) {
    Walk<Visitor>(trie, candidates, visitor).visit(host.root, rest);
    Values values;
    for (uint32_t i = host.regexes.first; i < host.regexes.last; ++i) {
      const RegexCandidate& candidate = regexes[i];
      if (!visitor.wants(candidate.priority)) return;
      if (candidate.regex->matches(key.path, values)) visitor.take(candidate, values);
    }
  };
  const bool named = !key.host.empty() && key.host.size() <= kLongestHost;
  if (named && !hosts.empty()) {
    if (const auto found = hosts.find(key.host); found != hosts.end()) visit(found->second);
  }
  if (named && !wildcards.empty()) {
    // At least one label stands for the "*".
    for (size_t dot = key.host.find('.', 1); dot != std::string_view::npos;
         dot = key.host.find('.', dot + 1)) {
      const auto found = wildcards.find(key.host.substr(dot));
      if (found != wildcards.end()) visit(found->second);
    }
  }
  if (any_host.root != kNone) visit(any_host);
}

// --- the table -----------------------------------------------------------------------------------

RouteTable::RouteTable() : impl_(std::make_unique<Impl>()) {}
RouteTable::~RouteTable() = default;
RouteTable::RouteTable(RouteTable&&) noexcept = default;
RouteTable& RouteTable::operator=(RouteTable&&) noexcept = default;

void RouteTable::build(const std::vector<std::shared_ptr<const Route>>& routes) {
  impl_ = std::make_unique<Impl>();
  static const std::vector<std::string> kAnyHost{""};
  for (const auto& route : routes) {
    const auto& hosts = route->hosts.empty() ? kAnyHost : route->hosts;
    for (const auto& regex : route->regexes) {
      for (const auto& host : hosts) impl_->add(*route, host, *regex);
    }
    for (const auto& path : route->paths) {
      if (is_regex_path(path)) continue;
      const auto pattern = parse_path_pattern(path);
      if (!pattern) continue;  // documents with such paths never get here
      for (const auto& host : hosts) impl_->add(*route, host, *pattern);
    }
  }
  impl_->finish();
}

void RouteTable::match(const RouteKey& key, Match& match) const {
  match.route = nullptr;
  match.capture_count = 0;
  Finder finder(key, impl_->names, match);
  impl_->visit_hosts(key, finder);
  finder.finish();
}

std::string_view RouteTable::match_preflight(const RouteKey& key, std::string_view asked,
                                             Match& out) const {
  if (!asked.empty()) {
    RouteKey as_asked = key;
    as_asked.method = asked;
    match(as_asked, out);
    if (out.route != nullptr) return asked;
    out.method_mismatch = false;
  }
  match(key, out);
  return key.method;
}

std::vector<std::string> RouteTable::allowed_methods(const RouteKey& key) const {
  MethodCollector collector(key);
  impl_->visit_hosts(key, collector);
  return {collector.methods.begin(), collector.methods.end()};
}

}  // namespace lictor
