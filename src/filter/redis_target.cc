#include "filter/redis_target.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/small_file.h"
#include "http/rules.h"
#include "http/uri.h"

namespace lictor {
namespace {

constexpr size_t kLongestUrl = 1024;
constexpr size_t kLongestPassword = 512;
constexpr uint32_t kMostDb = 65'535;

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned byte = 0;
    const std::string_view hex = text.substr(i + 1, 2);
    const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), byte, 16);
    if (hex.size() != 2 || error != std::errc() || end != hex.data() + 2) return std::nullopt;
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

// All of `text` as a number.
template <class T>
bool read_number(std::string_view text, T& out, T most) {
  T read{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || read > most) {
    return false;
  }
  out = read;
  return true;
}

}  // namespace

std::string RedisTarget::address() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::expected<RedisTarget, std::string> parse_redis_url(std::string_view text) {
  const auto wrong = [](const char* why) {
    return std::unexpected(std::string("is not a URL such as \"redis://10.0.0.9:6379/0\": ") + why);
  };
  RedisTarget out;
  if (text.starts_with("rediss://")) {
    return std::unexpected("TLS to Redis (rediss://) is not supported in this version");
  }
  if (!text.starts_with("redis://")) return wrong("it begins with redis://");
  text.remove_prefix(8);
  if (text.size() > kLongestUrl) return wrong("it is too long");
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    const std::string_view who = text.substr(0, at);
    const size_t colon = who.find(':');
    if (colon == std::string_view::npos) return wrong("before the '@' is user:password");
    const auto user = percent_decoded(who.substr(0, colon));
    const auto password = percent_decoded(who.substr(colon + 1));
    if (!user || !password || password->empty()) return wrong("before the '@' is user:password");
    out.user = *user;
    out.password = *password;
    text.remove_prefix(at + 1);
  }
  if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    const std::string_view db = text.substr(slash + 1);
    if (!db.empty() && !read_number(db, out.db, kMostDb)) {
      return wrong("behind the '/' is the number of a database");
    }
    text = text.substr(0, slash);
  }
  if (!valid_authority(text) || text.empty()) return wrong("it needs a host");
  const size_t colon = text.rfind(':');
  if (colon != std::string_view::npos && !text.ends_with(']')) {
    if (!read_number(text.substr(colon + 1), out.port, uint16_t{65'535}) || out.port == 0) {
      return wrong("the port is a number from 1 to 65535");
    }
    text = text.substr(0, colon);
  }
  if (text.starts_with('[')) text = text.substr(1, text.size() - 2);
  if (text.empty()) return wrong("it needs a host");
  out.host = text;
  return out;
}

std::expected<std::string, std::string> read_password_file(const std::string& path) {
  auto read = read_small_file(path, kLongestPassword + 2);
  const bool large = !read && read.error().kind == FileError::Kind::kTooLarge;
  if (!read && !large) return std::unexpected("can't be read");
  std::string text = large ? std::string() : std::move(*read);
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (text.empty() || text.size() > kLongestPassword || !is_field_value(text)) {
    return std::unexpected("must be one line with a password of at most 512 bytes");
  }
  return text;
}

}  // namespace lictor
