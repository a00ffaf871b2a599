#include "control/kv.h"

#include <doctest/doctest.h>

#include "control/support.h"

using namespace lictor;
using test::base64;
using test::kv;
using test::list;

namespace {

std::string error(const std::string& body, const std::string& prefix = "lictor") {
  const auto parsed = parse_kv(body, prefix);
  return parsed ? "" : parsed.error();
}

}  // namespace

TEST_CASE("base64 of every length and byte") {
  std::string all;
  for (int i = 0; i < 256; ++i) {
    all += static_cast<char>(i);
    CHECK(decode_base64(base64(all)) == all);
  }
  CHECK(decode_base64("") == "");
  CHECK(decode_base64("eyJhIjoxfQ==") == R"({"a":1})");
}

TEST_CASE("what is no base64 is refused") {
  for (const char* text : {"a", "ab", "abc", "ab=c", "=abc", "a===", "====", "ab c", "ab\nc",
                           "ab-_", "abcd=", "ab==ab==", "\xff\xff\xff\xff"}) {
    CHECK_FALSE(decode_base64(text).has_value());
  }
}

TEST_CASE("keys below the prefix become documents, sorted; folders don't") {
  const auto parsed =
      parse_kv(list({kv("lictor/routes/b", "B", 9), kv("lictor/", ""), kv("lictor/routes/", ""),
                     kv("lictor/gateway", "G", 8), kv("lictor/routes/a", "A")}),
               "lictor");
  REQUIRE(parsed.has_value());
  REQUIRE(parsed->size() == 3);
  CHECK((*parsed)[0].key == "gateway");
  CHECK((*parsed)[0].text == "G");
  CHECK((*parsed)[0].modify_index == 8);
  CHECK((*parsed)[1].key == "routes/a");
  CHECK((*parsed)[2].key == "routes/b");
}

TEST_CASE("a null value is an empty document") {
  const auto parsed =
      parse_kv(R"([{"Key":"lictor/routes/a","Value":null,"ModifyIndex":3}])", "lictor");
  REQUIRE(parsed.has_value());
  CHECK((*parsed)[0].text.empty());
}

TEST_CASE("prefixes of several segments, and none at all") {
  CHECK(parse_kv(list({kv("team/edge/routes/a", "A")}), "team/edge")->at(0).key == "routes/a");
  CHECK(parse_kv(list({kv("routes/a", "A")}), "")->at(0).key == "routes/a");
}

TEST_CASE("anything odd makes the whole answer an error") {
  const std::string good = kv("lictor/routes/a", "A");
  for (const std::string& body : std::vector<std::string>{
           "", "null", "{}", "[", "[1]", "[{}]", "[" + good, list({good, "{}"}), list({good, good}),
           list({kv("lictor-old/routes/a", "A")}), list({kv("other", "A")}),
           list({kv("lictor", "A")}), R"([{"Key":7}])", R"([{"Key":"lictor/a","Value":1}])",
           R"([{"Key":"lictor/a","Value":"###="}])",
           R"([{"Key":"lictor/a","Value":"","ModifyIndex":"7"}])", std::string(1'000'000, '[')}) {
    CHECK_FALSE(error(body).empty());
  }
  const std::string body = list({good, kv("lictor/gateway", "{}")});
  for (size_t size = 0; size < body.size(); ++size) {
    CHECK_FALSE(error(body.substr(0, size)).empty());
  }
}

TEST_CASE("the number of documents is bounded") {
  std::vector<std::string> entries(kMaxDocuments + 1, "{}");
  CHECK(error(list(entries)) == "more than 50000 keys");
}
