#include "control/catalog.h"

#include <doctest/doctest.h>

#include "control/support.h"

using namespace lictor;
using test::entry;
using test::list;

namespace {

// An entry whose parts a test writes itself.
std::string raw(const std::string& service, const std::string& checks = "[]",
                const std::string& node = R"({"Node":"n1","Address":"10.9.9.9"})") {
  return R"([{"Node":)" + node + R"(,"Service":)" + service + R"(,"Checks":)" + checks + "}]";
}

Instance one(const std::string& body) {
  auto parsed = parse_health(body);
  REQUIRE_MESSAGE(parsed.has_value(), (parsed ? "" : parsed.error()));
  REQUIRE(parsed->instances.size() == 1);
  return parsed->instances[0];
}

std::string error(const std::string& body) {
  const auto parsed = parse_health(body);
  return parsed ? "" : parsed.error();
}

std::string check(const std::string& id, const std::string& status,
                  const std::string& output = "ran") {
  return R"({"CheckID":")" + id + R"(","Status":")" + status + R"(","Output":")" + output + R"("})";
}

}  // namespace

TEST_CASE("an entry becomes an instance") {
  const auto i = one(list({entry("w1")}));
  CHECK(i.id == "w1");
  CHECK(i.address == "10.0.0.1:80");
  CHECK(i.socket_address.to_string() == "10.0.0.1:80");
  CHECK(i.node == "n1");
  CHECK(i.datacenter == "dc1");
  CHECK(i.tags == std::vector<std::string>{"v1"});
  CHECK(i.meta == std::map<std::string, std::string>{{"k", "v"}});
  CHECK(i.weight == 3);
  CHECK(i.health == Health::kPassing);
  CHECK(i.usable);
}

TEST_CASE("an answer without entries is a good one") {
  const auto parsed = parse_health("[]");
  REQUIRE(parsed.has_value());
  CHECK(parsed->instances.empty());
}

TEST_CASE("health is the worst of node and service checks, maintenance before all") {
  const auto health = [](const std::string& checks) {
    return one(raw(R"({"ID":"a","Port":80})", checks)).health;
  };
  const std::string pass = check("serfHealth", "passing");
  CHECK(health("[]") == Health::kPassing);
  CHECK(health("null") == Health::kPassing);
  CHECK(health("[" + pass + "]") == Health::kPassing);
  CHECK(health("[" + pass + "," + check("c", "warning") + "]") == Health::kWarning);
  CHECK(health("[" + check("c", "critical") + "," + check("d", "warning") + "]") ==
        Health::kCritical);
  CHECK(health("[" + check("_node_maintenance", "critical") + "," + pass + "]") ==
        Health::kMaintenance);
  CHECK(health("[" + check("_service_maintenance:a", "critical") + "," + check("c", "critical") +
               "]") == Health::kMaintenance);
  CHECK(health("[" + check("service_maintenance", "passing") + "]") == Health::kPassing);
}

TEST_CASE("each health has its weight, and a weight of 0 is out") {
  const std::string service = R"({"ID":"a","Port":80,"Weights":{"Passing":10,"Warning":2}})";
  CHECK(one(raw(service)).weight == 10);
  const auto warning = one(raw(service, "[" + check("c", "warning") + "]"));
  CHECK(warning.weight == 2);
  CHECK(warning.usable);
  const auto critical = one(raw(service, "[" + check("c", "critical") + "]"));
  CHECK(critical.weight == 10);
  CHECK_FALSE(critical.usable);

  CHECK(one(raw(R"({"ID":"a","Port":80})")).weight == 1);
  CHECK(one(raw(R"({"ID":"a","Port":80,"Weights":null})")).weight == 1);
  CHECK(one(raw(R"({"ID":"a","Port":80,"Weights":{}})")).weight == 1);
  const auto zero = one(raw(R"({"ID":"a","Port":80,"Weights":{"Passing":0,"Warning":0}})"));
  CHECK(zero.weight == 0);
  CHECK_FALSE(zero.usable);
}

TEST_CASE("huge and negative weights are cut down to what fits") {
  for (const char* weight :
       {"65536", "4294967297", "9223372036854775807", "18446744073709551615"}) {
    const auto i =
        one(raw(R"({"ID":"a","Port":80,"Weights":{"Passing":)" + std::string(weight) + "}}"));
    CHECK(i.weight == kMaxWeight);
  }
  for (const char* weight : {"-1", "-9223372036854775808"}) {
    const auto i =
        one(raw(R"({"ID":"a","Port":80,"Weights":{"Passing":)" + std::string(weight) + "}}"));
    CHECK(i.weight == 0);
    CHECK_FALSE(i.usable);
  }
}

TEST_CASE("an empty service address means the node's") {
  CHECK(one(raw(R"({"ID":"a","Address":"","Port":80})")).address == "10.9.9.9:80");
  CHECK(one(raw(R"({"ID":"a","Port":80})")).address == "10.9.9.9:80");
  CHECK(one(raw(R"({"ID":"a","Address":"10.1.1.1","Port":80})")).address == "10.1.1.1:80");
}

TEST_CASE("IPv6 addresses, with brackets or without") {
  for (const char* address : {"2001:db8::1", "[2001:db8::1]"}) {
    const auto i = one(raw(R"({"ID":"a","Port":80,"Address":")" + std::string(address) + "\"}"));
    CHECK(i.address == "[2001:db8::1]:80");
    CHECK(i.socket_address.to_string() == "[2001:db8::1]:80");
    CHECK(i.usable);
  }
}

TEST_CASE("a name waits for its address") {
  const auto i = one(raw(R"({"ID":"a","Address":"web.local","Port":80})"));
  CHECK(i.address == "web.local:80");
  CHECK(has_name(i));
  CHECK_FALSE(i.usable);
  CHECK_FALSE(has_name(one(raw(R"({"ID":"a","Address":"10.1.1.1","Port":80})"))));
}

TEST_CASE("what nobody can reach is listed, but not usable") {
  // Consul takes all of these from whoever registers them.
  for (const char* service :
       {R"({"ID":"a","Port":0})", R"({"ID":"a","Port":-1})", R"({"ID":"a","Port":70000})",
        R"({"ID":"a","Port":-9223372036854775808})", R"({"ID":"a","Port":18446744073709551615})",
        R"({"ID":"a","Port":80,"Address":"no such host"})",
        R"({"ID":"a","Port":80,"Address":"http://x/"})", R"({"ID":"a","Port":0,"Address":"::1"})",
        R"({"ID":"a","Port":80,"Address":"1.2.3.4:5"})"}) {
    const auto i = one(raw(service));
    CHECK_FALSE(i.usable);
    CHECK_FALSE(has_name(i));
  }
  CHECK_FALSE(one(raw(R"({"ID":"a","Port":80})", "[]", R"({"Node":"n1","Address":""})")).usable);
}

TEST_CASE("the floor of health") {
  Instance i;
  i.health = Health::kWarning;
  CHECK(healthy_enough(i, HealthFloor::kWarning));
  CHECK_FALSE(healthy_enough(i, HealthFloor::kPassing));
  i.health = Health::kPassing;
  CHECK(healthy_enough(i, HealthFloor::kPassing));
  i.weight = 0;
  CHECK_FALSE(healthy_enough(i, HealthFloor::kPassing));
  i = {};
  i.health = Health::kCritical;
  CHECK_FALSE(healthy_enough(i, HealthFloor::kWarning));
}

TEST_CASE("critical by checks that have not run yet is told apart") {
  const auto unproven = [](const std::string& checks) {
    return bool(parse_health(raw(R"({"ID":"a","Port":80})", checks))->unproven[0]);
  };
  const std::string alive = check("serfHealth", "passing", "");
  CHECK(unproven("[" + alive + "," + check("c", "critical", "") + "]"));
  CHECK_FALSE(unproven("[" + alive + "," + check("c", "critical", "refused") + "]"));
  CHECK_FALSE(
      unproven("[" + check("c", "critical", "") + "," + check("d", "critical", "refused") + "]"));
  CHECK_FALSE(unproven("[" + check("_service_maintenance:a", "critical", "") + "]"));
  CHECK_FALSE(unproven("[" + alive + "]"));
}

TEST_CASE("members named like what is left out elsewhere are kept") {
  const auto i = one(raw(R"({"ID":"a","Port":80,"Proxy":{"x":[1,{}]},"TaggedAddresses":{"lan":{}},
      "Meta":{"Proxy":"p","Output":"o","TaggedAddresses":"t","Connect":"c"}})"));
  CHECK(i.meta.size() == 4);
}

TEST_CASE("anything that Consul never sends makes the whole answer an error") {
  const std::string good = entry("w1");
  for (const std::string& body :
       std::vector<std::string>{"",
                                " ",
                                "null",
                                "{}",
                                "42",
                                "\"x\"",
                                "[",
                                "[1]",
                                "[null]",
                                "[[]]",
                                "[{}]",
                                "not json",
                                "<html></html>",
                                "[" + good,
                                "[" + good + ",]",
                                "[" + good + "]x",
                                "[" + good + ",{}]",
                                "[" + good + ",null]",
                                good.substr(0, good.size() / 2),
                                raw("null"),
                                raw("[]"),
                                raw("{}"),
                                raw(R"({"ID":""})"),
                                raw(R"({"ID":7})"),
                                raw(R"({"ID":"a","Port":"80"})"),
                                raw(R"({"ID":"a","Port":80.5})"),
                                raw(R"({"ID":"a","Port":[]})"),
                                raw(R"({"ID":"a","Address":7})"),
                                raw(R"({"ID":"a","Tags":"x"})"),
                                raw(R"({"ID":"a","Tags":[1]})"),
                                raw(R"({"ID":"a","Meta":[]})"),
                                raw(R"({"ID":"a","Meta":{"k":1}})"),
                                raw(R"({"ID":"a","Weights":[]})"),
                                raw(R"({"ID":"a","Weights":{"Passing":"1"}})"),
                                raw(R"({"ID":"a","Weights":{"Passing":1.5}})"),
                                raw(R"({"ID":"a"})", "{}"),
                                raw(R"({"ID":"a"})", "[1]"),
                                raw(R"({"ID":"a"})", R"([{"CheckID":"c"}])"),
                                raw(R"({"ID":"a"})", R"([{"CheckID":"c","Status":"fine"}])"),
                                raw(R"({"ID":"a"})", R"([{"CheckID":7,"Status":"passing"}])"),
                                raw(R"({"ID":"a"})", "[]", "null"),
                                raw(R"({"ID":"a"})", "[]", R"({"Node":""})"),
                                raw(R"({"ID":"a"})", "[]", R"({"Node":"n","Address":1})")}) {
    CAPTURE(body);
    CHECK_FALSE(error(body).empty());
  }
  CHECK(error("[" + good + ",{}]") == "[1].Node: no object");
}

TEST_CASE("every cut of a good answer is an error") {
  const std::string body = list({entry("w1"), entry("w2", "warning")});
  for (size_t size = 0; size < body.size(); ++size) {
    CHECK_FALSE(error(body.substr(0, size)).empty());
  }
}

TEST_CASE("nesting is bounded, wherever it is") {
  const std::string open(100'000, '[');
  CHECK(error(open) == "nested too deep");
  CHECK(error(open + std::string(100'000, ']')) == "nested too deep");
  std::string objects;
  for (int i = 0; i < 1000; ++i) objects += R"({"a":)";
  CHECK(error(raw(R"({"ID":"a","Proxy":)" + objects)) == "nested too deep");
}

TEST_CASE("10,000 instances are read, more than the bound are not") {
  std::vector<std::string> entries;
  for (int i = 0; i < 10'000; ++i) entries.push_back(entry("w" + std::to_string(i)));
  const auto parsed = parse_health(list(entries));
  REQUIRE(parsed.has_value());
  CHECK(parsed->instances.size() == 10'000);
  CHECK(parsed->unproven.size() == 10'000);
  entries.resize(kMaxInstances + 1, "{}");
  CHECK(error(list(entries)) == "more than 20000 instances");
}
