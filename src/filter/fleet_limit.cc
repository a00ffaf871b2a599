#include "filter/fleet_limit.h"

#include <openssl/evp.h>

#include <utility>

namespace lictor {
namespace {

constexpr Millis kMostTimeout{10'000};
constexpr std::string_view kPrefix = "lictor:rate:";
constexpr size_t kBytes = 16;  // of the hash, in a bucket's name

std::array<uint8_t, EVP_MAX_MD_SIZE> sha256(std::string_view text) {
  std::array<uint8_t, EVP_MAX_MD_SIZE> out{};
  EVP_Digest(text.data(), text.size(), out.data(), nullptr, EVP_sha256(), nullptr);
  return out;
}

void read_password(JsonObject& object, RedisTarget& target) {
  std::string path;
  if (!object.text("password_file", path)) return;
  if (!target.password.empty()) {
    return object.fail("password_file", "and a password in redis: give one of them");
  }
  auto password = read_password_file(path);
  if (!password) return object.fail("password_file", in_quotes(path) + " " + password.error());
  target.password = std::move(*password);
}

}  // namespace

std::optional<FleetLimit> FleetLimit::read(JsonObject& object) {
  FleetLimit out;
  const bool found = object.object("cluster", [&out](JsonObject& cluster) {
    std::string url;
    if (cluster.text("redis", url)) {
      auto target = parse_redis_url(url);
      if (target) {
        out.target_ = std::move(*target);
      } else {
        cluster.fail("redis", target.error());
      }
    }
    if (!cluster.has("redis")) cluster.fail("redis is missing: where does the fleet count?");
    read_password(cluster, out.target_);
    cluster.duration("timeout", out.timeout_, Millis{1}, kMostTimeout);
  });
  if (!found) return std::nullopt;
  return out;
}

void FleetLimit::set_identity(std::string_view identity) {
  const auto hash = sha256(identity);
  identity_.assign(reinterpret_cast<const char*>(hash.data()), kBytes);
}

std::string_view FleetLimit::bucket(const LimitKey::Value& value, Arena& arena) const {
  const char kind = static_cast<char>(value.kind());
  const auto hash = sha256(arena.concat(identity_, std::string_view(&kind, 1), value.bytes()));
  char* const out = arena.chars(kPrefix.size() + 2 * kBytes);
  char* at = out + kPrefix.copy(out, kPrefix.size());
  constexpr std::string_view kHex = "0123456789abcdef";
  for (size_t i = 0; i < kBytes; ++i) {
    *at++ = kHex[hash[i] >> 4];
    *at++ = kHex[hash[i] & 15];
  }
  return {out, static_cast<size_t>(at - out)};
}

}  // namespace lictor
