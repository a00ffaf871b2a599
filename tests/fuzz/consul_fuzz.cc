// Answers of Consul's and what a restart reads. The first byte chooses which: 'h' health, 'k' KV,
// 's' the snapshot file.
#include "control/catalog.h"
#include "control/kv.h"
#include "control/saved_state.h"
#include "messages.h"

namespace {

using namespace lictor;
using fuzz::require;

void health(std::string_view body) {
  const auto answer = parse_health(body);
  if (!answer) {
    require(!answer.error().empty(), "a refusal says why");
    return;
  }
  require(answer->instances.size() == answer->unproven.size(), "each instance is judged");
  for (const Instance& instance : answer->instances) {
    require(!instance.usable || !instance.address.empty(), "what is usable has an address");
    require(!instance.usable || instance.weight > 0, "what is usable has a weight");
    require(instance.weight <= kMaxWeight, "weights are bounded");
  }
}

void kv(std::string_view body) {
  const auto documents = parse_kv(body, "lictor");
  if (!documents) return;
  for (const Document& document : *documents) {
    require(!document.key.ends_with('/'), "folders are left out", document.key);
  }
}

// With its last line made right: else nothing behind the checksum would ever be read.
std::string finished(std::string_view text) {
  uint64_t checksum = 0xcbf29ce484222325U;
  int64_t lines = 0;
  for (const char c : text) {
    checksum = (checksum ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    if (c == '\n') ++lines;
  }
  char end[96];
  std::snprintf(end, sizeof end, "{\"end\":true,\"lines\":%lld,\"checksum\":\"%llx\"}\n",
                static_cast<long long>(lines), static_cast<unsigned long long>(checksum));
  return std::string(text) + end;
}

void state(std::string_view text) {
  decode_state(text);
  const auto read = decode_state(finished(text));
  if (!read) return;
  StateToSave save;
  save.source = read->source;
  save.time_ms = read->time_ms;
  save.documents = std::make_shared<const std::vector<DocumentVersions>>(read->documents);
  for (const auto& [service, instances] : read->services) {
    save.services.emplace_back(service, make_instance_list(instances, nullptr));
  }
  std::string written;
  require(encode_state(save,
                       [&](std::string_view piece) {
                         written += piece;
                         return true;
                       }),
          "a state is written");
  const auto again = decode_state(written);
  require(again.has_value(), "what was written can be read", written);
  require(again->documents.size() == read->documents.size() &&
              again->services.size() == read->services.size() && again->source == read->source,
          "what was written is the same", written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'h':
      health(text);
      break;
    case 'k':
      kv(text);
      break;
    case 's':
      state(text);
      break;
    default:
      break;
  }
  return 0;
}
