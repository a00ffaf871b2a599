// What a route asks of a request besides host, path and method: conditions on header fields, query
// parameters and cookies, all of which must hold.
//
// A name may stand in a request several times: a condition holds when any of its values fits, and
// with `not` when none does, so that a request without it passes a `not`. Values of fields and
// cookies are compared as they came, names and values of queries decoded (%XX, '+').
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "http/message.h"
#include "model/regex.h"

namespace lictor {

// What conditions look at. Views of the request.
struct RequestData {
  const Fields* fields = nullptr;  // null = none
  std::string_view query;          // as it came, without '?'
};

struct Condition {
  enum class Source : uint8_t { kHeader, kQuery, kCookie };
  enum class Kind : uint8_t { kPresent, kExact, kPrefix, kSuffix, kRegex };

  Source source = Source::kHeader;
  Kind kind = Kind::kPresent;
  bool negated = false;
  FieldId field = FieldId::kOther;  // of kHeader
  std::string name;
  std::string text;
  RegexPtr regex;  // of kRegex, made of `text`

  // Allocates only for an escaped query value of more than 1 KiB; RE2 may.
  bool holds(const RequestData& request) const;
  // What speaks against it, for people: `header x-env is "prod", not "beta"`. Only when it fails.
  std::string why_not(const RequestData& request) const;
  // False for two that no request with one value a name can meet.
  bool goes_with(const Condition& other) const;
  bool operator==(const Condition& other) const;
};
using Conditions = std::vector<Condition>;

bool all_hold(const Conditions& conditions, const RequestData& request);

// The keys `headers`, `query` and `cookies` of a route.
void read_conditions(JsonObject& object, Conditions& out);

}  // namespace lictor
