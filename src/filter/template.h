// A text with variables, as filters write it: "/orders/${path.id}". Variables are known when a
// document is read; an unknown one is a problem then, never an empty string at run time. "$${" is a
// plain "${".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "filter/filter.h"
#include "filter/makers.h"

namespace lictor {

class Template {
 public:
  // Reads `text`, which stands at `at`; a problem there and false when a variable is unknown or the
  // text has control characters.
  bool parse(const JsonValue& at, std::string_view text, const FilterContext& context);

  // The text with its variables replaced: in the call's arena, or in this object when it has none.
  // An absent value is empty. What would not be a header value (CR, LF, NUL, other controls) counts
  // as absent as a whole, whoever sent it.
  std::string_view expand(const Call& call, Arena& arena) const;

  // The text before the first variable.
  std::string_view literal_prefix() const;
  bool constant() const { return parts_.empty() || (parts_.size() == 1 && !variable(parts_[0])); }

 private:
  enum class Kind : uint8_t {
    kLiteral,
    kClientIp,
    kRequestId,
    kRoute,
    kService,
    kUser,
    kClientCert,
    kCapture,
    kClaim
  };
  struct Part {
    Kind kind;
    std::string text;  // of kLiteral; the name of kCapture and kClaim
  };
  static bool variable(const Part& part) { return part.kind != Kind::kLiteral; }
  bool parse_variable(const JsonValue& at, std::string_view name, const FilterContext& context);
  static std::string_view value(const Part& part, const Call& call, Arena& arena);

  std::vector<Part> parts_;
};

}  // namespace lictor
