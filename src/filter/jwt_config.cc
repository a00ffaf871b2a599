#include "filter/jwt_config.h"

#include <algorithm>
#include <utility>

#include "base/small_file.h"
#include "filter/makers.h"

namespace lictor {
namespace {

constexpr size_t kMaxSecret = 4096;
constexpr size_t kMaxList = 64;

// A secret's file: its bytes without one line end behind them. What is wrong with it, or nothing.
std::string read_secret(const std::string& path, std::string& bytes) {
  auto text = read_small_file(path, kMaxSecret);
  if (!text) {
    switch (text.error().kind) {
      case FileError::Kind::kSystem:
        return "can't be read: " + text.error().text;
      case FileError::Kind::kNotAFile:
        return "is not a file that can be read";
      case FileError::Kind::kTooLarge:
        return "is larger than 4 KiB";
    }
  }
  bytes = std::move(*text);
  if (bytes.ends_with('\n')) bytes.pop_back();
  if (bytes.ends_with('\r')) bytes.pop_back();
  if (bytes.size() >= Jwk::kLeastSecret) return {};
  return "has " + std::to_string(bytes.size()) +
         " bytes: a secret needs 32 at least (openssl rand -hex 32)";
}

bool is_jwks_uri(std::string_view uri) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (!uri.starts_with(scheme)) continue;
    uri.remove_prefix(scheme.size());
    const std::string_view host = uri.substr(0, uri.find_first_of("/?#"));
    return !host.empty() && host.find('@') == std::string_view::npos &&
           uri.find('#') == std::string_view::npos && uri.size() <= 2048 &&
           std::all_of(uri.begin(), uri.end(), [](char c) { return c > ' ' && c < 0x7f; });
  }
  return false;
}

void read_keys(JsonObject& object, JwtConfig& config) {
  std::string uri;
  std::string file;
  int sources = 0;
  if (object.text("jwks_uri", uri)) {
    ++sources;
    if (!is_jwks_uri(uri)) {
      object.fail("jwks_uri",
                  in_quotes(uri) + R"( is not a URL such as "https://issuer/jwks.json")");
    }
    config.keys = std::make_shared<KeySource>(uri);
  }
  if (const auto jwks = object.find("jwks")) {
    ++sources;
    const size_t before = jwks->problems().size();
    KeySet keys = read_key_set(*jwks);
    if (keys.keys.empty() && jwks->problems().size() == before) {
      jwks->fail("has no key for signatures");
    }
    config.keys = std::make_shared<KeySource>(std::move(keys));
  }
  if (object.text("secret_file", file)) {
    ++sources;
    std::string secret;
    const std::string wrong = read_secret(file, secret);
    if (!wrong.empty()) object.fail("secret_file", in_quotes(file) + " " + wrong);
    KeySet keys;
    keys.keys.push_back(Jwk::secret(std::move(secret)));
    config.keys = std::make_shared<KeySource>(std::move(keys));
  }
  if (sources != 1) object.fail("must have one of jwks_uri, jwks and secret_file");
}

void read_algorithms(JsonObject& object, JwtConfig& config) {
  const bool secret = object.has("secret_file");
  const JwsAlgorithms possible = secret ? kHmacAlgorithms : kPublicKeyAlgorithms;
  JwsAlgorithms& algorithms = config.rules.algorithms;
  algorithms = possible;
  JwsAlgorithms given;
  const bool listed = object.array("algorithms", 1, kJwsAlgorithms, [&](const JsonValue& item) {
    std::string name;
    if (!item.read_text(name)) return;
    const auto algorithm = parse_jws_algorithm(name);
    if (!algorithm) {
      item.fail(in_quotes(name) + " is not an algorithm of signatures" +
                did_you_mean(name, jws_algorithm_names()));
    } else if (!possible.has(*algorithm)) {
      item.fail(name + (secret ? " needs public keys: jwks_uri or jwks" : " needs secret_file"));
    } else {
      given.add(*algorithm);
    }
  });
  if (!listed || given.empty()) return;
  algorithms = given;
  const auto keys = config.keys ? config.keys->current().keys : nullptr;
  const bool fits = keys == nullptr || keys->keys.empty() ||
                    std::any_of(keys->keys.begin(), keys->keys.end(),
                                [&](const Jwk& key) { return key.algorithms().meets(given); });
  if (!fits) object.fail("algorithms", "no key of jwks is for one of these");
}

// A text, a whole number or a truth value, as claims are compared.
void read_wanted_value(const JsonValue& at, std::vector<std::string>& values) {
  uint64_t whole = 0;
  bool flag = false;
  std::string text;
  if (at.is_text()) {
    at.read_text(text);
  } else if (at.is_whole(whole)) {
    text = std::to_string(whole);
  } else if (at.read_flag(flag)) {
    text = flag ? "true" : "false";
  }
  values.push_back(std::move(text));
}

void read_claims(JsonObject& object, JwtConfig& config) {
  object.map("require_claims", kMaxList, [&](const std::string& name, const JsonValue& value) {
    WantedClaim wanted{name, {}};
    if (value.is_array()) {
      value.read_array(1, kMaxList,
                       [&](const JsonValue& item) { read_wanted_value(item, wanted.values); });
    } else {
      read_wanted_value(value, wanted.values);
    }
    config.require_claims.push_back(std::move(wanted));
  });
  object.map("forward_claims", kMaxList, [&](const std::string& claim, const JsonValue& value) {
    std::string header;
    if (!value.read_text(header) || !check_filter_field(value, header)) return;
    const auto& known = config.forward_claims;
    if (std::any_of(known.begin(), known.end(), [&header](const ForwardedClaim& one) {
          return same_to_anybody(one.header, header);
        })) {
      value.fail("two claims for the header " + in_quotes(header));
    }
    config.forward_claims.push_back({claim, header, field_id(header)});
  });
  object.text("user_claim", config.user_claim);
}

}  // namespace

bool same_to_anybody(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  const auto fold = [](char c) {
    if (c >= 'A' && c <= 'Z') return static_cast<char>(c | 0x20);
    return c == '_' ? '-' : c;
  };
  return std::equal(a.begin(), a.end(), b.begin(),
                    [&fold](char x, char y) { return fold(x) == fold(y); });
}

JwtConfig read_jwt_config(const JsonValue& at) {
  JwtConfig read;
  at.read_object([&](JsonObject& object) {
    object.text("issuer", read.rules.issuer);
    object.array("audiences", 0, kMaxList, [&read](const JsonValue& item) {
      item.read_text(read.rules.audiences.emplace_back());
    });
    read_keys(object, read);
    read_algorithms(object, read);
    Millis leeway{60'000};
    object.duration("leeway", leeway, Millis{0}, Millis{3'600'000});
    read.rules.leeway_s = (leeway.count() + 999) / 1000;
    object.flag("required", read.required);
    object.array("from", 1, 8, [&read](const JsonValue& item) {
      read_credential_place(item, true, read.from.emplace_back());
    });
    read_claims(object, read);
  });
  if (read.from.empty()) {
    read.from.push_back(
        {CredentialPlace::In::kHeader, "Authorization", FieldId::kAuthorization, "Bearer"});
  }
  return read;
}

}  // namespace lictor
