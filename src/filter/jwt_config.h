// The document of a `jwt` filter.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "filter/credential.h"
#include "filter/key_source.h"
#include "filter/token.h"

namespace lictor {

struct WantedClaim {
  std::string name;
  std::vector<std::string> values;  // one of these
};

struct ForwardedClaim {
  std::string claim;
  std::string header;
  FieldId id;
};

struct JwtConfig {
  std::shared_ptr<KeySource> keys;
  TokenRules rules;
  bool required = true;
  std::vector<CredentialPlace> from;
  std::vector<WantedClaim> require_claims;
  std::vector<ForwardedClaim> forward_claims;
  std::string user_claim = "sub";
};

// What is wrong with it is a problem there; then the rest is of no use.
JwtConfig read_jwt_config(const JsonValue& at);

// The same header to someone who takes '_' for '-', as CGI and WSGI do.
bool same_to_anybody(std::string_view a, std::string_view b);

}  // namespace lictor
