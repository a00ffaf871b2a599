#include "telemetry/exposition.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <string>

namespace lictor {
namespace {

using namespace std::string_view_literals;

std::string label(std::string_view value) {
  std::string text;
  Exposition out(text);
  out.sample({{"l", value}}, uint64_t{1});
  return text;
}

TEST_CASE("exposition: a family and its samples") {
  std::string text;
  Exposition out(text);
  out.counter("a_total", "Things.");
  out.sample({}, uint64_t{18446744073709551615U});
  out.gauge("b", "Others.");
  out.sample({{"x", "1"}, {"y", ""}}, 0.5);
  CHECK(text ==
        "# HELP a_total Things.\n# TYPE a_total counter\na_total 18446744073709551615\n"
        "# HELP b Others.\n# TYPE b gauge\nb{x=\"1\",y=\"\"} 0.5\n");
}

TEST_CASE("exposition: numbers are plain decimals") {
  const auto written = [](auto write) {
    std::string text;
    Exposition out(text);
    write(out);
    return text;
  };
  CHECK(written([](Exposition& out) { out.sample({}, 1e-7); }) == " 0.0000001\n");
  CHECK(written([](Exposition& out) { out.sample({}, 1e18); }) == " 1000000000000000000\n");
  CHECK(written([](Exposition& out) { out.sample({}, std::nan("")); }) == " 0\n");
  CHECK(written([](Exposition& out) { out.sample({}, 1e308); }).size() == 311);
  CHECK(written([](Exposition& out) { out.sample_seconds({}, 1); }) == " 0.000001\n");
  CHECK(written([](Exposition& out) { out.sample_seconds({}, 1'500'000); }) == " 1.5\n");
  CHECK(written([](Exposition& out) { out.sample_seconds({}, 10'000'000); }) == " 10\n");
  CHECK(written([](Exposition& out) { out.sample_seconds({}, UINT64_MAX); }) ==
        " 18446744073709.551615\n");
}

TEST_CASE("exposition: a histogram is cumulative and ends with sum and count") {
  std::string text;
  Exposition out(text);
  out.histogram("h", "H.");
  const std::array<uint32_t, 2> bounds = {500, 1'000'000};
  const std::array<uint64_t, 3> buckets = {1, 0, 4};
  out.sample_histogram({{"a", "b"}}, bounds, buckets, 2'500'000);
  CHECK(text ==
        "# HELP h H.\n# TYPE h histogram\n"
        "h_bucket{a=\"b\",le=\"0.0005\"} 1\nh_bucket{a=\"b\",le=\"1\"} 1\n"
        "h_bucket{a=\"b\",le=\"+Inf\"} 5\nh_sum{a=\"b\"} 2.5\nh_count{a=\"b\"} 5\n");
}

TEST_CASE("exposition: labels can't break a line and are valid UTF-8") {
  CHECK(label("plain") == "{l=\"plain\"} 1\n");
  CHECK(label("a\"b\\c\nd") == "{l=\"a\\\"b\\\\c\\nd\"} 1\n");
  CHECK(label("h\xc3\xa9") == "{l=\"h\xc3\xa9\"} 1\n");
  CHECK(label("a\xff") == "{l=\"a\xef\xbf\xbd\"} 1\n");
  CHECK(label("\xc3") == "{l=\"\xef\xbf\xbd\"} 1\n");
  CHECK(label("a\0b\r\x1b\x7f"sv) ==
        "{l=\"a\xef\xbf\xbd"
        "b\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"} 1\n");
  CHECK(label("\xc2\x85") == "{l=\"\xef\xbf\xbd\"} 1\n");  // NEL, a line end to some
}

}  // namespace
}  // namespace lictor
