#include "base/version.h"

#include <doctest/doctest.h>

#include <algorithm>

TEST_CASE("the version has three numbers") {
  const auto version = lictor::version();
  CHECK(std::count(version.begin(), version.end(), '.') == 2);
}
