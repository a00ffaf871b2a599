// What the filters that know consumers share.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "filter/consumers.h"
#include "filter/filter.h"

namespace lictor {

// "groups": names; none = every consumer.
void read_groups(JsonObject& object, std::vector<std::string>& groups);

// Says who the caller is; refuses with 403 one who is in none of the groups.
Step admit(Call& call, const Consumer& consumer, const std::vector<std::string>& groups);

// A 401 with this challenge.
Step unauthorized(Call& call, std::string_view challenge, const char* reason, const char* detail);

}  // namespace lictor
