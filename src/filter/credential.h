// Where a request may carry what its sender proves himself by: a header, a cookie or a query
// parameter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "http/message.h"

namespace lictor {

enum class Shown : uint8_t { kNothing, kOne, kRepeated };

struct Credential {
  Shown shown = Shown::kNothing;
  std::string_view value;  // as it came: nothing is decoded
};

struct CredentialPlace {
  enum class In : uint8_t { kHeader, kCookie, kQuery };

  In in = In::kHeader;
  std::string name;
  FieldId id = FieldId::kOther;
  std::string scheme;  // of a header, in front of the value; empty = none

  // A header with another scheme shows nothing. What stands there twice is kRepeated, whatever it
  // says: somebody behind the gateway may take the other one.
  Credential find(const Head& request) const;
};

// Reads {"header"|"cookie"|"query": name}, for a header with `schemes` also "scheme".
void read_credential_place(const JsonValue& at, bool schemes, CredentialPlace& place);

}  // namespace lictor
