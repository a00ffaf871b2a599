#include "proxy/local_reply.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

using lictor::Arena;
using lictor::BodyKind;
using lictor::Error;
using lictor::Failure;
using lictor::FieldId;
using lictor::Fields;

TEST_CASE("a problem tells what went wrong, to people and programs") {
  Arena arena;
  const auto reply = lictor::make_problem({Failure::kConnectTimeout, false, "connecting took long"},
                                          "id-1", "", arena);
  CHECK(reply.head.status == 504);
  CHECK(reply.head.reason == "Gateway Timeout");
  CHECK(reply.head.body == BodyKind::kLength);
  CHECK(reply.head.length == reply.body.size());
  CHECK(reply.head.fields.get(FieldId::kContentType) == "application/problem+json");
  CHECK(reply.head.fields.find("Cache-Control")->value == "no-store");
  CHECK(reply.head.fields.find("Proxy-Status")->value ==
        "lictor; error=connection_timeout; details=\"connecting took long\"");
  CHECK(reply.head.fields.find("Allow") == nullptr);
  const auto problem = nlohmann::json::parse(reply.body);
  CHECK(problem["status"] == 504);
  CHECK(problem["code"] == "upstream_timeout");
  CHECK(problem["detail"] == "connecting took long");
  CHECK(problem["request_id"] == "id-1");
  CHECK(problem["title"] == "Upstream timeout");
}

TEST_CASE("a request id from the wire can't break the problem") {
  Arena arena;
  for (const std::string id : {"a\"b", "a\\b", "a\nb", "a\x7f", "caf\xc3\xa9", "\",\"x\":\""}) {
    const auto reply = lictor::make_problem({Failure::kNoRoute, false, "x"}, id, "", arena);
    const auto problem = nlohmann::json::parse(reply.body);
    CHECK(problem.size() == 6);
    CHECK(problem["request_id"].get<std::string>().size() == id.size());
  }
}

TEST_CASE("every failure makes a well-formed problem") {
  for (int failure = 1; failure <= static_cast<int>(Failure::kInternal); ++failure) {
    Arena arena;
    const Error error{static_cast<Failure>(failure), false, ""};
    const auto reply = lictor::make_problem(error, "id", "", arena);
    CHECK(nlohmann::json::parse(reply.body)["code"] == std::string(error.code()));
    CHECK(reply.head.fields.find("Proxy-Status")->value.starts_with("lictor; "));
  }
}

TEST_CASE("405 says what is allowed") {
  Arena arena;
  const auto reply =
      lictor::make_problem({Failure::kMethodNotAllowed, false, "x"}, "id", "GET, HEAD", arena);
  CHECK(reply.head.fields.find("Allow")->value == "GET, HEAD");
}

TEST_CASE("a filter's reply is copied, for the filter's texts may go") {
  Arena arena;
  Arena other;
  std::string name = "Name", value = "value", body = "body";
  Fields fields;
  fields.add(other, name, value);
  const auto reply = lictor::make_reply(418, fields, body, arena);
  name = value = body = "????";
  CHECK(reply.head.status == 418);
  CHECK(reply.head.fields.begin()->name == "Name");
  CHECK(reply.head.fields.begin()->value == "value");
  CHECK(reply.body == "body");
  CHECK(reply.head.length == 4);
}
