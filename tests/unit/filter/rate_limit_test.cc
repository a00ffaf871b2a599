#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>

#include "filter/fake_call.h"

using lictor::FakeCall;
using lictor::Filter;
using lictor::FilterPtr;
using lictor::make;
using lictor::problem_of;
using lictor::Step;

namespace {

struct Token final : lictor::Claims {
  std::map<std::string, std::string, std::less<>> values;
  std::string_view find(std::string_view name) const override {
    const auto found = values.find(name);
    return found == values.end() ? std::string_view{} : found->second;
  }
};

// One gateway, asked again and again by different requests.
class Gateway {
 public:
  // The status it answers, 200 when it lets the request through.
  template <class Prepare>
  uint16_t ask(const FilterPtr& filter, Prepare prepare) {
    FakeCall call(shared_, loop_);
    prepare(call);
    const Step step = call.run(filter);
    CHECK((step == Step::kStop) == (call.replies() == 1));
    CHECK(call.rate_limited() == call.replies());
    if (step == Step::kStop) call.reply_as_response();
    filter->on_response(call);
    last_ = FakeCall::list(call.response().fields);
    retry_after_ = call.replied().field("Retry-After");
    filter->on_done(call);
    return step == Step::kStop ? call.replied().status : uint16_t{200};
  }
  uint16_t ask(const FilterPtr& filter) {
    return ask(filter, [](FakeCall&) {});
  }
  void pass(uint64_t ms) { loop_.pass(ms); }
  const std::vector<std::string>& last() const { return last_; }
  const std::string& retry_after() const { return retry_after_; }
  lictor::FilterShared& shared() { return shared_; }
  lictor::testing::ManualLoop& loop() { return loop_; }

 private:
  lictor::testing::ManualLoop loop_;
  lictor::FilterShared shared_;
  std::vector<std::string> last_;
  std::string retry_after_;
};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("rate_limit: 429 beyond the burst, and every answer tells what is left") {
  Gateway gateway;
  const auto limit = make(R"({"rate_limit": {"rate": 2, "per": "1m", "burst": 3}})");
  CHECK(gateway.ask(limit) == 200);
  CHECK(gateway.last() == Lines{"RateLimit-Limit: 3", "RateLimit-Remaining: 2",
                                "RateLimit-Reset: 30",
                                R"(RateLimit-Policy: "client_ip-1m";q=3;w=90)",
                                R"(RateLimit: "client_ip-1m";r=2;t=30)"});
  CHECK(gateway.ask(limit) == 200);
  gateway.pass(1);
  CHECK(gateway.ask(limit) == 200);
  CHECK(gateway.ask(limit) == 429);
  CHECK(gateway.retry_after() == "30");
  CHECK(gateway.last() == Lines{"Retry-After: 30", "RateLimit-Limit: 3", "RateLimit-Remaining: 0",
                                "RateLimit-Reset: 90",
                                R"(RateLimit-Policy: "client_ip-1m";q=3;w=90)",
                                R"(RateLimit: "client_ip-1m";r=0;t=90)"});
  gateway.pass(29'998);
  CHECK(gateway.ask(limit) == 429);
  CHECK(gateway.retry_after() == "1");
  gateway.pass(1);
  CHECK(gateway.ask(limit) == 200);
  CHECK(gateway.ask(limit) == 429);
}

TEST_CASE("rate_limit: the burst is the rate unless it says otherwise, per a second") {
  Gateway gateway;
  const auto limit = make(R"({"rate_limit": {"rate": 5}})");
  for (int i = 0; i < 5; ++i) CHECK(gateway.ask(limit) == 200);
  CHECK(gateway.ask(limit) == 429);
  gateway.pass(200);
  CHECK(gateway.ask(limit) == 200);
  CHECK(gateway.ask(limit) == 429);
}

TEST_CASE("rate_limit: keys") {
  Gateway gateway;
  const auto once = [&](const std::string& key) {
    return make(R"({"rate_limit": {"rate": 1, "per": "1h", "key": )" + key + "}}");
  };
  const auto from = [](std::string_view ip) { return [ip](FakeCall& call) { call.client(ip); }; };
  SUBCASE("the client's address, of IPv6 the network of a host") {
    const auto limit = once(R"("client_ip")");
    CHECK(gateway.ask(limit, from("192.0.2.1")) == 200);
    CHECK(gateway.ask(limit, from("192.0.2.1")) == 429);
    CHECK(gateway.ask(limit, from("192.0.2.2")) == 200);
    CHECK(gateway.ask(limit, from("2001:db8:0:1::1")) == 200);
    CHECK(gateway.ask(limit, from("2001:db8:0:1:ffff::2")) == 429);
    CHECK(gateway.ask(limit, from("2001:db8:0:2::1")) == 200);
  }
  SUBCASE("the user") {
    const auto limit = once(R"("user")");
    const auto user = [](std::string_view name) {
      return [name](FakeCall& call) { call.set_user(name); };
    };
    CHECK(gateway.ask(limit, user("ann")) == 200);
    CHECK(gateway.ask(limit, user("ann")) == 429);
    CHECK(gateway.ask(limit, user("bob")) == 200);
  }
  SUBCASE("the route, whoever asks") {
    const auto limit = once(R"("route")");
    CHECK(gateway.ask(limit, from("192.0.2.1")) == 200);
    CHECK(gateway.ask(limit, from("192.0.2.2")) == 429);
  }
  SUBCASE("a header") {
    const auto limit = once(R"({"header": "X-Tenant"})");
    const auto tenant = [](std::string_view name) {
      return [name](FakeCall& call) { call.field("x-TENANT", name); };
    };
    CHECK(gateway.ask(limit, tenant("a")) == 200);
    CHECK(gateway.ask(limit, tenant("a")) == 429);
    CHECK(gateway.ask(limit, tenant("b")) == 200);
    CHECK(gateway.ask(limit, tenant(std::string(60'000, 'x'))) == 200);
    CHECK(gateway.ask(limit, tenant(std::string(60'000, 'x'))) == 429);
  }
  SUBCASE("a claim") {
    const auto limit = once(R"({"claim": "org"})");
    Token token;
    const auto org = [&token](const std::string& name) {
      return [&token, name](FakeCall& call) {
        token.values["org"] = name;
        call.set_claims(token);
      };
    };
    CHECK(gateway.ask(limit, org("a")) == 200);
    CHECK(gateway.ask(limit, org("a")) == 429);
    CHECK(gateway.ask(limit, org("b")) == 200);
  }
  SUBCASE("without its key, or with two of them, a request counts under its address") {
    const auto limit = once(R"({"header": "X-Tenant"})");
    CHECK(gateway.ask(limit) == 200);
    CHECK(gateway.ask(limit) == 429);
    CHECK(gateway.ask(limit, [](FakeCall& call) { call.field("X-Tenant", ""); }) == 429);
    CHECK(gateway.ask(limit, [](FakeCall& call) {
      call.field("X-Tenant", "a").field("X-Tenant", "b");
    }) == 429);
    // Nobody can write an address into the header to use up another's.
    const std::string address("\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\7", 16);
    CHECK(gateway.ask(limit, [&](FakeCall& call) { call.field("X-Tenant", address); }) == 200);
  }
}

TEST_CASE("rate_limit: of several limits the tightest is told, of the draft's fields all") {
  Gateway gateway;
  FakeCall call(gateway.shared(), gateway.loop());
  const auto wide = make(R"({"rate_limit": {"rate": 100, "per": "1m", "key": "route"}})");
  const auto tight = make(R"({"rate_limit": {"rate": 7}})");
  const auto equal = make(R"({"rate_limit": {"rate": 7, "per": "1m", "key": "user"}})");
  void* states[3] = {};
  const FilterPtr chain[] = {wide, tight, equal};
  for (int i = 0; i < 3; ++i) {
    call.state() = nullptr;
    CHECK(call.run(chain[i]) == Step::kNext);
    states[i] = call.state();
  }
  // What the service says of limits of its own is not the gateway's word.
  call.response_field("ratelimit-limit", "1").response_field("RateLimit", "x;r=1");
  call.response_field("RateLimit-Other", "kept");
  for (int i = 2; i >= 0; --i) {
    call.state() = states[i];
    chain[i]->on_response(call);
  }
  CHECK(
      FakeCall::list(call.response().fields) ==
      Lines{
          "RateLimit-Other: kept", "RateLimit-Limit: 7", "RateLimit-Remaining: 6",
          "RateLimit-Reset: 9",
          R"(RateLimit-Policy: "route-1m";q=100;w=60, "client_ip-1s";q=7;w=1, "user-1m";q=7;w=60)",
          R"(RateLimit: "route-1m";r=99;t=1, "client_ip-1s";r=6;t=1, "user-1m";r=6;t=9)"});
}

TEST_CASE("rate_limit: what another filter takes away is told anew, and harms nobody") {
  Gateway gateway;
  const auto limit = make(R"({"rate_limit": {"rate": 7}})");
  for (const char* name : {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
                           "RateLimit-Policy", "RateLimit"}) {
    FakeCall call(gateway.shared(), gateway.loop());
    call.client("192.0.2." + std::to_string(std::string(name).size()));
    CHECK(call.run(limit) == Step::kNext);
    limit->on_response(call);
    call.response().fields.remove(name);
    limit->on_response(call);
    CHECK(call.response().fields.size() == 5);
  }
}

TEST_CASE("rate_limit: a limit goes on where it stood, unless it or its place changed") {
  Gateway gateway;
  const auto at = [](const std::string& owner, const std::string& path, const std::string& text) {
    FilterPtr filter;
    lictor::read_json(text, lictor::JsonComments::kNo, [&](const lictor::JsonValue& root) {
      lictor::JsonValue config = root;
      root.read_map(1, [&](const std::string& name, const lictor::JsonValue& value) {
        lictor::FilterContext context;
        context.owner = owner + path;
        filter = lictor::make_filter(name, value, context);
      });
    });
    return filter;
  };
  const std::string text = R"({"rate_limit": {"rate": 1, "per": "1h"}})";
  CHECK(gateway.ask(at("routes/a", "[0]", text)) == 200);
  CHECK(gateway.ask(at("routes/a", "[0]", text)) == 429);
  CHECK(gateway.ask(at("routes/a", "[0]",
                       R"({"rate_limit": {"key": "client_ip", "per": "60m", "rate": 1}})")) == 429);
  CHECK(gateway.ask(at("routes/b", "[0]", text)) == 200);
  CHECK(gateway.ask(at("routes/a", "[1]", text)) == 200);
  CHECK(gateway.ask(at("routes/a", "[0]", R"({"rate_limit": {"rate": 2, "per": "1h"}})")) == 200);
}

TEST_CASE("what is wrong with rate_limit") {
  const auto wrong = [](const std::string& members) {
    return problem_of(R"({"rate_limit": {)" + members + "}}");
  };
  CHECK(wrong("") == "$.rate_limit: rate is missing: how many requests in each per?");
  CHECK(wrong(R"("rate": 0)") == "$.rate_limit.rate: must be a whole number from 1 to 1000000");
  CHECK(wrong(R"("rate": 1.5)") == "$.rate_limit.rate: must be a whole number from 1 to 1000000");
  CHECK(wrong(R"("rate": -1)") == "$.rate_limit.rate: must be a whole number from 1 to 1000000");
  CHECK(wrong(R"("rate": 1000000, "per": "1ms")") ==
        "$.rate_limit.rate: is more than 1000000 requests a second");
  CHECK(wrong(R"("rate": 1, "per": "0s")") ==
        "$.rate_limit.per: must be a duration from 1ms to 720h");
  CHECK(wrong(R"("rate": 1, "burst": 0)") ==
        "$.rate_limit.burst: must be a whole number from 1 to 1000000");
  CHECK(wrong(R"("rate": 1, "per": "720h", "burst": 1000000)") ==
        "$.rate_limit.burst: would take more than a year to come back");
  CHECK(wrong(R"("rate": 1, "brust": 2)") ==
        R"($.rate_limit.brust: unknown key (did you mean "burst"?))");
  CHECK(wrong(R"("rate": 1, "key": "ip")").starts_with("$.rate_limit.key: must be "));
  CHECK(wrong(R"("rate": 1, "key": "usr")").ends_with(R"(did you mean "user"?))"));
  CHECK(wrong(R"("rate": 1, "key": {"header": "a b"})") ==
        R"($.rate_limit.key.header: "a b" is not a header name)");
  CHECK(wrong(R"("rate": 1, "key": {"header": "a", "claim": "b"})")
            .starts_with("$.rate_limit.key: must be "));
  CHECK(wrong(R"("rate": 1, "key": {})").starts_with("$.rate_limit.key: must be "));
  CHECK(wrong(R"("rate": 1, "key": 7)").starts_with("$.rate_limit.key: must be "));
}
