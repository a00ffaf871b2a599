// What documents say about each other: shared filters by name, services by routes, routes that tie.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/documents.h"
#include "model/snapshot.h"

namespace lictor {

// Shared filters by name; null = the document is there, but no version of it is valid.
using SharedFilters = std::map<std::string, FilterPtr, std::less<>>;

Parsed<FilterChain> link_filters(const std::vector<FilterSlot>& slots, const SharedFilters& shared);
// Also a problem when nothing answers: no service, no backends, no filter that does.
Parsed<FilterChain> link_route(const RouteDocument& document, const SharedFilters& shared);

// Keys and users of consumers, and whose they are.
struct TakenCredentials {
  std::map<Digest, std::string> keys;
  std::map<std::string, std::string, std::less<>> users;

  void add(const Consumer& consumer);  // what is taken already stays as it was
};
// What a consumer has that another one had first.
Problems find_taken(const Consumer& consumer, const TakenCredentials& taken);

// Routes that take the same requests as another one, whose name decides: a warning by route name.
std::map<std::string, std::string> find_ties(
    const std::vector<std::shared_ptr<const Route>>& routes);

}  // namespace lictor
