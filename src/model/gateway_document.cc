// The `gateway` document, shared filters, lists of filters, and which key is which kind of
// document.
#include <optional>

#include "filter/names.h"
#include "model/documents.h"

namespace lictor {
namespace {

constexpr size_t kMaxFilters = 64;

// The one member of a filter's object.
struct Member {
  std::string name;
  std::optional<JsonValue> value;
};

std::optional<Member> read_member(const JsonValue& at) {
  Member member;
  size_t members = 0;
  const bool read = at.read_map(kMaxFilters, [&](const std::string& name, const JsonValue& value) {
    ++members;
    member = {name, value};
  });
  if (!read) return std::nullopt;
  if (members == 1) return member;
  at.fail(R"(must have one key, the filter's name: {"respond": {"status": 503}})");
  return std::nullopt;
}

FilterSlot read_slot(const JsonValue& at, const FilterContext& context) {
  FilterSlot slot;
  slot.path = at.path();
  const auto member = read_member(at);
  if (!member) return slot;
  if (member->name != "use") {
    slot.filter = make_filter(member->name, *member->value, context);
    return slot;
  }
  if (member->value->read_text(slot.use)) {
    const std::string wrong = check_name(slot.use);
    if (!wrong.empty()) member->value->fail(wrong);
  }
  return slot;
}

void read_gateway(JsonObject& object, GatewayDocument& document) {
  read_filters(object, {nullptr, "gateway"}, document.filters);
  object.object("upstream_defaults", [&](JsonObject& defaults) {
    read_upstream(defaults, document.upstream_defaults);
    if (defaults.has("endpoints")) {
      defaults.fail("endpoints", "belong to one service: write them to upstreams/<service>");
    }
  });
}

}  // namespace

std::expected<DocumentKey, Problem> parse_document_key(std::string_view key) {
  const auto wrong = [](std::string message) {
    return std::unexpected(Problem{"$", std::move(message)});
  };
  if (key == "gateway") return DocumentKey{};
  const size_t slash = key.find('/');
  const std::string_view kind = key.substr(0, slash);
  const std::string_view name =
      slash == std::string_view::npos ? std::string_view{} : key.substr(slash + 1);
  if (kind == "upstreams" && !name.empty()) {
    std::string problem = check_service_name(name);
    if (!problem.empty()) return wrong(std::move(problem));
    return DocumentKey{DocumentKind::kUpstream, std::string(name)};
  }
  for (const auto& [word, named] :
       {std::pair{"routes", DocumentKind::kRoute}, std::pair{"filters", DocumentKind::kFilter},
        std::pair{"consumers", DocumentKind::kConsumer}}) {
    if (kind != word || name.empty()) continue;
    std::string problem = check_name(name);
    if (!problem.empty()) return wrong(std::move(problem));
    return DocumentKey{named, std::string(name)};
  }
  return wrong("unknown kind of document " + in_quotes(key) +
               did_you_mean(kind, {"gateway", "routes", "upstreams", "filters", "consumers"}) +
               ": there are gateway, routes/<name>, upstreams/<service>, filters/<name> and "
               "consumers/<name>");
}

void read_filters(JsonObject& object, const FilterContext& context,
                  std::vector<FilterSlot>& slots) {
  object.array("filters", 0, kMaxFilters,
               [&](const JsonValue& item) { slots.push_back(read_slot(item, context)); });
}

Parsed<GatewayDocument> parse_gateway(std::string_view text) {
  GatewayDocument document;
  Problems problems = read_json(text, JsonComments::kNo, [&](const JsonValue& root) {
    root.read_object([&](JsonObject& object) { read_gateway(object, document); });
  });
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return document;
}

Parsed<FilterPtr> parse_filter(std::string_view name, std::string_view text) {
  FilterSlot slot;
  Problems problems = read_json(text, JsonComments::kNo, [&](const JsonValue& root) {
    slot = read_slot(root, {nullptr, "filters/" + std::string(name)});
    if (!slot.use.empty()) root.fail("a shared filter can't use another one");
  });
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return slot.filter;
}

}  // namespace lictor
