// Jwk::verify: one signature (RFC 7515, section 5.2; RFC 7518, section 3; RFC 8037, section 3.1).
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <array>

#include "filter/jwk.h"
#include "filter/jws_openssl.h"

namespace lictor {
namespace {

using Algorithm = JwsAlgorithm;

const EVP_MD* digest_of(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kRs256:
    case Algorithm::kPs256:
    case Algorithm::kEs256:
    case Algorithm::kHs256:
      return EVP_sha256();
    case Algorithm::kRs384:
    case Algorithm::kPs384:
    case Algorithm::kEs384:
    case Algorithm::kHs384:
      return EVP_sha384();
    case Algorithm::kRs512:
    case Algorithm::kPs512:
    case Algorithm::kEs512:
    case Algorithm::kHs512:
      return EVP_sha512();
    case Algorithm::kEdDsa:
      break;
  }
  return nullptr;  // it has its own
}

bool is_pss(Algorithm algorithm) {
  return algorithm == Algorithm::kPs256 || algorithm == Algorithm::kPs384 ||
         algorithm == Algorithm::kPs512;
}

// ECDSA: R and S side by side, each of the curve's size and no other, to what OpenSSL takes. Empty
// when they are not. (That they are neither zero nor too large is for OpenSSL to see.)
std::string to_der(std::string_view signature, size_t half) {
  if (signature.size() != 2 * half) return {};
  const std::unique_ptr<ECDSA_SIG, ossl::Freed<ECDSA_SIG_free>> pair(ECDSA_SIG_new());
  ossl::Number r = ossl::number(signature.substr(0, half));
  ossl::Number s = ossl::number(signature.substr(half));
  if (!pair || !r || !s || BN_is_zero(r.get()) || BN_is_zero(s.get())) return {};
  ECDSA_SIG_set0(pair.get(), r.release(), s.release());
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(pair.get(), &der);
  if (size <= 0) return {};
  std::string out(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

bool verify_public(EVP_PKEY* key, Algorithm algorithm, std::string_view text,
                   std::string_view signature) {
  const ossl::DigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;  // the context's
  if (!context ||
      EVP_DigestVerifyInit(context.get(), &options, digest_of(algorithm), nullptr, key) != 1) {
    return false;
  }
  // The salt is as long as the digest (RFC 7518, section 3.5).
  if (is_pss(algorithm) &&
      (EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) != 1 ||
       EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) != 1)) {
    return false;
  }
  return EVP_DigestVerify(context.get(), ossl::bytes(signature), signature.size(),
                          ossl::bytes(text), text.size()) == 1;
}

}  // namespace

bool Jwk::verify_hmac(JwsAlgorithm algorithm, std::string_view text, std::string_view mac) const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> made{};
  unsigned int size = 0;
  const bool done = HMAC(digest_of(algorithm), secret_.data(), static_cast<int>(secret_.size()),
                         ossl::bytes(text), text.size(), made.data(), &size) != nullptr;
  return done && mac.size() == size && CRYPTO_memcmp(made.data(), mac.data(), size) == 0;
}

bool Jwk::verify(JwsAlgorithm algorithm, std::string_view text, std::string_view signature) const {
  if (!algorithms_.has(algorithm) || signature.empty()) return false;
  if (kHmacAlgorithms.has(algorithm)) return verify_hmac(algorithm, text, signature);
  std::string der;
  if (half_ != 0) {
    der = to_der(signature, half_);
    if (der.empty()) return false;
    signature = der;
  }
  const bool good = verify_public(key_.get(), algorithm, text, signature);
  // What OpenSSL said of it must not be taken for a failure of somebody else's on this thread.
  if (!good) ERR_clear_error();
  return good;
}

}  // namespace lictor
