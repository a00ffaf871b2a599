// Where a Redis is, and how to get in: "redis://[[user]:password@]host[:port][/db]".
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace lictor {

struct RedisTarget {
  std::string host;  // a name or an address
  uint16_t port = 6379;
  std::string user;
  std::string password;
  uint32_t db = 0;

  std::string address() const;  // "host:port", for people: without the secrets
  bool operator==(const RedisTarget&) const = default;
};

// The error says what is wrong, and never repeats the text: it may have a password in it.
std::expected<RedisTarget, std::string> parse_redis_url(std::string_view text);

// A password that stands alone in a file, in one line.
std::expected<std::string, std::string> read_password_file(const std::string& path);

}  // namespace lictor
