#include "base/arena.h"

#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

using lictor::Arena;

TEST_CASE("an arena that was not used holds nothing") {
  Arena arena;
  CHECK(arena.allocated() == 0);
  arena.reset();
  CHECK(arena.allocated() == 0);
}

TEST_CASE("allocations are aligned and apart") {
  Arena arena;
  std::mt19937 random(1);
  struct Piece {
    unsigned char* at;
    size_t size;
    unsigned char mark;
  };
  std::vector<Piece> pieces;
  for (int i = 0; i < 3'000; ++i) {
    const size_t align = size_t{1} << random() % 7;
    const size_t size = random() % 20 == 0 ? random() % 20'000 : random() % 100;
    auto* at = static_cast<unsigned char*>(arena.allocate(size, align));
    REQUIRE(at != nullptr);
    REQUIRE(reinterpret_cast<uintptr_t>(at) % align == 0);
    const auto mark = static_cast<unsigned char>(i);
    std::memset(at, mark, size);
    pieces.push_back({at, size, mark});
  }
  for (const auto& [at, size, mark] : pieces) {
    for (size_t i = 0; i < size; ++i) REQUIRE(at[i] == mark);
  }
}

TEST_CASE("reset keeps one block, so that a recycled arena asks for no more") {
  Arena arena;
  arena.copy("a small request");
  const size_t small = arena.allocated();
  CHECK(small == Arena::kFirstBlock);
  arena.chars(100'000);
  CHECK(arena.allocated() > 100'000);
  arena.reset();
  CHECK(arena.allocated() == small);
  arena.copy("another");
  CHECK(arena.allocated() == small);
}

TEST_CASE("copies are copies") {
  Arena arena;
  std::string text = "text";
  const auto copy = arena.copy(text);
  text[0] = 'n';
  CHECK(copy == "text");
  CHECK(arena.copy("").empty());
}

TEST_CASE("extend goes on in place when it can, and never spoils what came after") {
  Arena arena;
  const auto first = arena.copy("abc");
  const auto longer = arena.extend(first, "def");
  CHECK(longer == "abcdef");
  CHECK(longer.data() == first.data());
  const auto after = arena.copy("xyz");
  const auto longest = arena.extend(longer, "ghi");
  CHECK(longest == "abcdefghi");
  CHECK(longest.data() != longer.data());
  CHECK(after == "xyz");
  CHECK(longer == "abcdef");
  CHECK(arena.extend(longest, "").data() == longest.data());
  CHECK(arena.extend("", "new") == "new");
}

TEST_CASE("extend over the end of a block") {
  Arena arena;
  std::string expected(4'000, 'a');
  auto text = arena.copy(expected);
  for (int i = 0; i < 50; ++i) {
    text = arena.extend(text, std::string(97, static_cast<char>('b' + i % 20)));
    expected += std::string(97, static_cast<char>('b' + i % 20));
  }
  CHECK(text == expected);
}

TEST_CASE("concat joins any number of parts") {
  Arena arena;
  CHECK(arena.concat("a", std::string("b"), "", std::string_view("c")) == "abc");
  CHECK(arena.concat("", "").empty());
  CHECK(arena.concat("a", "").data() != arena.concat("a", "").data());
}

TEST_CASE("objects are made from arguments, arrays of defaults") {
  struct Point {
    int x = 7;
    int y = 8;
  };
  Arena arena;
  CHECK(arena.make<Point>(1, 2)->y == 2);
  CHECK(arena.make<Point>()->x == 7);
  const auto points = arena.array<Point>(100);
  CHECK(points.size() == 100);
  CHECK(points[99].y == 8);
}
