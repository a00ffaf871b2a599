#include "base/duration.h"

#include <doctest/doctest.h>

using lictor::format_duration;
using lictor::Millis;
using lictor::parse_duration;
using lictor::parse_size;

TEST_CASE("durations are read as Go reads them") {
  struct Case {
    const char* text;
    int64_t millis;
  };
  for (const auto& [text, millis] : {
           Case{"0", 0},
           Case{"0s", 0},
           Case{"250ms", 250},
           Case{"10s", 10'000},
           Case{"1m30s", 90'000},
           Case{"1h", 3'600'000},
           Case{"1.5h", 5'400'000},
           Case{".5s", 500},
           Case{"1.s", 1'000},
           Case{"0.1s", 100},
           Case{"1h2m3s4ms", 3'723'004},
           Case{"1ns", 1},
           Case{"1us", 1},
           Case{"1\u00b5s", 1},
           Case{"1\u03bcs", 1},
           Case{"1000us", 1},
           Case{"1001us", 2},
           Case{"0ns", 0},
           Case{"8760h", 31'536'000'000},
           Case{"0.000000000000000000001h", 0},
           Case{"30s30s", 60'000},
           Case{"00005s", 5'000},
       }) {
    CAPTURE(text);
    const auto duration = parse_duration(text);
    REQUIRE(duration);
    CHECK(duration->count() == millis);
  }
}

TEST_CASE("what is no duration is refused") {
  for (const std::string_view text : {"",
                                      "5",
                                      "s",
                                      ".s",
                                      "-1s",
                                      "+1s",
                                      "1 s",
                                      "1s ",
                                      " 1s",
                                      "1S",
                                      "1d",
                                      "1sec",
                                      "1s2",
                                      "1..5s",
                                      "1,5s",
                                      "1e3s",
                                      "9000h",
                                      "99999999999999999999999h",
                                      "18446744073709551616ns",
                                      "0x1s"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_duration(text));
  }
  CHECK_FALSE(parse_duration(std::string(100'000, '9') + "s"));
}

TEST_CASE("durations are written so that they read back the same") {
  struct Case {
    int64_t millis;
    const char* text;
  };
  for (const auto& [millis, text] :
       {Case{0, "0s"}, Case{7, "7ms"}, Case{999, "999ms"}, Case{1'000, "1s"}, Case{1'500, "1.5s"},
        Case{1'050, "1.05s"}, Case{90'000, "1m30s"}, Case{90'250, "1m30.25s"}, Case{600'000, "10m"},
        Case{3'600'000, "1h"}, Case{3'601'000, "1h1s"}, Case{3'660'500, "1h1m0.5s"}}) {
    CHECK(format_duration(Millis{millis}) == text);
    CHECK(parse_duration(text) == Millis{millis});
  }
}

TEST_CASE("sizes") {
  CHECK(parse_size("0") == 0);
  CHECK(parse_size("64KiB") == 65'536);
  CHECK(parse_size("10MiB") == 10'485'760);
  CHECK(parse_size("2GiB") == 2'147'483'648);
  CHECK(parse_size("64KB") == 64'000);
  CHECK(parse_size("3MB") == 3'000'000);
  CHECK(parse_size("1GB") == 1'000'000'000);
  CHECK(parse_size("17B") == 17);
  CHECK(parse_size("18446744073709551615") == UINT64_MAX);
  for (const std::string_view text :
       {"", "KiB", "-1", "+1", "1.5KiB", "64 KiB", "64kib", "64K", "64KiBs", "18446744073709551616",
        "18446744073709551615KiB", " 1", "1 "}) {
    CAPTURE(text);
    CHECK_FALSE(parse_size(text));
  }
}
