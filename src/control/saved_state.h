// What a restart needs to serve without Consul (the snapshot file), as bytes: the last good
// documents and the instances of every service.
//
// The form is JSON Lines, so that it is written and read piece by piece however large the fleet:
//   {"lictor_snapshot": 1, "written_by": "0.1.0", "time_ms": …, "source": "Consul KV at lictor/"}
//   {"document": "routes/users", "modify_index": 7, "text": "…", "good": "…"}
//   {"service": "web", "instances": [{"id": …, "address": …, …}, …]}
//   {"end": true, "lines": 3, "checksum": "…"}
// The last line tells a file that was cut short or altered from a whole one.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/compiler.h"
#include "model/upstream.h"

namespace lictor {

// Shares what it can, and is safe to read on any thread.
struct StateToSave {
  std::string source;   // where documents come from: for no other source is this good
  int64_t time_ms = 0;  // since the epoch
  std::shared_ptr<const std::vector<DocumentVersions>> documents;
  std::vector<std::pair<std::string, InstanceListPtr>> services;
};

struct SavedState {
  std::string source;
  int64_t time_ms = 0;
  std::vector<DocumentVersions> documents;
  // Usable by health, weight and address, as after parse_health.
  std::map<std::string, std::vector<Instance>> services;
};

// Calls `write` with one piece after the other; false as soon as it returns false.
bool encode_state(const StateToSave& state, const std::function<bool(std::string_view)>& write);

// The whole or nothing; the error is for people.
std::expected<SavedState, std::string> decode_state(std::string_view text);

}  // namespace lictor
