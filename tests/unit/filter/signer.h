// An issuer of the tests' own: an Ed25519 key, and tokens signed with it.
#pragma once

#include <openssl/evp.h>

#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "filter/jwk.h"

namespace lictor::testing {

inline std::string base64url(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  uint32_t bits = 0;
  int have = 0;
  for (const char c : text) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (have += 8; have >= 6; have -= 6) out += kDigits[bits >> (have - 6) & 63];
  }
  if (have > 0) out += kDigits[bits << (6 - have) & 63];
  return out;
}

class Signer {
 public:
  // The same seed is the same key.
  explicit Signer(std::string kid, char seed = 'k') : kid_(std::move(kid)) {
    const std::string bytes(32, seed);
    key_.reset(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr,
                                            reinterpret_cast<const unsigned char*>(bytes.data()),
                                            bytes.size()),
               EVP_PKEY_free);
  }

  std::string jwk() const {
    std::string x(32, '\0');
    size_t size = x.size();
    EVP_PKEY_get_raw_public_key(key_.get(), reinterpret_cast<unsigned char*>(x.data()), &size);
    return R"({"kty": "OKP", "crv": "Ed25519", "kid": ")" + kid_ + R"(", "x": ")" + base64url(x) +
           R"("})";
  }
  std::string jwks() const { return R"({"keys": [)" + jwk() + "]}"; }
  std::shared_ptr<const KeySet> keys() const {
    auto keys = std::make_shared<KeySet>();
    const std::string text = jwks();
    read_json(text, JsonComments::kNo, [&](const JsonValue& root) { *keys = read_key_set(root); });
    return keys;
  }

  // `claims`: members, each with a comma in front.
  std::string token(const std::string& claims = R"(,"sub":"alice")", int64_t lives_s = 600) const {
    const std::string text =
        base64url(R"({"alg":"EdDSA","kid":")" + kid_ + R"("})") + "." +
        base64url(R"({"exp":)" + std::to_string(time(nullptr) + lives_s) + claims + "}");
    return text + "." + base64url(sign(text));
  }

 private:
  std::string sign(std::string_view text) const {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                          EVP_MD_CTX_free);
    std::string out(64, '\0');
    size_t size = out.size();
    EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get());
    EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                   reinterpret_cast<const unsigned char*>(text.data()), text.size());
    return out;
  }

  std::string kid_;
  std::shared_ptr<EVP_PKEY> key_;
};

}  // namespace lictor::testing
