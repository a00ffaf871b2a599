#include "app/admin_client.h"

#include <curl/curl.h>

#include <array>
#include <memory>
#include <utility>

namespace lictor {
namespace {

constexpr long kTimeoutMs = 10'000;
constexpr size_t kMaxBody = 256 << 20;

size_t collect(char* bytes, size_t size, size_t count, void* out) {
  auto& body = *static_cast<std::string*>(out);
  if (body.size() + size * count > kMaxBody) return 0;
  body.append(bytes, size * count);
  return size * count;
}

}  // namespace

AdminClient::AdminClient(std::string url, std::string token)
    : url_(std::move(url)), token_(std::move(token)) {
  if (url_.find("://") == std::string::npos) url_.insert(0, "http://");
  while (url_.ends_with('/')) url_.pop_back();
}

std::expected<AdminAnswer, std::string> AdminClient::get(std::string_view target) const {
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  if (!curl) return std::unexpected("out of memory");
  AdminAnswer answer;
  std::array<char, CURL_ERROR_SIZE> error{};
  const std::string url = url_ + std::string(target);
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, kTimeoutMs);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, collect);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, error.data());
  if (!token_.empty()) {
    curl_easy_setopt(curl.get(), CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(curl.get(), CURLOPT_XOAUTH2_BEARER, token_.c_str());
  }
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) {
    const std::string why = error[0] != '\0' ? error.data() : curl_easy_strerror(code);
    return std::unexpected("no answer from the admin port at " + url_ + ": " + why);
  }
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  return answer;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  constexpr std::string_view kPlain = "-._~/:";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       kPlain.find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

}  // namespace lictor
