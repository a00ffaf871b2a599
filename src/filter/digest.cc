#include "filter/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <new>
#include <string>

#include "base/random.h"

namespace lictor {

Digest sha256(std::string_view text) {
  Digest out{};
  if (EVP_Digest(text.data(), text.size(), out.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    throw std::bad_alloc();
  }
  return out;
}

Digest hmac_sha256(const Digest& key, std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) {
    const uint64_t size = part.size();
    text.append(reinterpret_cast<const char*>(&size), sizeof(size)).append(part);
  }
  Digest out{};
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  const unsigned char* made = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes,
                                   text.size(), out.data(), nullptr);
  OPENSSL_cleanse(text.data(), text.size());
  if (made == nullptr) throw std::bad_alloc();
  return out;
}

Digest random_digest() {
  Digest out{};
  fill_random(std::as_writable_bytes(std::span(out)));
  return out;
}

}  // namespace lictor
