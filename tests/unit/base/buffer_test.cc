#include "base/buffer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <utility>

using lictor::Buffer;

namespace {

void append(Buffer& buffer, std::string_view text) { buffer.append(text); }

std::string text_of(const Buffer& buffer) {
  std::array<iovec, 1'024> pieces;
  std::string text;
  for (size_t i = 0, count = buffer.vectors(pieces.data(), pieces.size()); i < count; ++i) {
    text.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
  }
  return text;
}

}  // namespace

TEST_CASE("an empty buffer") {
  Buffer buffer;
  CHECK(buffer.empty());
  CHECK(buffer.front().empty());
  buffer.consume(0);
  buffer.clear();
  buffer.append(std::string_view());
  iovec piece;
  CHECK(buffer.vectors(&piece, 1) == 0);
}

TEST_CASE("bytes stay where they are while more are appended") {
  Buffer buffer;
  buffer.append(std::string_view("first"));
  const char* const at = buffer.front().data();
  for (int i = 0; i < 100; ++i) append(buffer, std::string(1'000, 'x'));
  CHECK(buffer.front().data() == at);
  CHECK(buffer.front().starts_with("first"));
}

TEST_CASE("reserve gives room in one piece, commit takes as much of it as was used") {
  Buffer buffer;
  append(buffer, std::string(16'300, 'x'));
  std::string expected(16'300, 'x');
  for (const size_t size : {size_t{50}, Buffer::kMaxReserve, size_t{1}, Buffer::kMaxReserve}) {
    char* const at = buffer.reserve(size);
    std::memset(at, 'y', size);
    buffer.commit(size / 2);
    expected += std::string(size / 2, 'y');
  }
  CHECK(buffer.size() == expected.size());
  CHECK(text_of(buffer) == expected);
}

TEST_CASE("a reservation that was not used is no byte") {
  Buffer buffer;
  buffer.reserve(100);
  CHECK(buffer.empty());
  CHECK(buffer.front().empty());
  buffer.append(std::string_view("x"));
  CHECK(text_of(buffer) == "x");
  buffer.consume(1);
  buffer.reserve(4'096);
  buffer.commit(0);
  CHECK(buffer.empty());
}

TEST_CASE("front is never empty while there are bytes") {
  Buffer buffer;
  append(buffer, std::string(16'000, 'a'));
  buffer.reserve(Buffer::kMaxReserve);
  buffer.consume(16'000);
  buffer.append(std::string_view("b"));
  CHECK(buffer.front() == "b");
}

TEST_CASE("vectors gives as many pieces as there is room for") {
  Buffer buffer;
  append(buffer, std::string(100'000, 'x'));
  std::array<iovec, 3> pieces;
  CHECK(buffer.vectors(pieces.data(), pieces.size()) == 3);
  CHECK(pieces[0].iov_base == buffer.front().data());
  CHECK(buffer.vectors(pieces.data(), 0) == 0);
}

TEST_CASE("buffers move and swap") {
  Buffer first;
  first.append(std::string_view("first"));
  Buffer second(std::move(first));
  CHECK(text_of(second) == "first");
  Buffer third;
  third.append(std::string_view("third"));
  second.swap(third);
  CHECK(text_of(second) == "third");
  third = std::move(second);
  CHECK(text_of(third) == "third");
}

// Against a string, with everything that changes a buffer.
TEST_CASE("a buffer does what a string does") {
  std::mt19937 random(3);
  Buffer buffer;
  std::string model;
  char next = 'a';
  for (int step = 0; step < 20'000; ++step) {
    const size_t size = random() % 10 == 0 ? random() % 40'000 : random() % 300;
    next = next == 'z' ? 'a' : static_cast<char>(next + 1);
    switch (random() % 4) {
      case 0:
        append(buffer, std::string(size, next));
        model.append(size, next);
        break;
      case 1: {
        const size_t part = std::min(size, Buffer::kMaxReserve);
        char* const at = buffer.reserve(part);
        const size_t used = part == 0 ? 0 : random() % (part + 1);
        std::memset(at, next, used);
        buffer.commit(used);
        model.append(used, next);
        break;
      }
      case 2: {
        const size_t part = std::min(size, model.size());
        buffer.consume(part);
        model.erase(0, part);
        break;
      }
      default: {
        const auto front = buffer.front();
        REQUIRE(front == std::string_view(model).substr(0, front.size()));
        buffer.consume(front.size());
        model.erase(0, front.size());
        break;
      }
    }
    if (model.size() > 300'000) {
      REQUIRE(text_of(buffer) == model);
      buffer.clear();
      model.clear();
    }
    REQUIRE(buffer.size() == model.size());
    REQUIRE(buffer.empty() == model.empty());
    REQUIRE(buffer.front().empty() == model.empty());
  }
  CHECK(text_of(buffer) == model);
}
