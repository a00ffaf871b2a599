#include "control/resolver.h"

#include <doctest/doctest.h>

#include "control/support.h"

using namespace lictor;

namespace {

struct Bench {
  Bench()
      : resolver(
            scheduler,
            [this](const std::string& name, Resolver::Answer answer) -> std::shared_ptr<void> {
              asked.push_back(name);
              last = std::move(answer);
              return std::make_shared<int>(0);
            },
            [this](const std::string& name) { changed.push_back(name); }) {}
  static IpAddress ip(const char* text) { return *IpAddress::parse(text); }

  test::ManualScheduler scheduler;
  std::vector<std::string> asked;
  std::vector<std::string> changed;
  Resolver::Answer last;
  Resolver resolver;
};

}  // namespace

TEST_CASE("a name is looked up once it is wanted, and again every 30 s") {
  Bench b;
  CHECK_FALSE(b.resolver.find("web").has_value());
  CHECK_FALSE(b.resolver.find("web").has_value());
  CHECK(b.asked.size() == 1);
  b.last({Bench::ip("10.0.0.1"), Bench::ip("10.0.0.2")});
  CHECK(b.changed.size() == 1);
  CHECK(b.resolver.find("web") == Bench::ip("10.0.0.1"));
  b.scheduler.advance(Millis(29'999));
  CHECK(b.asked.size() == 1);
  b.scheduler.advance(Millis(1));
  CHECK(b.asked.size() == 2);
}

TEST_CASE("an address that is still among the answers stays") {
  Bench b;
  (void)b.resolver.find("web");
  b.last({Bench::ip("10.0.0.1")});
  b.scheduler.advance(Resolver::kRefresh);
  b.last({Bench::ip("10.0.0.2"), Bench::ip("10.0.0.1")});
  CHECK(b.changed.size() == 2);
  CHECK(b.resolver.find("web") == Bench::ip("10.0.0.1"));
  CHECK(b.resolver.find_all("web") == std::vector{Bench::ip("10.0.0.1"), Bench::ip("10.0.0.2")});
  b.scheduler.advance(Resolver::kRefresh);
  b.last({Bench::ip("10.0.0.1"), Bench::ip("10.0.0.2")});
  CHECK(b.changed.size() == 2);  // only the order is another
  b.scheduler.advance(Resolver::kRefresh);
  b.last({Bench::ip("10.0.0.2")});
  CHECK(b.changed.size() == 3);
  CHECK(b.resolver.find("web") == Bench::ip("10.0.0.2"));
}

TEST_CASE("a failed lookup keeps the address known, or is tried again soon") {
  Bench b;
  (void)b.resolver.find("web");
  CHECK_FALSE(b.resolver.looked_up("web"));
  b.last({});
  CHECK(b.resolver.looked_up("web"));
  CHECK(b.changed.size() == 1);
  CHECK_FALSE(b.resolver.find("web").has_value());
  b.scheduler.advance(Resolver::kRetry);
  CHECK(b.asked.size() == 2);
  b.last({Bench::ip("::1")});
  b.scheduler.advance(Resolver::kRefresh);
  b.last({});
  CHECK(b.resolver.find("web") == Bench::ip("::1"));
}

TEST_CASE("a lookup that never answers is made again") {
  Bench b;
  (void)b.resolver.find("web");
  b.scheduler.advance(Resolver::kRefresh);
  CHECK(b.asked.size() == 2);
}

TEST_CASE("names nobody wants are forgotten") {
  Bench b;
  (void)b.resolver.find("web");
  b.last({Bench::ip("10.0.0.1")});
  b.resolver.keep_only({});
  CHECK(b.scheduler.armed() == 0);
  CHECK_FALSE(b.resolver.find("web").has_value());
}
