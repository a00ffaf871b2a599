#include "filter/token.h"

#include <doctest/doctest.h>

#include "base/json.h"

using namespace lictor;

// Hostile tokens are data, run against the whole gateway: tests/jwt. Here: time, and RFC 7515's own
// examples when they were good.

namespace {

constexpr int64_t kExpires = 1300819380;
const std::string kPayload =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlf"
    "Q";
// RFC 7515, appendix A.3.
const std::string kToken =
    "eyJhbGciOiJFUzI1NiJ9." + kPayload +
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
constexpr const char* kKeys = R"({"keys": [{"kty": "EC", "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})";

KeySet keys_of(std::string_view text, Problems* told = nullptr) {
  KeySet keys;
  const Problems problems =
      read_json(text, JsonComments::kNo, [&](const JsonValue& root) { keys = read_key_set(root); });
  if (told != nullptr) *told = problems;
  return keys;
}

std::string first_problem(std::string_view key) {
  Problems problems;
  const KeySet keys = keys_of(R"({"keys": [)" + std::string(key) + "]}", &problems);
  CHECK(keys.keys.empty());
  return problems.empty() ? "none" : problems.front().to_string();
}

TokenRules rules() {
  TokenRules rules;
  rules.algorithms = kPublicKeyAlgorithms;
  return rules;
}

std::string verdict(std::string_view token, const KeySet& keys, const TokenRules& by, int64_t now) {
  const auto found = verify_token(token, keys, by, now);
  return found ? "good" : token_fault_name(found.error());
}

}  // namespace

TEST_CASE("token: good until exp and the leeway, to the second") {
  const KeySet keys = keys_of(kKeys);
  REQUIRE(keys.keys.size() == 1);
  TokenRules by = rules();
  CHECK(verdict(kToken, keys, by, kExpires + 59) == "good");
  CHECK(verdict(kToken, keys, by, kExpires + 60) == "expired");
  by.leeway_s = 0;
  CHECK(verdict(kToken, keys, by, kExpires - 1) == "good");
  CHECK(verdict(kToken, keys, by, kExpires) == "expired");
}

TEST_CASE("token: nbf and iat, to the second") {
  Token token({});
  token.expires_s = 2'000;
  token.not_before_s = 1'000;
  TokenRules by = rules();
  by.leeway_s = 10;
  CHECK_FALSE(check_times(token, by, 989));
  CHECK(check_times(token, by, 990));
  CHECK(check_times(token, by, 2'009));
  CHECK_FALSE(check_times(token, by, 2'010));
}

TEST_CASE("token: what it says") {
  const auto token = verify_token(kToken, keys_of(kKeys), rules(), kExpires);
  REQUIRE(token);
  CHECK((*token)->find("iss") == "joe");
  CHECK((*token)->find("exp") == "1300819380");
  CHECK((*token)->find("http://example.com/is_root") == "true");
  CHECK((*token)->find("sub").empty());
  CHECK((*token)->claim("sub") == nullptr);
}

TEST_CASE("token: issuer, algorithms and every bit of the signature count") {
  const KeySet keys = keys_of(kKeys);
  TokenRules by = rules();
  by.issuer = "joe";
  CHECK(verdict(kToken, keys, by, kExpires) == "good");
  by.issuer = "Joe";
  CHECK(verdict(kToken, keys, by, kExpires) == "issuer");
  by = rules();
  by.audiences = {"api"};
  CHECK(verdict(kToken, keys, by, kExpires) == "audience");
  by = rules();
  by.algorithms = {JwsAlgorithm::kEs384};
  CHECK(verdict(kToken, keys, by, kExpires) == "algorithm");
  for (size_t i = kToken.size() - 86; i < kToken.size(); ++i) {
    std::string other = kToken;
    other[i] = other[i] == 'x' ? 'y' : 'x';
    CHECK(verdict(other, keys, rules(), kExpires) != "good");
  }
}

TEST_CASE("token: one is not tried with every key there is") {
  std::string many;
  const std::string one = std::string(kKeys).substr(10, std::string(kKeys).size() - 12);
  for (int i = 0; i < 9; ++i) {
    many += R"({"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
               "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"},)";
  }
  CHECK(verdict(kToken, keys_of(R"({"keys": [)" + many + one + "]}"), rules(), kExpires) == "good");
  many += many;
  CHECK(verdict(kToken, keys_of(R"({"keys": [)" + many + one + "]}"), rules(), kExpires) ==
        "unknown_key");
}

TEST_CASE("keys: those that can't be used are told and left out") {
  CHECK(first_problem(R"({"kty": "oct", "k": "AAAA"})") ==
        "$.keys[0]: is a secret: those are for secret_file, never in a list");
  CHECK(first_problem(
            R"({"kty": "RSA", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQ", "e": "AQAB"})") ==
        "$.keys[0]: is an RSA key of 240 bits: must have 2048 to 8192");
  CHECK(first_problem(R"({"kty": "RSA", "e": "AQAB"})") == R"($.keys[0]: has no "n")");
  CHECK(first_problem(R"({"kty": "RSA", "n": "A+/", "e": "AQAB"})") ==
        R"($.keys[0]: "n" is not base64url without padding)");
  CHECK(first_problem(R"({"kty": "EC", "crv": "secp256k1", "x": "", "y": ""})") ==
        R"($.keys[0]: curve "secp256k1" is not one of P-256, P-384, P-521)");
  CHECK(first_problem(R"({"kty": "OKP", "crv": "X25519", "x": "AA"})") ==
        R"($.keys[0]: curve "X25519" is not one of Ed25519, Ed448)");
  CHECK(first_problem(R"({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"})") ==
        R"($.keys[0]: "x" of Ed25519 has 32 bytes)");
  CHECK(first_problem(R"({"kty": "EC", "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"})") == "$.keys[0]: is not a point on P-256");
  CHECK(first_problem(R"({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"})") ==
        R"($.keys[0]: "x" and "y" of P-256 have 32 bytes each)");
  CHECK(first_problem(R"({"kty": "OKP", "crv": "Ed25519", "d": "AA", "x": "AA"})") ==
        R"($.keys[0]: has its private part ("d"): leave that out)");
  CHECK(first_problem(R"({"kty": "PQ"})") ==
        R"($.keys[0]: has a "kty" that is not RSA, EC or OKP)");
  CHECK(first_problem("7") == "$.keys[0]: must be an object, not a number");
}

TEST_CASE("keys: those for something else are no problem") {
  for (const char* more :
       {R"("use": "enc")", R"("alg": "ES384")", R"("alg": "ECDH-ES")", R"("key_ops": ["sign"])"}) {
    std::string key = kKeys;
    key.insert(key.find("\"crv\""), std::string(more) + ", ");
    Problems problems;
    CHECK(keys_of(key, &problems).keys.empty());
    CHECK(problems.empty());
  }
}
