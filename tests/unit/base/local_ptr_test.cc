#include "base/local_ptr.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

using lictor::LocalCounted;
using lictor::LocalPtr;
using lictor::make_local;

namespace {

struct Thing final : LocalCounted {
  explicit Thing(int& its_alive) : alive(its_alive) { ++alive; }
  ~Thing() { --alive; }
  int& alive;
  LocalPtr<Thing> next;
};

}  // namespace

TEST_CASE("the object goes with its last pointer") {
  int alive = 0;
  auto first = make_local<Thing>(alive);
  {
    const LocalPtr<Thing> second = first;
    CHECK(second.get() == first.get());
    first.reset();
    CHECK_FALSE(first);
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}

TEST_CASE("moving takes the pointer along") {
  int alive = 0;
  auto first = make_local<Thing>(alive);
  LocalPtr<Thing> second = std::move(first);
  CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move)
  CHECK(&second->alive == &alive);
  second = LocalPtr<Thing>();
  CHECK(alive == 0);
}

TEST_CASE("assignment lets go of what was held, and survives itself") {
  int alive = 0;
  auto pointer = make_local<Thing>(alive);
  const auto& same = pointer;
  pointer = same;
  CHECK(alive == 1);
  pointer = make_local<Thing>(alive);
  CHECK(alive == 1);
  // What is assigned may be held by what is let go of.
  pointer->next = make_local<Thing>(alive);
  pointer = pointer->next;
  CHECK(alive == 1);
}

TEST_CASE("a raw pointer may be held again") {
  int alive = 0;
  const auto first = make_local<Thing>(alive);
  {
    const LocalPtr<Thing> second(first.get());
    CHECK(alive == 1);
  }
  CHECK(alive == 1);
}
