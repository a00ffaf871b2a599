// `request_headers` and `response_headers`: {"set": {}, "add": {}, "remove": []}. Fields are
// removed first, then set (every field of that name gives way to one), then added. A field whose
// value turns out empty is left out: `set` then only removes.
#include <algorithm>
#include <string>
#include <vector>

#include "filter/makers.h"
#include "filter/template.h"
#include "http/message.h"

namespace lictor {
namespace {

constexpr size_t kMaxFields = 64;

struct FieldRule {
  std::string name;
  FieldId id;
  Template value;
};

struct HeaderRules {
  std::vector<std::string> remove;
  std::vector<FieldRule> set;
  std::vector<FieldRule> add;

  void apply(const Call& call, Fields& fields, Arena& arena) const {
    for (const auto& name : remove) fields.remove(name);
    for (const auto& rule : set) {
      const std::string_view value = rule.value.expand(call, arena);
      fields.remove(rule.name);
      if (!value.empty()) fields.add(arena, Field{rule.name, value, rule.id});
    }
    for (const auto& rule : add) {
      const std::string_view value = rule.value.expand(call, arena);
      if (!value.empty()) fields.add(arena, Field{rule.name, value, rule.id});
    }
  }
};

class RequestHeaders : public Filter {
 public:
  explicit RequestHeaders(HeaderRules rules) : rules_(std::move(rules)) {}
  std::string_view name() const override { return "request_headers"; }
  bool rehearsable() const override { return true; }
  Step on_request(Call& call) const override {
    rules_.apply(call, call.request().fields, call.arena());
    return Step::kNext;
  }

 private:
  HeaderRules rules_;
};

class ResponseHeaders : public Filter {
 public:
  explicit ResponseHeaders(HeaderRules rules) : rules_(std::move(rules)) {}
  std::string_view name() const override { return "response_headers"; }
  bool rehearsable() const override { return true; }
  Step on_request(Call&) const override { return Step::kNext; }
  void on_response(Call& call) const override {
    rules_.apply(call, call.response().fields, call.arena());
  }

 private:
  HeaderRules rules_;
};

void read_field_map(JsonObject& object, std::string_view key, std::vector<FieldRule>& rules,
                    const FilterContext& context) {
  object.map(key, kMaxFields, [&](const std::string& name, const JsonValue& value) {
    std::string text;
    if (!check_filter_field(value, name) || !value.read_text(text)) return;
    const bool twice = std::any_of(rules.begin(), rules.end(), [&](const FieldRule& rule) {
      return equals_ignore_case(rule.name, name);
    });
    if (twice) value.fail("the same header twice, in other capitals");
    FieldRule rule{name, field_id(name), {}};
    if (rule.value.parse(value, text, context)) rules.push_back(std::move(rule));
  });
}

HeaderRules read_rules(const JsonValue& config, const FilterContext& context) {
  HeaderRules rules;
  config.read_object([&](JsonObject& object) {
    read_field_map(object, "set", rules.set, context);
    read_field_map(object, "add", rules.add, context);
    object.array("remove", 0, kMaxFields, [&](const JsonValue& item) {
      std::string name;
      if (item.read_text(name) && check_filter_field(item, name)) rules.remove.push_back(name);
    });
  });
  return rules;
}

}  // namespace

FilterPtr make_request_headers(const JsonValue& config, const FilterContext& context) {
  return std::make_shared<RequestHeaders>(read_rules(config, context));
}

FilterPtr make_response_headers(const JsonValue& config, const FilterContext& context) {
  return std::make_shared<ResponseHeaders>(read_rules(config, context));
}

}  // namespace lictor
