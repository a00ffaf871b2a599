#include "filter/token.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "base/json.h"
#include "filter/base64.h"

namespace lictor {
namespace {

constexpr size_t kMaxClaims = 256;  // members of claims included
// How many keys one token is tried with: each try costs a loop tens of microseconds.
constexpr int kMaxTries = 10;
// What a double and every JSON library can hold; far behind any date.
constexpr uint64_t kMaxDate = uint64_t{1} << 53;

using Fault = TokenFault;
using Unexpected = std::unexpected<TokenFault>;

struct Parts {
  std::string_view signed_text;  // header.payload
  std::string_view header;
  std::string_view payload;
  std::string_view signature;
};

std::optional<Parts> split(std::string_view text) {
  const size_t first = text.find('.');
  if (first == std::string_view::npos) return std::nullopt;
  const size_t second = text.find('.', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  if (text.find('.', second + 1) != std::string_view::npos) return std::nullopt;
  return Parts{text.substr(0, second), text.substr(0, first),
               text.substr(first + 1, second - first - 1), text.substr(second + 1)};
}

// Calls `read` with the object that is there in base64url. False when there is none, or one with a
// member twice, or `read` says so.
bool read_part(std::string_view text, const std::function<bool(const JsonValue&)>& read) {
  std::string json;
  bool good = false;
  if (!decode_base64url(text, json)) return false;
  read_json(json, JsonComments::kNo, [&](const JsonValue& root) {
    good = root.problems().empty() && root.is_object() && read(root);
  });
  return good;
}

struct Header {
  std::string algorithm;
  std::string kid;
  bool has_kid = false;
  bool good = true;
};

Header read_header(std::string_view text) {
  Header header;
  const auto member = [&](const std::string& name, const JsonValue& value) {
    if (name == "alg") header.good &= value.read_text(header.algorithm);
    if (name == "kid") header.good &= header.has_kid = value.read_text(header.kid);
    // Extensions that must be understood: none is. "b64" says that the payload is not base64url.
    if (name == "crit" || name == "b64") header.good = false;
  };
  header.good &=
      read_part(text, [&](const JsonValue& root) { return root.read_map(kMaxClaims, member); });
  return header;
}

std::string number_text(double number) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.begin(), text.end(), number).ptr;
  return {text.begin(), end};
}

// A text, a number or a truth value as text; none for anything else.
std::optional<std::string> scalar_text(const JsonValue& value) {
  std::string text;
  if (value.is_text()) {
    value.read_text(text);
    return text;
  }
  if (value.is_null() || value.is_object() || value.is_array()) return std::nullopt;
  uint64_t whole = 0;
  if (value.is_whole(whole)) return std::to_string(whole);
  bool flag = false;
  if (value.read_flag(flag)) return flag ? "true" : "false";
  double number = 0;
  if (value.read_number(number, -1e308, 1e308)) return number_text(number);
  return std::nullopt;
}

class ClaimReader {
 public:
  void add(const std::string& name, const JsonValue& value) {
    if (claims_.size() == kMaxClaims) return;
    if (value.is_object()) {
      value.read_map(kMaxClaims, [&](const std::string& member, const JsonValue& inner) {
        add(name + "." + member, inner);
      });
      return;
    }
    Token::Claim claim{name, {}, {}};
    if (value.is_array()) {
      value.read_array(0, kMaxTokenBytes, [&](const JsonValue& item) {
        if (auto text = scalar_text(item)) claim.values.push_back(std::move(*text));
      });
    } else if (auto text = scalar_text(value)) {
      claim.values.push_back(std::move(*text));
    }
    if (claim.values.empty()) return;
    for (const auto& one : claim.values) claim.text.append(claim.text.empty() ? "" : ",") += one;
    if (name == "scope" || name == "scp") divide(claim.values);
    claims_.push_back(std::move(claim));
  }

  // In the order of their depth, so that a claim goes before a member of the same name.
  std::vector<Token::Claim> take() { return std::move(claims_); }

 private:
  // OAuth's scopes are one text with blanks between (RFC 8693, section 4.2).
  static void divide(std::vector<std::string>& values) {
    if (values.size() != 1) return;
    const std::string text = std::move(values.front());
    values.clear();
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find(' ', at), text.size());
      if (end > at) values.push_back(text.substr(at, end - at));
      at = end + 1;
    }
  }

  std::vector<Token::Claim> claims_;
};

// A NumericDate in whole seconds; false when it is none.
bool read_date(const JsonValue& value, int64_t& out) {
  uint64_t whole = 0;
  if (value.is_whole(whole)) {
    if (whole > kMaxDate) return false;
    out = static_cast<int64_t>(whole);
    return true;
  }
  double number = 0;
  if (value.is_text() || !value.read_number(number, 0, static_cast<double>(kMaxDate))) return false;
  out = static_cast<int64_t>(number);
  return true;
}

// What is in the payload beside claims for others.
struct Payload {
  ClaimReader claims;
  std::string issuer;
  std::vector<std::string> audiences;
  int64_t expires_s = -1;
  int64_t not_before_s = 0;
  bool good = true;

  void add(const std::string& name, const JsonValue& value) {
    int64_t date = 0;
    if (name == "exp") {
      good &= read_date(value, expires_s);
    } else if (name == "nbf" || name == "iat") {
      good &= read_date(value, date);
      not_before_s = std::max(not_before_s, date);
    } else if (name == "iss") {
      good &= value.read_text(issuer);
    } else if (name == "aud") {
      add_audiences(value);
    }
    if (value.is_object()) {
      members_.emplace_back(name, value);
    } else {
      claims.add(name, value);
    }
  }
  void add_audiences(const JsonValue& value) {
    const auto add_one = [this](const JsonValue& item) {
      std::string text;
      good &= item.read_text(text);
      audiences.push_back(std::move(text));
    };
    value.is_array() ? (void)value.read_array(0, kMaxTokenBytes, add_one) : add_one(value);
  }
  void add_members() {
    for (const auto& [name, value] : members_) claims.add(name, value);
  }

 private:
  std::vector<std::pair<std::string, JsonValue>> members_;
};

// False as soon as something in it is not what RFC 7519 says.
bool read_payload(std::string_view text, Payload& payload) {
  return read_part(text, [&payload](const JsonValue& root) {
    const bool read = root.read_map(
        kMaxClaims,
        [&](const std::string& name, const JsonValue& value) { payload.add(name, value); });
    payload.add_members();
    return read && payload.good && payload.expires_s >= 0;
  });
}

std::expected<void, Fault> check_signature(const Parts& parts, const Header& header,
                                           JwsAlgorithm algorithm, const KeySet& keys) {
  std::string signature;
  if (!decode_base64url(parts.signature, signature)) return Unexpected(Fault::kMalformed);
  bool named = false;  // by its kid
  bool fits = false;
  int tries = 0;
  for (const Jwk& key : keys.keys) {
    // A key without a kid is one of any.
    if (header.has_kid && !key.kid().empty()) {
      if (key.kid() != header.kid) continue;
      named = true;
    }
    if (!key.algorithms().has(algorithm)) continue;
    fits = true;
    if (++tries > kMaxTries) break;
    if (key.verify(algorithm, parts.signed_text, signature)) return {};
  }
  if (!named) return Unexpected(Fault::kUnknownKey);
  return Unexpected(fits ? Fault::kSignature : Fault::kAlgorithm);
}

std::expected<void, Fault> check_claims(const Payload& payload, const TokenRules& rules) {
  if (!rules.issuer.empty() && payload.issuer != rules.issuer) return Unexpected(Fault::kIssuer);
  if (rules.audiences.empty()) return {};
  const bool meant = std::any_of(
      payload.audiences.begin(), payload.audiences.end(), [&rules](const std::string& one) {
        return std::find(rules.audiences.begin(), rules.audiences.end(), one) !=
               rules.audiences.end();
      });
  if (!meant) return Unexpected(Fault::kAudience);
  return {};
}

}  // namespace

const char* token_fault_name(TokenFault fault) {
  switch (fault) {
    case Fault::kTooLong:
      return "too_long";
    case Fault::kMalformed:
      return "malformed";
    case Fault::kAlgorithm:
      return "algorithm";
    case Fault::kUnknownKey:
      return "unknown_key";
    case Fault::kSignature:
      return "signature";
    case Fault::kExpired:
      return "expired";
    case Fault::kNotYetValid:
      return "not_yet_valid";
    case Fault::kIssuer:
      return "issuer";
    case Fault::kAudience:
      break;
  }
  return "audience";
}

const Token::Claim* Token::claim(std::string_view name) const {
  const auto found = std::find_if(claims_.begin(), claims_.end(),
                                  [name](const Claim& one) { return one.name == name; });
  return found == claims_.end() ? nullptr : &*found;
}

std::string_view Token::find(std::string_view name) const {
  const Claim* found = claim(name);
  return found == nullptr ? std::string_view{} : found->text;
}

size_t Token::bytes() const {
  size_t total = sizeof(Token);
  for (const Claim& one : claims_) {
    total += sizeof(Claim) + one.name.size() + one.text.size();
    for (const auto& value : one.values) total += sizeof(std::string) + value.size();
  }
  return total;
}

std::expected<void, TokenFault> check_times(const Token& token, const TokenRules& rules,
                                            int64_t now_s) {
  if (now_s >= token.expires_s + rules.leeway_s) return Unexpected(Fault::kExpired);
  if (now_s + rules.leeway_s < token.not_before_s) return Unexpected(Fault::kNotYetValid);
  return {};
}

std::expected<TokenPtr, TokenFault> verify_token(std::string_view text, const KeySet& keys,
                                                 const TokenRules& rules, int64_t now_s) {
  if (text.size() > kMaxTokenBytes) return Unexpected(Fault::kTooLong);
  const auto parts = split(text);
  if (!parts) return Unexpected(Fault::kMalformed);
  const Header header = read_header(parts->header);
  if (!header.good) return Unexpected(Fault::kMalformed);
  const auto algorithm = parse_jws_algorithm(header.algorithm);
  if (!algorithm || !rules.algorithms.has(*algorithm)) return Unexpected(Fault::kAlgorithm);
  if (auto good = check_signature(*parts, header, *algorithm, keys); !good) {
    return Unexpected(good.error());
  }
  Payload payload;
  if (!read_payload(parts->payload, payload)) return Unexpected(Fault::kMalformed);
  if (auto good = check_claims(payload, rules); !good) return Unexpected(good.error());
  auto token = std::make_shared<Token>(payload.claims.take());
  token->expires_s = payload.expires_s;
  token->not_before_s = payload.not_before_s;
  if (auto good = check_times(*token, rules, now_s); !good) return Unexpected(good.error());
  return token;
}

}  // namespace lictor
