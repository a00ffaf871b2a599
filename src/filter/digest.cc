#include "filter/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <new>
#include <stdexcept>
#include <string>

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
  if (getrandom(out.data(), out.size(), 0) != static_cast<ssize_t>(out.size())) {
    throw std::runtime_error("the system has no random numbers (getrandom)");
  }
  return out;
}

}  // namespace lictor
