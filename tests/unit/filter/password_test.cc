#include "filter/password.h"

#include <doctest/doctest.h>

using lictor::check_password_hash;
using lictor::verify_password;

namespace {

// Of "correct horse".
constexpr const char* kBcrypt = "$2b$04$BcF0.Iqmo1oGvZl2SXCzPO.tilqx/OmIbJhaf3p1h/Ik5N1DN9RY2";
constexpr const char* kSha256 = "$5$TzbU9TlFd51nk7oq$z8Qrabeb/lFOTbJs1sd/tgrnFG6BENkbTzizwSHVKT1";
constexpr const char* kSha512 =
    "$6$zWLjgyaGCkDZ2FjA$d5tQPvnQRT9zORstZosD6kBt9P2n1NadDiY9dpKzjgE2PZGgbJ"
    "WBuLXQbxQSodvv0Ko/NEmAEtihN3/F63vRl1";
constexpr const char* kYescrypt =
    "$y$j75$8I4vUZQ82dfF9wC7iiaD81$Skoi.tiFWSgtGVuvtucAqZuQe2.3HAAKTT1Ns.l7tw7";

bool refused(const std::string& hash, std::string_view why) {
  const std::string problem = check_password_hash(hash);
  CAPTURE(problem);
  return problem.find(why) != std::string::npos;
}

}  // namespace

TEST_CASE("password: the kinds of crypt(5) that are still good") {
  for (const char* hash : {kBcrypt, kSha256, kSha512, kYescrypt}) {
    CAPTURE(hash);
    CHECK(check_password_hash(hash).empty());
    CHECK(verify_password("correct horse", hash));
    CHECK_FALSE(verify_password("correct horsf", hash));
    CHECK_FALSE(verify_password("", hash));
  }
}

TEST_CASE("password: plain texts and weak kinds are refused") {
  for (const char* hash : {"", "secret", "ab01FAX.bQRSU", "$1$salt$yYdcNwQGRGpWB.9pM9QoX0", "$",
                           "$apr1$x$yYdcNwQGRGpWB.9pM9QoX0", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
                           "$sha1$1$x$y", "$3$$8846f7eaee8fb117ad06bdd830b7586c", "*", "!"}) {
    CAPTURE(hash);
    CHECK(refused(hash, "must be a hash of bcrypt"));
  }
}

TEST_CASE("password: hashes that are cut, or cost too much") {
  CHECK(refused(std::string(kBcrypt).substr(0, 59), "not a whole hash"));
  CHECK(refused(std::string(kSha256) + "x", "not a whole hash"));
  CHECK(refused(std::string(kSha512).substr(0, 80), "not a whole hash"));
  CHECK(refused("$y$j75$8I4vUZQ82dfF9wC7iiaD81", "not a whole hash"));
  CHECK(refused("$2b$15$" + std::string(53, 'a'), "cost of 15"));
  CHECK(refused("$2b$3$" + std::string(53, 'a'), "cost of 3"));
  CHECK(refused("$2b$-1$" + std::string(53, 'a'), "not a whole hash"));
  CHECK(refused("$5$rounds=999$salt$" + std::string(43, 'a'), "rounds"));
  CHECK(refused("$5$rounds=4294967297$salt$" + std::string(43, 'a'), "rounds"));
  CHECK(refused("$y$jCT$salt$" + std::string(43, 'a'), "costs too much"));
  CHECK(refused("$y$j9T.$salt$" + std::string(43, 'a'), "costs too much"));
  CHECK(check_password_hash("$6$rounds=1000000$salt$" + std::string(86, 'a')).empty());
}
