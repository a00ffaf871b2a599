#include "app/event_hub.h"

#include <doctest/doctest.h>

#include "proxy/ejection.h"

using namespace lictor;

namespace {

struct Ear final : EventHub::Listener {
  void on_event(std::string_view text) override { heard.emplace_back(text); }
  std::vector<std::string> heard;
};

Instance instance(const std::string& id, Health health = Health::kPassing) {
  Instance one;
  one.id = id;
  one.address = "10.0.0.1:80";
  one.health = health;
  one.usable = health != Health::kCritical;
  return one;
}

InstanceListPtr list(std::vector<Instance> instances, const InstanceListPtr& before = nullptr) {
  return make_instance_list(std::move(instances), before.get());
}

}  // namespace

TEST_CASE("events: a change of configuration is told with its keys") {
  EventHub hub;
  Ear ear;
  REQUIRE(hub.join(ear));
  Snapshot snapshot;
  snapshot.revision = 7;
  hub.on_snapshot(snapshot, {7, 0, {"lictor/routes/a"}});
  REQUIRE(ear.heard.size() == 1);
  CHECK(ear.heard[0] ==
        "id: 1\nevent: config\ndata: {\"revision\":7,\"routes\":0,\"services\":0,"
        "\"changed\":[\"lictor/routes/a\"]}\n\n");
  hub.on_state("draining");
  CHECK(ear.heard[1] == "id: 2\nevent: state\ndata: {\"state\":\"draining\"}\n\n");
}

TEST_CASE("events: what differs between two lists, instance by instance") {
  EventHub hub;
  Ear ear;
  REQUIRE(hub.join(ear));
  const auto first = list({instance("a"), instance("b"), instance("c")});
  hub.on_instances("web", first);
  CHECK(ear.heard.size() == 3);
  ear.heard.clear();
  hub.on_instances("web", list({instance("b", Health::kCritical), instance("c"), instance("d")}));
  REQUIRE(ear.heard.size() == 3);
  CHECK(ear.heard[0].find(R"("id":"a")") != std::string::npos);
  CHECK(ear.heard[0].find(R"("change":"removed")") != std::string::npos);
  CHECK(ear.heard[1].find(R"("health":"critical")") != std::string::npos);
  CHECK(ear.heard[1].find(R"("change":"changed")") != std::string::npos);
  CHECK(ear.heard[2].find(R"("change":"added")") != std::string::npos);
}

TEST_CASE("events: an ejection and the return, once each") {
  EventHub hub;
  Ear ear;
  const auto web = list({instance("a"), instance("b")});
  hub.on_instances("web", web);
  REQUIRE(hub.join(ear));
  hub.look_for_ejections();
  CHECK(ear.heard.empty());
  eject_by_operator(*web, *web->instances[0].state);
  hub.look_for_ejections();
  hub.look_for_ejections();
  REQUIRE(ear.heard.size() == 1);
  CHECK(ear.heard[0].find("event: ejection\n") != std::string::npos);
  CHECK(ear.heard[0].find(R"("ejected":true,"by_operator":true)") != std::string::npos);
  restore_by_operator(*web, *web->instances[0].state, 1);
  hub.look_for_ejections();
  REQUIRE(ear.heard.size() == 2);
  CHECK(ear.heard[1].find(R"("ejected":false)") != std::string::npos);
}

TEST_CASE("events: there is an end to listeners, and one may leave from inside an event") {
  EventHub hub;
  struct Shy final : EventHub::Listener {
    void on_event(std::string_view) override { hub->leave(*this); }
    EventHub* hub = nullptr;
  };
  std::vector<Shy> many(EventHub::kMaxListeners);
  for (auto& one : many) {
    one.hub = &hub;
    CHECK(hub.join(one));
  }
  Ear late;
  CHECK_FALSE(hub.join(late));
  hub.on_state("ready");
  CHECK(hub.listeners() == 0);
  CHECK(hub.join(late));
}
