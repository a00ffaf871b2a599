#include "base/json.h"

#include <doctest/doctest.h>

#include <functional>

using lictor::did_you_mean;
using lictor::JsonComments;
using lictor::JsonObject;
using lictor::JsonValue;
using lictor::Millis;
using lictor::Problems;

namespace {

Problems read(std::string_view text, const std::function<void(JsonObject&)>& reader,
              JsonComments comments = JsonComments::kNo) {
  return lictor::read_json(text, comments,
                           [&](const JsonValue& root) { root.read_object(reader); });
}

// The first problem as people see it; empty when there is none.
std::string first(const Problems& problems) {
  return problems.empty() ? std::string() : problems.front().to_string();
}

std::string syntax(std::string_view text) {
  return first(lictor::read_json(text, JsonComments::kNo, [](const JsonValue&) {}));
}

}  // namespace

TEST_CASE("each type of value is read, and its default stays when it is absent or wrong") {
  std::string text = "default";
  bool flag = false;
  uint32_t whole = 1;
  double number = 0.5;
  Millis duration{5};
  uint64_t size = 7;
  int choice = 0;
  const auto reader = [&](JsonObject& object) {
    object.text("text", text);
    object.flag("flag", flag);
    object.whole("whole", whole, 1, 100);
    object.number("number", number, 0, 1);
    object.duration("duration", duration, Millis{1}, Millis{60'000});
    object.size("size", size, 0, 4096);
    object.choice("choice", choice, {{"one", 1}, {"two", 2}});
  };
  CHECK(read("{}", reader).empty());
  CHECK(text == "default");
  CHECK(read(R"({"text": "t", "flag": true, "whole": 100, "number": 1, "duration": "1s",
                 "size": "4KiB", "choice": "two"})",
             reader)
            .empty());
  CHECK(text == "t");
  CHECK(flag);
  CHECK(whole == 100);
  CHECK(number == 1.0);
  CHECK(duration == Millis{1'000});
  CHECK(size == 4096);
  CHECK(choice == 2);
  const auto problems = read(R"({"text": 1, "flag": "yes", "whole": 101, "number": -0.1,
                                 "duration": 5, "size": 4097, "choice": "twoo"})",
                             reader);
  REQUIRE(problems.size() == 7);
  CHECK(problems[0].to_string() == "$.text: must be a string, not a number");
  CHECK(problems[1].to_string() == "$.flag: must be true or false, not a string");
  CHECK(problems[2].to_string() == "$.whole: must be a whole number from 1 to 100");
  CHECK(problems[3].to_string() == "$.number: must be a number from 0.0 to 1.0");
  CHECK(problems[4].to_string() ==
        R"($.duration: must be a duration such as "250ms", "10s" or "1m30s")");
  CHECK(problems[5].to_string() == "$.size: must be a size from 0 to 4096 bytes");
  CHECK(problems[6].to_string() ==
        R"($.choice: "twoo" is not one of "one", "two" (did you mean "two"?))");
  CHECK(whole == 100);
}

TEST_CASE("whole numbers are whole, and never overflow") {
  uint32_t whole = 7;
  const auto reader = [&](JsonObject& object) { object.whole("n", whole); };
  for (const auto* text : {"-1", "1.0", "1e3", "1.5", "4294967296", "18446744073709551616",
                           "99999999999999999999999999", "\"1\"", "null", "true", "[]"}) {
    CAPTURE(text);
    CHECK(first(read(std::string(R"({"n": )") + text + "}", reader)) ==
          "$.n: must be a whole number from 0 to 4294967295");
    CHECK(whole == 7);
  }
  CHECK(syntax(R"({"n": 1e999})").find("number overflow") != std::string::npos);
}

TEST_CASE("signed numbers keep their bounds") {
  int64_t value = 0;
  const auto reader = [&](JsonObject& object) { object.find("n")->read_signed(value, -5, 5); };
  CHECK(read(R"({"n": -5})", reader).empty());
  CHECK(value == -5);
  for (const auto* text : {"-6", "6", "18446744073709551615", "0.5"}) {
    CHECK(first(read(std::string(R"({"n": )") + text + "}", reader)) ==
          "$.n: must be a whole number from -5 to 5");
  }
}

TEST_CASE(
    "unknown keys are problems, ahead of what else is wrong, with a suggestion when one is close") {
  const auto reader = [](JsonObject& object) {
    std::string text;
    object.text("service", text);
    object.text("path", text);
    if (!object.has("path")) object.fail("path is missing");
  };
  const auto problems = read(R"({"paht": "/x", "other": 1})", reader);
  REQUIRE(problems.size() == 3);
  CHECK(problems[0].to_string() == "$.other: unknown key");
  CHECK(problems[1].to_string() == R"($.paht: unknown key (did you mean "path"?))");
  CHECK(problems[2].to_string() == "$: path is missing");
}

TEST_CASE("suggestions are close ones only") {
  const std::vector<std::string_view> known{"service", "services", "timeout", "path", "on"};
  CHECK(did_you_mean("servcie", known) == R"( (did you mean "service"?))");
  CHECK(did_you_mean("Timeout", known) == R"( (did you mean "timeout"?))");
  CHECK(did_you_mean("time_out", known) == R"( (did you mean "timeout"?))");
  CHECK(did_you_mean("paths", known) == R"( (did you mean "path"?))");
  CHECK(did_you_mean("x", known) == "");
  CHECK(did_you_mean("", known) == "");
  CHECK(did_you_mean("hosts", known) == "");
  CHECK(did_you_mean(std::string(100'000, 'a'), known) == "");
}

TEST_CASE("paths name the place") {
  const auto reader = [](JsonObject& object) {
    object.array("list", 0, 9, [](const JsonValue& item) {
      item.read_object([](JsonObject& one) {
        one.map("x-map", 9, [](const std::string&, const JsonValue& value) {
          std::string text;
          value.read_text(text);
        });
      });
    });
  };
  CHECK(first(read(R"({"list": [{}, {"x-map": {"a.b": "fine", "c\"d": 5}}]})", reader)) ==
        R"($.list[1]["x-map"]["c\"d"]: must be a string, not a number)");
}

TEST_CASE("the wrong kind of container is a problem, not a crash") {
  const auto reader = [](JsonObject& object) {
    object.object("o", [](JsonObject&) {});
    object.array("a", 1, 2, [](const JsonValue&) {});
    object.map("m", 1, [](const std::string&, const JsonValue&) {});
  };
  const auto problems = read(R"({"o": [], "a": {}, "m": "x"})", reader);
  REQUIRE(problems.size() == 3);
  CHECK(problems[0].to_string() == "$.o: must be an object, not an array");
  CHECK(problems[1].to_string() == "$.a: must be an array, not an object");
  CHECK(problems[2].to_string() == "$.m: must be an object, not a string");
  CHECK(first(read(R"({"a": [1, 2, 3]})", reader)) == "$.a: must have 1 to 2 elements, not 3");
  CHECK(first(read(R"({"a": []})", reader)) == "$.a: must have 1 to 2 elements, not 0");
  CHECK(first(read(R"({"m": {"a": 1, "b": 2}})", reader)) ==
        "$.m: must have at most 1 keys, not 2");
  for (const auto* root : {"[]", "null", "1", "\"x\"", "true"}) {
    CHECK(first(read(root, reader)).starts_with("$: must be an object, not "));
  }
}

TEST_CASE("control characters don't get into strings, but where they are meant") {
  std::string text;
  const auto reader = [&](JsonObject& object) { object.text("t", text); };
  CHECK(first(read(R"({"t": "a\u0000b"})", reader)) == "$.t: must not have control characters");
  CHECK(first(read(R"({"t": "a\nb"})", reader)) == "$.t: must not have control characters");
  CHECK(read(R"({"t": "caf\u00e9"})", reader).empty());
  CHECK(read(R"({"b": "a\nb"})", [&](JsonObject& object) {
          object.find("b")->read_text(text);
        }).empty());
  CHECK(text == "a\nb");
}

TEST_CASE("duplicate keys are problems, each where it is") {
  const auto problems =
      read(R"({"a": 1, "a": 2, "b": [{"c": 1, "c": 1}], "d": {"e": {"e": 1, "e": 2}}})",
           [](JsonObject& object) {
             for (const auto* key : {"a", "b", "d"}) object.find(key);
           });
  REQUIRE(problems.size() == 3);
  CHECK(problems[0].to_string() == "$.a: duplicate key");
  CHECK(problems[1].to_string() == "$.b[0].c: duplicate key");
  CHECK(problems[2].to_string() == "$.d.e.e: duplicate key");
}

TEST_CASE("syntax errors give line and column") {
  CHECK(syntax("{\n  \"a\": 1,\n  }").starts_with("$: line 3, column 3: syntax error"));
  CHECK(syntax("{\"path\": ").starts_with("$: line 1, column 10: syntax error"));
  CHECK(syntax("").starts_with("$: line 1, column 1: syntax error"));
  CHECK(syntax("{} x").starts_with("$: line 1, column 4: syntax error"));
  CHECK(syntax("{\"a\": 'x'}").starts_with("$: line 1, column 7: syntax error"));
  CHECK(syntax("{\"a\": 01}").starts_with("$: line 1, column 8: syntax error"));
  CHECK(syntax("{\"a\": NaN}").starts_with("$: line 1, column 7: syntax error"));
  CHECK(syntax("[1,]").starts_with("$: line 1, column 4: syntax error"));
}

TEST_CASE("invalid UTF-8 is a syntax error, told in valid UTF-8 on one line") {
  for (const std::string_view bytes :
       {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82"}) {
    const std::string error = syntax("{\"a\": \"" + std::string(bytes) + "\"}");
    CHECK(error.starts_with("$: line 1, column "));
    CHECK(error.find('\n') == std::string::npos);
    CHECK(error.find(bytes.substr(0, 1)) == std::string::npos);
  }
  CHECK(syntax("{\"a\": \"x\ny\"}").find('\n') == std::string::npos);
  CHECK(syntax(R"({"a": "\ud800"})").starts_with("$: line 1"));
}

TEST_CASE("comments are for those who ask") {
  const std::string_view text = "{ // what\n \"a\": 1 // more\n}";
  const auto reader = [](JsonObject& object) { object.find("a"); };
  CHECK(read(text, reader, JsonComments::kYes).empty());
  CHECK(first(read(text, reader)).starts_with("$: line 1, column 3: syntax error"));
}

TEST_CASE("depth has a bound, on arrays and objects") {
  const auto nested = [](size_t depth, const std::string& open, const std::string& close) {
    std::string text;
    for (size_t i = 0; i < depth; ++i) text += open;
    text += "1";
    for (size_t i = 0; i < depth; ++i) text += close;
    return text;
  };
  CHECK(syntax(nested(lictor::kMaxDocumentDepth, "[", "]")) == "");
  CHECK(syntax(nested(lictor::kMaxDocumentDepth + 1, "[", "]"))
            .find("nested deeper than 32 levels") != std::string::npos);
  CHECK(syntax(nested(100'000, "[", "]")).find("nested deeper") != std::string::npos);
  CHECK(syntax(nested(100'000, "{\"a\":", "}")).find("nested deeper") != std::string::npos);
}

TEST_CASE("size has a bound") {
  const std::string fits = "\"" + std::string(lictor::kMaxDocumentBytes - 2, 'a') + "\"";
  CHECK(syntax(fits) == "");
  CHECK(syntax(fits + " ") == "$: larger than 1 MiB");
}

TEST_CASE("the number of problems has a bound") {
  std::string text = "{";
  for (int i = 0; i < 20'000; ++i) text += "\"key" + std::to_string(i) + "\": 1, ";
  text += "\"last\": 1}";
  CHECK(read(text, [](JsonObject& object) { object.find("last"); }).size() == lictor::kMaxProblems);
  std::string twice = "{";
  for (int i = 0; i < 20'000; ++i) twice += "\"a\": 1, ";
  twice += "\"a\": 1}";
  CHECK(read(twice, [](JsonObject& object) { object.find("a"); }).size() <= lictor::kMaxProblems);
}

TEST_CASE("null is absent only where it is said to be") {
  std::string text = "default";
  CHECK(
      read(R"({"t": null})", [&](JsonObject& object) { object.text_or_null("t", text); }).empty());
  CHECK(text == "default");
  CHECK(first(read(R"({"t": null})", [&](JsonObject& object) { object.text("t", text); })) ==
        "$.t: must be a string, not null");
}

TEST_CASE("long words are cut in messages") {
  const auto reader = [](JsonObject& object) {
    int choice = 0;
    object.choice("c", choice, {{"one", 1}});
  };
  const auto error = first(read(R"({"c": ")" + std::string(5'000, 'x') + R"("})", reader));
  CHECK(error.size() < 300);
  CHECK(error.find("...") != std::string::npos);
}
