#include "model/upstream.h"

#include <doctest/doctest.h>

#include "model/snapshot.h"

using lictor::Health;
using lictor::Instance;
using lictor::make_instance_list;

namespace {

Instance instance(const std::string& node, const std::string& id, const std::string& address) {
  Instance made;
  made.node = node;
  made.id = id;
  made.address = address;
  return made;
}

}  // namespace

TEST_CASE("health has names") {
  CHECK(lictor::health_name(Health::kPassing) == "passing");
  CHECK(lictor::health_name(Health::kWarning) == "warning");
  CHECK(lictor::health_name(Health::kCritical) == "critical");
  CHECK(lictor::health_name(Health::kMaintenance) == "maintenance");
}

TEST_CASE("instance lists are sorted, unique, and keep the state of those that stay") {
  const auto first =
      make_instance_list({instance("n2", "b", "10.0.0.2:1"), instance("n1", "a", "10.0.0.1:1"),
                          instance("n1", "a", "10.0.0.1:1")},
                         nullptr);
  REQUIRE(first->instances.size() == 2);
  CHECK(first->instances[0].id == "a");
  REQUIRE(first->instances[0].state);
  REQUIRE(first->state);
  first->instances[1].state->consecutive_failures = 3;

  // One goes, one stays in another health, one is new; the same id at another address is another
  // one.
  auto stays = instance("n2", "b", "10.0.0.2:1");
  stays.health = Health::kWarning;
  const auto second = make_instance_list({stays, instance("n1", "a", "10.0.0.9:1")}, first.get());
  REQUIRE(second->instances.size() == 2);
  CHECK(second->instances[0].address == "10.0.0.9:1");
  CHECK(second->instances[0].state != first->instances[0].state);
  CHECK(second->instances[1].state == first->instances[1].state);
  CHECK(second->instances[1].state->consecutive_failures == 3);
  CHECK(second->instances[1].health == Health::kWarning);
  CHECK(second->state == first->state);
}

TEST_CASE("of duplicates the first is kept") {
  auto one = instance("n", "a", "x:1");
  one.weight = 5;
  auto two = one;
  two.weight = 9;
  const auto list = make_instance_list({one, two}, nullptr);
  REQUIRE(list->instances.size() == 1);
  CHECK(list->instances[0].weight == 5);
  CHECK(make_instance_list({}, list.get())->instances.empty());
}

TEST_CASE("snapshots find by name") {
  lictor::Snapshot snapshot;
  for (const auto* name : {"a", "c", "e"}) {
    auto route = std::make_shared<lictor::Route>();
    route->name = name;
    snapshot.routes.push_back(route);
    auto upstream = std::make_shared<lictor::Upstream>();
    upstream->service = name;
    snapshot.upstreams.push_back(upstream);
  }
  CHECK(snapshot.find_route("c") == snapshot.routes[1].get());
  CHECK(snapshot.find_route("b") == nullptr);
  CHECK(snapshot.find_route("f") == nullptr);
  CHECK(snapshot.find_upstream("e") == snapshot.upstreams[2].get());
  CHECK(snapshot.find_upstream("") == nullptr);
}
