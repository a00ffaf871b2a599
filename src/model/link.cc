#include "model/link.h"

#include <algorithm>

#include "model/path_pattern.h"

namespace lictor {
namespace {

std::string missing_filter(const std::string& name, const SharedFilters& shared) {
  if (shared.contains(name)) {
    return "filter " + in_quotes(name) + " is not valid: see filters/" + name;
  }
  std::vector<std::string_view> known;
  for (const auto& entry : shared) known.push_back(entry.first);
  return "there is no filters/" + name + did_you_mean(name, known);
}

bool share_a_method(const Route& a, const Route& b) {
  if (a.methods.empty() || b.methods.empty()) return true;
  return std::any_of(a.methods.begin(), a.methods.end(), [&b](const std::string& method) {
    return std::find(b.methods.begin(), b.methods.end(), method) != b.methods.end();
  });
}

bool go_together(const Conditions& a, const Conditions& b) {
  return std::all_of(a.begin(), a.end(), [&b](const Condition& one) {
    return std::all_of(b.begin(), b.end(),
                       [&one](const Condition& other) { return one.goes_with(other); });
  });
}

bool equal_conditions(const Conditions& a, const Conditions& b) {
  return a.size() == b.size() && std::is_permutation(a.begin(), a.end(), b.begin());
}

// What two routes have in common when nothing but the name decides between them.
std::string tie_key(const Route& route, const std::string& host, const std::string& path) {
  std::string shape = path;
  if (!is_regex_path(path)) {
    if (const auto pattern = parse_path_pattern(path)) shape = pattern->shape();
  }
  return std::to_string(route.priority) + " " + std::to_string(route.condition_count()) + " " +
         host + " " + shape;
}

}  // namespace

Parsed<FilterChain> link_filters(const std::vector<FilterSlot>& slots,
                                 const SharedFilters& shared) {
  FilterChain chain;
  Problems problems;
  for (const auto& slot : slots) {
    if (slot.use.empty()) {
      chain.push_back(slot.filter);
      continue;
    }
    const auto found = shared.find(slot.use);
    if (found != shared.end() && found->second != nullptr) {
      chain.push_back(found->second);
    } else {
      problems.push_back({slot.path + ".use", missing_filter(slot.use, shared)});
    }
  }
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return chain;
}

Parsed<FilterChain> link_route(const RouteDocument& document, const SharedFilters& shared) {
  auto chain = link_filters(document.filters, shared);
  if (!chain || !document.route.backends.empty()) return chain;
  const bool answered =
      std::any_of(chain->begin(), chain->end(), [](const auto& f) { return f->answers(); });
  if (answered) return chain;
  return std::unexpected(Problems{
      {"$",
       "leads nowhere: needs service, backends, or a filter that answers (redirect, respond)"}});
}

void TakenCredentials::add(const Consumer& consumer) {
  for (const Digest& key : consumer.api_keys) keys.emplace(key, consumer.name);
  for (const auto& login : consumer.logins) users.emplace(login.user, consumer.name);
}

Problems find_taken(const Consumer& consumer, const TakenCredentials& taken) {
  Problems problems;
  for (size_t i = 0; i < consumer.api_keys.size(); ++i) {
    const auto found = taken.keys.find(consumer.api_keys[i]);
    if (found == taken.keys.end()) continue;
    problems.push_back({child_path(child_path("$", "api_keys"), i),
                        "consumers/" + found->second + " has the same key"});
  }
  for (const auto& login : consumer.logins) {
    const auto found = taken.users.find(login.user);
    if (found == taken.users.end()) continue;
    problems.push_back({child_path(child_path("$", "basic"), login.user),
                        "consumers/" + found->second + " has the same user"});
  }
  return problems;
}

std::map<std::string, std::string> find_ties(
    const std::vector<std::shared_ptr<const Route>>& routes) {
  std::map<std::string, std::string> warnings;
  std::map<std::string, std::vector<const Route*>> taken;
  static const std::vector<std::string> kAnyHost{"*"};
  for (const auto& route : routes) {
    for (const auto& host : route->hosts.empty() ? kAnyHost : route->hosts) {
      for (const auto& path : route->paths) {
        auto& before = taken[tie_key(*route, host, path)];
        for (const Route* other : before) {
          if (other == route.get() || !share_a_method(*other, *route) ||
              !go_together(other->conditions, route->conditions)) {
            continue;
          }
          std::string& warning = warnings[route->name];
          if (!warning.empty()) continue;
          const bool same = equal_conditions(other->conditions, route->conditions);
          warning =
              "route " + in_quotes(other->name) +
              (same ? " takes the same requests (host " : " may take the same requests (host ");
          warning.append(host).append(", path ").append(path).append(") and wins by its name");
        }
        before.push_back(route.get());
      }
    }
  }
  return warnings;
}

}  // namespace lictor
