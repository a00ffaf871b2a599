#include "filter/redis_link.h"

#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "fake_transport.h"
#include "filter/redis_links.h"
#include "io/manual_clock.h"

using lictor::Loop;
using lictor::Millis;
using lictor::RateLimit;
using lictor::RedisHealth;
using lictor::RedisLink;
using lictor::RedisTarget;
using lictor::SocketAddress;
using lictor::TransportUser;
using lictor::testing::FakeTransport;
using lictor::testing::ManualLoop;

namespace {

constexpr RateLimit kLimit{333'333'333, 999'999'999};
constexpr const char* kLoaded = "$6\r\nscript\r\n";

struct Waiting final : RedisLink::Asker {
  std::string heard;  // "" = nothing yet
  std::function<void()> then;
  void on_answer(std::optional<RedisLink::Answer> answer) override {
    heard =
        !answer ? "alone" : (answer->allowed ? "yes " : "no ") + std::to_string(answer->full_ns);
    if (then) then();
  }
};

// A link, and the Redis at the other end of each connection it makes.
struct Bench {
  explicit Bench(RedisTarget target = {"192.0.2.9", 6379, "", "", 0}) {
    lictor::log::set_level(lictor::log::Level::kOff);
    link =
        std::make_unique<RedisLink>(*loop, std::move(target), health,
                                    [this](Loop& its, const SocketAddress&, TransportUser* user) {
                                      FakeTransport& made = connections.emplace_back(its);
                                      made.set_user(user);
                                      return made.handle();
                                    });
  }
  ~Bench() { lictor::log::set_level(lictor::log::Level::kInfo); }

  bool ask(Waiting& asker, const char* key = "k") {
    const bool asked = link->ask(asker, key, kLimit, Millis(50));
    loop->end_turn();
    return asked;
  }
  FakeTransport& redis() { return connections.back(); }
  // One that is up, with nothing said.
  void up() {
    Waiting first;
    CHECK(ask(first));
    redis().receive(kLoaded);
    redis().receive(":1\r\n");
    CHECK(first.heard == "yes 1000");
    redis().sent();
  }
  void pass(uint64_t ms) {
    loop.pass(ms);
    loop->end_turn();
  }

  ManualLoop loop;
  std::shared_ptr<RedisHealth> health = std::make_shared<RedisHealth>();
  std::deque<FakeTransport> connections;
  std::unique_ptr<RedisLink> link;
};

std::string bulk(const std::string& text) {
  return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
}
std::string evalsha(const std::string& key) {
  return "*6\r\n" + bulk("EVALSHA") + bulk("script") + bulk("1") + bulk(key) + bulk("333333.333") +
         bulk("999999.999");
}

}  // namespace

TEST_CASE("a link connects when it is asked, and who asks first waits for it") {
  Bench bench;
  CHECK(bench.connections.empty());
  Waiting one;
  Waiting two;
  CHECK(bench.ask(one, "a"));
  CHECK(bench.ask(two, "b"));
  REQUIRE(bench.connections.size() == 1);
  CHECK(bench.redis().sent().starts_with("*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n"));
  bench.redis().receive(kLoaded);
  CHECK(bench.redis().sent() == evalsha("a") + evalsha("b"));
  bench.redis().receive(":66666");
  CHECK(one.heard.empty());
  bench.redis().receive("6\r\n:-333334\r\n");
  CHECK(one.heard == "yes 666666000");
  CHECK(two.heard == "no 333333000");
}

TEST_CASE("passwords and databases come first") {
  SUBCASE("a password") {
    Bench bench({"192.0.2.9", 6379, "", "pass", 2});
    Waiting one;
    CHECK(bench.ask(one));
    CHECK(bench.redis().sent().starts_with("*2\r\n" + bulk("AUTH") + bulk("pass") + "*2\r\n" +
                                           bulk("SELECT") + bulk("2") + "*3\r\n" + bulk("SCRIPT")));
    bench.redis().receive("+OK\r\n+OK\r\n" + std::string(kLoaded));
    CHECK(bench.redis().sent() == evalsha("k"));
  }
  SUBCASE("a user") {
    Bench bench({"192.0.2.9", 6379, "ann", "pa\r\nss", 0});
    Waiting one;
    CHECK(bench.ask(one));
    CHECK(
        bench.redis().sent().starts_with("*3\r\n" + bulk("AUTH") + bulk("ann") + bulk("pa\r\nss")));
  }
  SUBCASE("that are refused") {
    Bench bench({"192.0.2.9", 6379, "", "pass", 0});
    Waiting one;
    CHECK(bench.ask(one));
    bench.redis().receive("-WRONGPASS no\r\n");
    CHECK(one.heard == "alone");
    CHECK_FALSE(bench.redis().open());
    CHECK(bench.health->links_away == 1);
  }
}

TEST_CASE("a script that Redis has forgotten is sent whole") {
  Bench bench;
  bench.up();
  Waiting one;
  Waiting two;
  CHECK(bench.ask(one, "a"));
  CHECK(bench.ask(two, "b"));
  bench.redis().sent();
  bench.redis().receive("-NOSCRIPT No matching script\r\n");
  CHECK(bench.redis().sent().starts_with("*6\r\n$4\r\nEVAL\r\n"));
  bench.redis().receive(":5\r\n:7\r\n");
  CHECK(two.heard == "yes 5000");
  CHECK(one.heard == "yes 7000");
}

TEST_CASE("who waits in vain counts alone, and nobody waits after him until Redis has caught up") {
  Bench bench;
  bench.up();
  Waiting one;
  Waiting two;
  CHECK(bench.ask(one));
  bench.pass(49);
  CHECK(one.heard.empty());
  bench.pass(10);
  CHECK(one.heard == "alone");
  CHECK(bench.health->links_away == 1);
  CHECK_FALSE(bench.ask(two));
  SUBCASE("which it does") {
    bench.redis().receive(":5\r\n");
    CHECK(bench.ask(two));
    bench.redis().receive(":6\r\n");
    CHECK(two.heard == "yes 6000");
    CHECK(bench.connections.size() == 1);
    CHECK(bench.health->links_away == 1);
    bench.pass(1'010);
    CHECK(bench.health->links_away == 0);
  }
  SUBCASE("or never does: then it is another connection") {
    bench.pass(1'010);
    CHECK_FALSE(bench.redis().open());
    CHECK_FALSE(bench.ask(two));
    bench.pass(110);
    REQUIRE(bench.connections.size() == 2);
    CHECK_FALSE(bench.ask(two));
    bench.redis().receive(kLoaded);
    CHECK(bench.ask(two));
    bench.redis().receive(":6\r\n");
    bench.pass(1'010);
    CHECK(bench.health->links_away == 0);
  }
}

TEST_CASE("a connection that breaks tells all who wait; new ones come after growing pauses") {
  Bench bench;
  bench.up();
  Waiting one;
  Waiting two;
  Waiting again;
  // Who is told may ask again, and may take others with him.
  auto other = std::make_unique<Waiting>();
  one.then = [&] {
    CHECK_FALSE(bench.ask(again));
    other.reset();
  };
  CHECK(bench.ask(one));
  CHECK(bench.ask(*other));
  CHECK(bench.ask(two));
  bench.redis().fail("connection refused");
  CHECK(one.heard == "alone");
  CHECK(two.heard == "alone");
  std::vector<uint64_t> pauses;
  for (int i = 0; i < 8; ++i) {
    const size_t before = bench.connections.size();
    uint64_t waited = 0;
    for (; bench.connections.size() == before && waited < 10'000; waited += 50) {
      bench.ask(again);
      bench.pass(50);
    }
    pauses.push_back(waited);
    bench.redis().fail("connection refused");
  }
  CHECK(pauses.front() <= 150);
  CHECK(pauses[3] >= 750);
  CHECK(pauses.back() >= 4'950);
  CHECK(pauses.back() <= 5'100);
}

TEST_CASE("while Redis is away nobody waits, also not for a connection that is tried") {
  Bench bench;
  Waiting one;
  CHECK(bench.ask(one));
  bench.redis().fail("connection refused");
  CHECK(one.heard == "alone");
  bench.pass(110);
  CHECK(bench.connections.size() == 2);
  CHECK_FALSE(bench.ask(one));
}

TEST_CASE("a Redis that accepts and says nothing is away") {
  Bench bench;
  Waiting one;
  CHECK(bench.ask(one));
  bench.pass(60);
  CHECK(one.heard == "alone");
  CHECK_FALSE(bench.ask(one));
  bench.pass(1'000);
  CHECK_FALSE(bench.redis().open());
}

TEST_CASE("who left gets no answer, and others theirs") {
  Bench bench;
  bench.up();
  Waiting one;
  CHECK(bench.ask(one, "a"));
  {
    Waiting gone;
    CHECK(bench.ask(gone, "b"));
  }
  Waiting two;
  CHECK(bench.ask(two, "c"));
  bench.redis().receive(":1\r\n:2\r\n:3\r\n");
  CHECK(one.heard == "yes 1000");
  CHECK(two.heard == "yes 3000");
  bench.pass(100);
  CHECK(bench.health->links_away == 0);
}

TEST_CASE("those who left while it connected are not asked for") {
  Bench bench;
  auto gone = std::make_unique<Waiting>();
  Waiting one;
  CHECK(bench.ask(*gone, "a"));
  CHECK(bench.ask(one, "b"));
  gone.reset();
  bench.redis().sent();
  bench.redis().receive(kLoaded);
  CHECK(bench.redis().sent() == evalsha("b"));
  bench.redis().receive(":1\r\n");
  CHECK(one.heard == "yes 1000");
}

TEST_CASE("errors of Redis count alone, and the connection stays") {
  Bench bench;
  bench.up();
  Waiting one;
  CHECK(bench.ask(one));
  bench.redis().receive("-READONLY You can't write against a read only replica.\r\n");
  CHECK(one.heard == "alone");
  CHECK(bench.health->links_away == 1);
  Waiting two;
  CHECK(bench.ask(two));
  bench.redis().receive(":1\r\n");
  CHECK(two.heard == "yes 1000");
  // Trouble that comes and goes is told once.
  for (int i = 0; i < 20; ++i) {
    CHECK(bench.ask(one));
    bench.redis().receive(i % 2 == 0 ? "-OOM\r\n" : ":1\r\n");
    bench.pass(100);
    CHECK(bench.health->links_away == 1);
  }
  bench.pass(1'010);
  CHECK(bench.health->links_away == 0);
}

TEST_CASE("what no Redis would say ends the connection") {
  for (const std::string nonsense :
       {"*1000000000\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", ":x\r\n", "$-5\r\n", ":1\r\n:2\r\n",
        "$100000000\r\n", "\r\n", "%1\r\n"}) {
    Bench bench;
    bench.up();
    Waiting one;
    CHECK(bench.ask(one));
    bench.redis().receive(nonsense);
    if (nonsense.starts_with("$1")) bench.redis().receive(std::string(70'000, 'x'));
    CHECK_MESSAGE(!bench.redis().open(), nonsense);
    CHECK(!one.heard.empty());
  }
}

TEST_CASE("numbers out of their range do no harm") {
  Bench bench;
  bench.up();
  Waiting one;
  CHECK(bench.ask(one));
  bench.redis().receive(":9223372036854775807\r\n");
  CHECK(one.heard == "yes 999999000");
  CHECK(bench.ask(one));
  bench.redis().receive(":-9223372036854775808\r\n");
  CHECK(one.heard == "no 999999000");
}

TEST_CASE("no more wait than there is room for") {
  Bench bench;
  bench.up();
  std::deque<Waiting> many(1'100);
  size_t asked = 0;
  for (Waiting& one : many) asked += bench.ask(one) ? 1 : 0;
  CHECK(asked == 1'024);
}

TEST_CASE("a connection that nobody uses is closed, and one that Redis closes idle is no trouble") {
  Bench bench;
  bench.up();
  SUBCASE("by us") {
    bench.pass(60'100);
    CHECK(bench.link->idle());
    CHECK_FALSE(bench.redis().open());
  }
  SUBCASE("by Redis") {
    bench.redis().eof();
    CHECK(bench.link->idle());
  }
  CHECK(bench.health->links_away == 0);
  Waiting one;
  CHECK(bench.ask(one));
  CHECK(bench.connections.size() == 2);
  bench.redis().receive(kLoaded);
  bench.redis().receive(":1\r\n");
  CHECK(one.heard == "yes 1000");
}

TEST_CASE("a worker has one link to each Redis, until it ends") {
  Bench bench;
  lictor::RedisLinks links([&](Loop& its, const SocketAddress&, TransportUser* user) {
    FakeTransport& made = bench.connections.emplace_back(its);
    made.set_user(user);
    return made.handle();
  });
  const RedisTarget one{"192.0.2.1", 6379, "", "", 0};
  const RedisTarget two{"192.0.2.1", 6379, "", "", 1};
  RedisLink& first = links.link(*bench.loop, one);
  Waiting asker;
  CHECK(first.ask(asker, "k", kLimit, Millis(50)));
  RedisLink& second = links.link(*bench.loop, two);
  CHECK(&first != &second);
  CHECK(&links.link(*bench.loop, one) == &first);
  links.close(*bench.loop);
  CHECK_FALSE(bench.connections.back().open());
}
