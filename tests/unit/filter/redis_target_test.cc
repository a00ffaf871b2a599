#include "filter/redis_target.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

using lictor::parse_redis_url;
using lictor::read_password_file;
using lictor::RedisTarget;

namespace {

RedisTarget good(const std::string& url) {
  const auto target = parse_redis_url(url);
  if (!target) FAIL(url, ": ", target.error());
  return *target;
}

std::string wrong(const std::string& url) {
  const auto target = parse_redis_url(url);
  return target ? "fine" : target.error();
}

}  // namespace

TEST_CASE("redis URLs") {
  CHECK(good("redis://10.0.0.9") == RedisTarget{"10.0.0.9", 6379, "", "", 0});
  CHECK(good("redis://redis.internal:7000/3") == RedisTarget{"redis.internal", 7000, "", "", 3});
  CHECK(good("redis://:secret@redis/") == RedisTarget{"redis", 6379, "", "secret", 0});
  CHECK(good("redis://ann:p%40ss:w@[::1]:6380") == RedisTarget{"::1", 6380, "ann", "p@ss:w", 0});
  CHECK(good("redis://[::1]:6380").address() == "[::1]:6380");
  CHECK(good("redis://ann:secret@h/1").address() == "h:6379");
}

TEST_CASE("what is no redis URL is told without its password") {
  CHECK(wrong("rediss://h") == "TLS to Redis (rediss://) is not supported in this version");
  for (const std::string url :
       {"h:6379", "http://h", "redis://", "redis://:secret@", "redis://ann@h", "redis://h:0",
        "redis://h:65536", "redis://h:x", "redis://h/x", "redis://h/1/2", "redis://h/99999",
        "redis://h?db=1", "redis://:secret%@h", "redis://:secret%4@h", "redis://:secret%zz@h",
        "redis://h h", "redis://:secret@:6379", "redis://a:secret@b:c@h:p"}) {
    const std::string message = wrong(url);
    CHECK_MESSAGE(message.starts_with("is not a URL such as \"redis://"), url);
    CHECK(message.find("secret") == std::string::npos);
  }
  CHECK(wrong("redis://" + std::string(2'000, 'a')).ends_with("it is too long"));
}

TEST_CASE("a password alone in a file") {
  char path[] = "/tmp/lictor-password-XXXXXX";
  const int fd = mkstemp(path);
  REQUIRE(fd >= 0);
  close(fd);
  const auto with = [&path](const std::string& text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    return read_password_file(path);
  };
  CHECK(*with("secret\n") == "secret");
  CHECK(*with("two words") == "two words");
  CHECK_FALSE(with(""));
  CHECK_FALSE(with("\n"));
  CHECK_FALSE(with("-----BEGIN PRIVATE KEY-----\nMIIE\n"));
  CHECK_FALSE(with(std::string(600, 'x')));
  unlink(path);
  CHECK(read_password_file(path).error() == "can't be read");
  CHECK_FALSE(read_password_file("/"));
}
