#include "proxy/hash_key.h"

#include <doctest/doctest.h>

#include "proxy/balancer.h"

using lictor::Arena;
using lictor::hash_key;
using lictor::HashOn;
using lictor::Head;
using lictor::IpAddress;
using lictor::stable_hash;

TEST_CASE("a request is hashed by what the policy names, or not at all") {
  Arena arena;
  Head request;
  request.fields.add(arena, "X-User", "ann");
  request.fields.add(arena, "Cookie", "lb=here");
  const auto ip = *IpAddress::parse("192.0.2.7");
  const auto key = [&](HashOn::Kind kind, const char* name) {
    return hash_key({kind, name, false}, request, "q=1", ip);
  };
  CHECK(key(HashOn::Kind::kHeader, "x-user") == stable_hash("ann"));
  CHECK(key(HashOn::Kind::kCookie, "lb") == stable_hash("here"));
  CHECK(key(HashOn::Kind::kQuery, "q") == stable_hash("1"));
  CHECK(key(HashOn::Kind::kClientIp, "").has_value());
  CHECK(key(HashOn::Kind::kClientIp, "") != hash_key({HashOn::Kind::kClientIp, "", false}, request,
                                                     "", *IpAddress::parse("192.0.2.8")));
  request.authority = "shop.example";
  CHECK(key(HashOn::Kind::kHeader, "Host") == stable_hash("shop.example"));
  CHECK_FALSE(key(HashOn::Kind::kHeader, "x-other"));
  CHECK_FALSE(key(HashOn::Kind::kCookie, "other"));
  CHECK_FALSE(key(HashOn::Kind::kQuery, "other"));
}
