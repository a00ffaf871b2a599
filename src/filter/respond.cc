// `respond`: {"status": 503, "body": "...", "headers": {}}. Answers every request that reaches it.
#include <string>
#include <utility>
#include <vector>

#include "filter/makers.h"
#include "http/message.h"
#include "http/rules.h"

namespace lictor {
namespace {

constexpr size_t kMaxFields = 64;
constexpr size_t kMaxBody = 256 << 10;

class Respond : public Filter {
 public:
  std::string_view name() const override { return "respond"; }
  bool answers() const override { return true; }
  bool rehearsable() const override { return true; }
  Step on_request(Call& call) const override {
    Fields fields;
    for (const auto& [name, value] : headers) fields.add(call.arena(), name, value);
    call.reply(status, fields, body);
    return Step::kStop;
  }

  uint16_t status = 200;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

void read_headers(JsonObject& object, Respond& respond) {
  object.map("headers", kMaxFields, [&](const std::string& name, const JsonValue& value) {
    std::string text;
    if (!check_filter_field(value, name) || !value.read_text(text)) return;
    if (!is_field_value(text)) value.fail("must not have control characters");
    respond.headers.emplace_back(name, text);
  });
}

bool has_content_type(const Respond& respond) {
  for (const auto& [name, value] : respond.headers) {
    if (field_id(name) == FieldId::kContentType) return true;
  }
  return false;
}

}  // namespace

FilterPtr make_respond(const JsonValue& config, const FilterContext&) {
  auto respond = std::make_shared<Respond>();
  config.read_object([&](JsonObject& object) {
    object.whole("status", respond->status, 200, 599);
    if (const auto body = object.find("body")) {
      body->read_text(respond->body);
      if (respond->body.size() > kMaxBody) body->fail("larger than 256 KiB");
    }
    read_headers(object, *respond);
    const bool bodiless =
        respond->status == 204 || respond->status == 205 || respond->status == 304;
    if (bodiless && !respond->body.empty()) {
      object.fail("body",
                  "an answer with status " + std::to_string(respond->status) + " has no body");
    }
  });
  if (!respond->body.empty() && !has_content_type(*respond)) {
    respond->headers.emplace_back("Content-Type", "text/plain; charset=utf-8");
  }
  return respond;
}

}  // namespace lictor
