// The routes that fabio makes of tags: "urlprefix-host/path strip=/path". A pure function from the
// tags of all services to route documents, which are compiled as those from KV; what can't be one
// is told. docs/from-fabio.md says what differs.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace lictor {

// Keys of such documents begin so: "fabio/<service>/<hash>".
inline constexpr std::string_view kFabioKey = "fabio/";

struct FabioRoute {
  std::string key;
  std::string text;   // a route document; empty when there is an error
  std::string error;  // with the tag that it is about
};

// Tags by service, as in Consul's catalog. Sorted by key, each once. Tags of one host, path and set
// of options are one route with a backend a tag, whichever services have them.
std::vector<FabioRoute> read_fabio_tags(
    const std::map<std::string, std::vector<std::string>>& tags);

}  // namespace lictor
