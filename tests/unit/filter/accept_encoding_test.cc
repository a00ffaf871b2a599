#include "filter/accept_encoding.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

using lictor::choose_coding;
using lictor::Coding;

namespace {

std::string chosen(const std::vector<std::string>& values) {
  constexpr std::array kOffered = {Coding::kZstd, Coding::kBrotli, Coding::kGzip};
  lictor::Arena arena;
  lictor::Fields fields;
  for (const auto& value : values) fields.add(arena, "Accept-Encoding", value);
  const auto coding = choose_coding(fields, kOffered);
  return coding ? std::string(coding_name(*coding)) : "none";
}

}  // namespace

TEST_CASE("Accept-Encoding: the client's weights, then the gateway's order") {
  struct Case {
    std::string value;
    std::string want;
  };
  for (const Case& one : {
           Case{"gzip", "gzip"},
           Case{"gzip, deflate, br, zstd", "zstd"},
           Case{"gzip, deflate, br", "br"},
           Case{"GZIP", "gzip"},
           Case{"x-gzip", "gzip"},
           Case{"gzip;q=1.0, br;q=0.5", "gzip"},
           Case{"br;q=0.5,gzip;q=0.8,zstd;q=0.001", "gzip"},
           Case{"gzip ; q=0.3 , br ; Q=0.4", "br"},
           Case{"*", "zstd"},
           Case{"*;q=0.1", "zstd"},
           Case{"zstd;q=0, *", "br"},
           Case{"gzip, *;q=0", "gzip"},
           Case{"gzip;q=0.000", "none"},
           Case{"*;q=0", "none"},
           Case{"identity;q=0, gzip;q=0.1", "gzip"},
           Case{"identity, gzip;q=0.5", "none"},
           Case{"identity;q=0.5, gzip;q=0.5", "gzip"},
           Case{"identity", "none"},
           Case{"", "none"},
           Case{"deflate, compress", "none"},
           Case{"gzipped, brr", "none"},
           // Malformed weights are no wish.
           Case{"gzip;q=2", "none"},
           Case{"gzip;q=1.001", "none"},
           Case{"gzip;q=0.1234", "none"},
           Case{"gzip;q=-1", "none"},
           Case{"gzip;q=", "none"},
           Case{"gzip;q=.5", "none"},
           Case{"gzip;level=9", "none"},
           Case{"gzip;", "none"},
           Case{",,;;==, gzip", "gzip"},
       }) {
    CAPTURE(one.value);
    CHECK(chosen({one.value}) == one.want);
  }
  CHECK(chosen({}) == "none");
  CHECK(chosen({"gzip;q=0.5", "br;q=0.6"}) == "br");
}
