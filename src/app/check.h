// `lictor check`: reads bootstrap files and documents with the readers that the gateway itself
// uses, and prints every problem as "FILE: $.json.path: message".
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace lictor {

// `config` is a bootstrap file. A path is
// - a folder: the tree that source.directory takes (gateway.json, routes/, upstreams/, filters/),
//   checked as one set, so that shared filters and routes that tie are seen;
// - a file: its kind is its folder's name, else guessed from its keys;
// - "-": one document on stdin, its kind guessed from its keys.
// Returns the exit code: 0 valid, 1 invalid, 2 when there is nothing to check or a file can't be
// read.
int run_check(const std::optional<std::string>& config, const std::vector<std::string>& paths,
              std::ostream& out, std::ostream& err);

}  // namespace lictor
