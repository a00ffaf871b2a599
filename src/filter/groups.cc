#include "filter/groups.h"

namespace lictor {

void read_groups(JsonObject& object, std::vector<std::string>& groups) {
  object.array("groups", 0, 64, [&groups](const JsonValue& item) {
    if (item.read_text(groups.emplace_back()) && groups.back().empty()) {
      item.fail("must be the name of a group");
    }
  });
}

Step admit(Call& call, const Consumer& consumer, const std::vector<std::string>& groups) {
  call.set_user(consumer.name);
  if (consumer.in_any(groups)) return Step::kNext;
  call.count_auth_failure("group");
  call.reply(Error{Failure::kForbidden, false, "the caller is in none of the groups"});
  return Step::kStop;
}

Step unauthorized(Call& call, std::string_view challenge, const char* reason, const char* detail) {
  call.count_auth_failure(reason);
  Fields fields;
  fields.add(call.arena(), "WWW-Authenticate", challenge);
  call.reply(Error{Failure::kUnauthorized, false, detail}, fields);
  return Step::kStop;
}

}  // namespace lictor
