#include "control/saved_state.h"

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/version.h"
#include "control/catalog.h"
#include "control/json_bounded.h"

namespace lictor {
namespace {

using answer::Malformed;
using nlohmann::json;

constexpr int64_t kFormat = 1;
constexpr size_t kPiece = 64 << 10;

constexpr auto kHealths = std::to_array<Health>(
    {Health::kPassing, Health::kWarning, Health::kCritical, Health::kMaintenance});

// FNV-1a: against accidents, not against people.
class Checksum {
 public:
  void add(std::string_view bytes) {
    for (const char c : bytes) {
      value_ = (value_ ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    }
  }
  std::string text() const {
    std::array<char, 16> digits{};
    const auto end = std::to_chars(digits.begin(), digits.end(), value_, 16).ptr;
    return {digits.begin(), end};
  }

 private:
  uint64_t value_ = 0xcbf29ce484222325U;
};

// --- writing -------------------------------------------------------------------------------------

class LineWriter {
 public:
  explicit LineWriter(const std::function<bool(std::string_view)>& write) : write_(write) {}

  bool line(const json& value) {
    // A document that is no UTF-8 is no good one either.
    const std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
    checksum_.add(text);
    ++lines_;
    pending_ += text;
    return pending_.size() < kPiece || flush();
  }
  bool end() {
    pending_ +=
        json{{"end", true}, {"lines", lines_}, {"checksum", checksum_.text()}}.dump() + "\n";
    return flush();
  }

 private:
  bool flush() {
    const bool written = write_(pending_);
    pending_.clear();
    return written;
  }

  const std::function<bool(std::string_view)>& write_;
  std::string pending_;
  Checksum checksum_;
  int64_t lines_ = 0;
};

json document_line(const DocumentVersions& document) {
  json line = {{"document", document.key}, {"modify_index", document.modify_index}};
  if (document.text) line["text"] = *document.text;
  if (document.good) line["good"] = *document.good;
  return line;
}

json service_line(const std::string& service, const InstanceList& list) {
  json instances = json::array();
  for (const auto& instance : list.instances) {
    json one = {{"id", instance.id},
                {"address", instance.address},
                {"weight", instance.weight},
                {"health", health_name(instance.health)}};
    if (!instance.node.empty()) one["node"] = instance.node;
    if (!instance.datacenter.empty()) one["datacenter"] = instance.datacenter;
    if (!instance.tags.empty()) one["tags"] = instance.tags;
    if (!instance.meta.empty()) one["meta"] = instance.meta;
    instances.push_back(std::move(one));
  }
  return {{"service", service}, {"instances", std::move(instances)}};
}

// --- reading -------------------------------------------------------------------------------------

json parse_line(std::string_view line) {
  json value = answer::parse(line, [](int, const std::string&) { return true; });
  if (!value.is_object()) throw Malformed{"no object"};
  return value;
}

Health read_health(const json& instance) {
  const auto name = answer::need_text(instance, "health", "instance");
  for (const Health health : kHealths) {
    if (health_name(health) == name) return health;
  }
  throw Malformed{"no such health: " + name};
}

Instance read_instance(const json& json_instance) {
  if (!json_instance.is_object()) throw Malformed{"instance: no object"};
  Instance instance;
  instance.id = answer::need_text(json_instance, "id", "instance");
  instance.node = answer::text(json_instance, "node", "instance");
  instance.datacenter = answer::text(json_instance, "datacenter", "instance");
  instance.health = read_health(json_instance);
  const auto weight = answer::whole(json_instance, "weight", 1, "instance");
  if (weight < 0 || weight > int64_t{kMaxWeight}) throw Malformed{"instance.weight"};
  instance.weight = static_cast<uint32_t>(weight);
  if (const json* tags = answer::find(json_instance, "tags")) {
    tags->get_to(instance.tags);
  }
  if (const json* meta = answer::find(json_instance, "meta")) {
    meta->get_to(instance.meta);
  }
  const auto address = answer::need_text(json_instance, "address", "instance");
  const auto parts = split_host_port(address);
  const bool good = parts && set_address(instance, parts->host, parts->port);
  if (!good) instance.address = address;
  instance.usable = good && !has_name(instance) && healthy_enough(instance, HealthFloor::kWarning);
  return instance;
}

void read_service(const std::string& service, const json& line, SavedState& state) {
  const json* instances = answer::find(line, "instances");
  if (instances == nullptr || !instances->is_array()) throw Malformed{"no instances"};
  auto& list = state.services[service];
  list.reserve(instances->size());
  for (const auto& one : *instances) list.push_back(read_instance(one));
}

std::optional<std::string> optional_text(const json& line, const char* key) {
  const json* value = answer::find(line, key);
  if (value == nullptr) return std::nullopt;
  return answer::text(line, key, "document");
}

void read_head(const json& line, SavedState& state) {
  const auto format = answer::whole(line, "lictor_snapshot", 0, "head");
  if (format == 0) throw Malformed{"no snapshot of lictor's"};
  if (format != kFormat) {
    throw Malformed{"written by another version (format " + std::to_string(format) + ")"};
  }
  state.source = answer::text(line, "source", "head");
  state.time_ms = answer::whole(line, "time_ms", 0, "head");
}

void read_line(const json& line, SavedState& state) {
  if (const auto key = answer::text(line, "document", "line"); !key.empty()) {
    const auto index = answer::whole(line, "modify_index", 0, "document");
    state.documents.push_back({key, optional_text(line, "text"), optional_text(line, "good"),
                               static_cast<uint64_t>(index)});
  } else {
    read_service(answer::need_text(line, "service", "line"), line, state);
  }
}

bool is_end(const json& line, int64_t lines, const Checksum& checksum) {
  if (answer::find(line, "end") == nullptr) return false;
  if (answer::whole(line, "lines", -1, "end") != lines ||
      answer::text(line, "checksum", "end") != checksum.text()) {
    throw Malformed{"damaged: its checksum is another one"};
  }
  return true;
}

}  // namespace

bool encode_state(const StateToSave& state, const std::function<bool(std::string_view)>& write) {
  LineWriter out(write);
  bool good = out.line({{"lictor_snapshot", kFormat},
                        {"written_by", version()},
                        {"time_ms", state.time_ms},
                        {"source", state.source}});
  for (const auto& document : *state.documents) good = good && out.line(document_line(document));
  for (const auto& [service, list] : state.services) {
    good = good && out.line(service_line(service, *list));
  }
  return good && out.end();
}

std::expected<SavedState, std::string> decode_state(std::string_view text) try {
  SavedState state;
  Checksum checksum;
  int64_t lines = 0;
  while (true) {
    const size_t newline = text.find('\n');
    if (newline == std::string_view::npos) return std::unexpected("cut short");
    const std::string_view line = text.substr(0, newline + 1);
    text.remove_prefix(line.size());
    const json value = parse_line(line);
    if (lines == 0) {
      read_head(value, state);
    } else if (is_end(value, lines, checksum)) {
      if (!text.empty()) return std::unexpected("damaged: something follows its end");
      return state;
    } else {
      read_line(value, state);
    }
    checksum.add(line);
    ++lines;
  }
} catch (const Malformed& malformed) {
  return std::unexpected(malformed.what);
} catch (const json::exception&) {
  return std::unexpected("damaged: a value of a wrong type");
}

}  // namespace lictor
