// Tokens and keys as anybody may send them. An input is three texts that the byte 0xFE divides: a
// token's header and its claims, as they are before base64, and a list of keys. The target signs
// the first two with a secret of its own, so that what is behind a good signature is read too; then
// the token is taken as it came, with the keys that were given.
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/json.h"
#include "filter/base64.h"
#include "filter/signer.h"
#include "filter/token.h"
#include "http/rules.h"
#include "messages.h"
#include "records.h"

namespace {

using namespace lictor;
using fuzz::require;

constexpr int64_t kNow = 1'700'000'000;
const std::string kSecret(32, 's');

std::string sign(const std::string& text) {
  std::string out(32, '\0');
  HMAC(EVP_sha256(), kSecret.data(), static_cast<int>(kSecret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(),
       reinterpret_cast<unsigned char*>(out.data()), nullptr);
  return out;
}

TokenRules rules(JwsAlgorithms algorithms) {
  TokenRules out;
  out.algorithms = algorithms;
  return out;
}

void judge(const std::string& text, const KeySet& keys, JwsAlgorithms algorithms, bool forged) {
  const auto token = verify_token(text, keys, rules(algorithms), kNow);
  if (!token) {
    require(*token_fault_name(token.error()) != '\0', "a refusal says why");
    return;
  }
  require(!forged, "nobody but the issuer signs", text);
  require((*token)->expires_s + 60 > kNow, "what expired is refused");
  require((*token)->not_before_s <= kNow + 60, "what is not valid yet is refused");
  require((*token)->bytes() < 64 * kMaxTokenBytes * 16, "a token keeps little");
  (*token)->find("sub");
  (*token)->find("a.b");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> parts = fuzz::parts_of(data, size);
  parts.resize(3);
  const std::string text =
      lictor::testing::base64url(parts[0]) + "." + lictor::testing::base64url(parts[1]);
  KeySet own;
  own.keys.push_back(Jwk::secret(kSecret));
  const std::string whole = text + "." + lictor::testing::base64url(sign(text));
  judge(whole, own, kHmacAlgorithms, false);
  judge(whole, own, kPublicKeyAlgorithms, true);

  KeySet given;
  const Problems problems = read_json(
      parts[2], JsonComments::kNo, [&given](const JsonValue& root) { given = read_key_set(root); });
  require(given.keys.size() <= KeySet::kMaxKeys, "keys are few");
  for (const Jwk& key : given.keys) {
    require(!key.algorithms().empty(), "a key is for something");
    require(key.algorithms().within(kPublicKeyAlgorithms), "no list has secrets");
  }
  judge(whole, given, kHmacAlgorithms, true);
  judge(whole, given, kPublicKeyAlgorithms, true);
  judge(parts[0], given, kPublicKeyAlgorithms, false);

  std::string bytes;
  if (decode_base64url(parts[0], bytes)) {
    require(lictor::testing::base64url(bytes) == parts[0], "one text for each value", parts[0]);
  }
  return 0;
}
