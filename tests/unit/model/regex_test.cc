#include "model/regex.h"

#include <doctest/doctest.h>

using lictor::Regex;

namespace {

std::string why_not(std::string_view pattern) {
  const auto regex = Regex::compile(pattern);
  return regex ? "valid" : regex.error();
}

}  // namespace

TEST_CASE("a regular expression is found anywhere, unless it is held to the ends") {
  const auto anywhere = *Regex::compile("v[0-9]+");
  CHECK(anywhere->matches("/v1/x"));
  CHECK(anywhere->matches("v2"));
  CHECK_FALSE(anywhere->matches("/v/x"));
  const auto whole = *Regex::compile("^v[0-9]+$");
  CHECK(whole->matches("v2"));
  CHECK_FALSE(whole->matches("v2/"));
  CHECK_FALSE(whole->matches(""));
  CHECK((*Regex::compile("(?i)^/API/"))->matches("/api/x"));
}

TEST_CASE("named groups are captures, in their order") {
  const auto regex = *Regex::compile("^/(?P<year>[0-9]{4})/([a-z]+)/(?P<day>[0-9]+)?");
  CHECK(regex->captures() == std::vector<std::string>{"year", "day"});
  Regex::Values values;
  REQUIRE(regex->matches("/2024/may/7/x", values));
  CHECK(values[0] == "2024");
  CHECK(values[1] == "7");
  REQUIRE(regex->matches("/2024/may/", values));
  CHECK(values[1].empty());
  values[0] = "kept";
  CHECK_FALSE(regex->matches("/24/may/", values));
  CHECK(values[0] == "kept");
}

TEST_CASE("a pattern is refused with RE2's reason, and when it is too large") {
  CHECK(why_not("") == "an empty regular expression");
  CHECK(why_not("a(b") == "not a regular expression in RE2's syntax: missing ): a(b");
  CHECK(why_not("*a").starts_with(
      "not a regular expression in RE2's syntax: no argument for repetition operator"));
  CHECK(why_not("(a)\\1").find("invalid escape sequence") != std::string::npos);
  CHECK(why_not(std::string(1025, 'a')) == "a regular expression has at most 1024 bytes");
  CHECK(why_not(std::string(1024, 'a')) == "valid");
  CHECK(why_not("((a{100}){100}){100}").find("RE2") != std::string::npos);
  CHECK(why_not("(\\pL{500}){2}").find("too large") != std::string::npos);
  std::string groups;
  for (int i = 0; i < 17; ++i) groups += "(?P<g" + std::to_string(i) + ">a)";
  CHECK(why_not(groups) == "a regular expression has at most 16 named groups");
  groups.clear();
  for (int i = 0; i < 32; ++i) groups += "(a)";
  CHECK(why_not(groups) == "a regular expression has at most 31 groups: (?:...) makes none");
}

TEST_CASE("a hostile text costs its length") {
  const auto regex = *Regex::compile("(a+)+$");
  CHECK_FALSE(regex->matches(std::string(60'000, 'a') + "b"));
}
