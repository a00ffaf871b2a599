#include "telemetry/trace.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

using lictor::is_tracestate;
using lictor::parse_traceparent;
using lictor::redact_query;
using lictor::SpanKind;
using lictor::SpanQueue;
using lictor::SpanWriter;

namespace {

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kParent = "00f067aa0ba902b7";

}  // namespace

TEST_CASE("traceparent: what W3C allows") {
  for (const bool sampled : {true, false}) {
    const std::string text = "00-" + kTrace + "-" + kParent + (sampled ? "-01" : "-00");
    const auto read = parse_traceparent(text);
    REQUIRE(read);
    CHECK(read->trace_id == kTrace);
    CHECK(read->parent_id == kParent);
    CHECK(read->sampled == sampled);
  }
  CHECK(parse_traceparent("00-" + kTrace + "-" + kParent + "-03")->sampled);
  CHECK_FALSE(parse_traceparent("00-" + kTrace + "-" + kParent + "-fe")->sampled);
  // Later versions may have more.
  CHECK(parse_traceparent("cc-" + kTrace + "-" + kParent + "-01"));
  CHECK(parse_traceparent("01-" + kTrace + "-" + kParent + "-01-what-comes"));
}

TEST_CASE("traceparent: what is none") {
  for (const std::string& text : {
           std::string(),
           "00-" + kTrace + "-" + kParent + "-0",
           "00-" + kTrace + "-" + kParent + "-01-",
           "00-" + kTrace + "-" + kParent + "-01-more",
           "01-" + kTrace + "-" + kParent + "-01.more",
           "ff-" + kTrace + "-" + kParent + "-01",
           "0x-" + kTrace + "-" + kParent + "-01",
           "00-" + std::string(32, '0') + "-" + kParent + "-01",
           "00-" + kTrace + "-" + std::string(16, '0') + "-01",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-" + kParent + "-01",
           "00-" + kTrace + "-00F067AA0BA902B7-01",
           "00-" + kTrace + "-" + kParent + "-0g",
           "00_" + kTrace + "-" + kParent + "-01",
           "00-" + kTrace + "_" + kParent + "-01",
           "00-" + kTrace + "-" + kParent + "_01",
           " 0-" + kTrace + "-" + kParent + "-01",
           std::string(55, '-'),
           std::string(55, '\xff'),
       }) {
    CAPTURE(text);
    CHECK_FALSE(parse_traceparent(text));
  }
}

TEST_CASE("tracestate") {
  CHECK(is_tracestate("vendor=1"));
  CHECK(is_tracestate("a=1,b@c=x y/z , d-e_f*/g=~"));
  std::string most;
  for (int i = 0; i < 32; ++i) most += "k" + std::to_string(i) + "=v,";
  CHECK(is_tracestate(most));
  CHECK_FALSE(is_tracestate(most + "k=v"));
  for (const std::string& text :
       {std::string(), std::string(","), std::string("a"), std::string("=1"), std::string("A=1"),
        std::string("a="), std::string("a=1=2"), std::string("a b=1"), "a=" + std::string(257, 'x'),
        std::string(257, 'a') + "=1", std::string("a=\x7f")}) {
    CAPTURE(text);
    CHECK_FALSE(is_tracestate(text));
  }
}

TEST_CASE("a span is JSON, whatever its texts are") {
  const std::string hostile = std::string("\"\\\n\x01\x7f") + '\0' + "\xff\xc3\xa9\xf0\x9f\x98\x80";
  SpanWriter writer({kTrace, "b7ad6b7169203331", kParent, "v=\"1"}, SpanKind::kServer, "GET /a", 5,
                    7);
  writer.text("one", hostile);
  writer.text("none", "");
  writer.number("number", -3);
  writer.text("long", std::string(5'000, 'x'));
  const auto span = nlohmann::json::parse(writer.finish("timeout"));
  CHECK(span["traceId"] == kTrace);
  CHECK(span["spanId"] == "b7ad6b7169203331");
  CHECK(span["parentSpanId"] == kParent);
  CHECK(span["traceState"] == "v=\"1");
  CHECK(span["name"] == "GET /a");
  CHECK(span["kind"] == 2);
  CHECK(span["startTimeUnixNano"] == "5");
  CHECK(span["endTimeUnixNano"] == "7");
  CHECK(span["status"]["code"] == 2);
  REQUIRE(span["attributes"].size() == 4);
  CHECK(span["attributes"][0]["value"]["stringValue"] ==
        std::string("\"\\\n\x01\x7f") + '\0' + "\xef\xbf\xbd\xc3\xa9\xf0\x9f\x98\x80");
  CHECK(span["attributes"][1]["value"]["intValue"] == "-3");
  CHECK(span["attributes"][2]["value"]["stringValue"].get<std::string>().size() == 1'024);
  CHECK(span["attributes"][3]["key"] == "error.type");
}

TEST_CASE("a span that ended well, where a trace begins") {
  const auto span = nlohmann::json::parse(
      SpanWriter({kTrace, kParent, {}, {}}, SpanKind::kClient, "GET", 5, 4).finish({}));
  CHECK_FALSE(span.contains("parentSpanId"));
  CHECK_FALSE(span.contains("status"));
  CHECK(span["attributes"].empty());
  CHECK(span["endTimeUnixNano"] == "5");  // never before its start
}

TEST_CASE("the queue gives its oldest, and drops what is too much") {
  SpanQueue queue;
  queue.add("a");
  queue.add("b");
  queue.add("c");
  CHECK(queue.bytes() == 3);
  auto batch = queue.take(2);
  CHECK(batch.spans == "a,b");
  CHECK(batch.count == 2);
  batch = queue.take(100);
  CHECK(batch.spans == "c");
  CHECK(queue.take(100).count == 0);
  for (int i = 0; i < 10; ++i) queue.add(std::string(SpanQueue::kMaxBytes / 4, 'x'));
  CHECK(queue.bytes() == SpanQueue::kMaxBytes);
  CHECK(queue.dropped() == 6);
  queue.count_dropped(2);
  CHECK(queue.dropped() == 8);
}

TEST_CASE("secrets of a query are not told") {
  CHECK(redact_query("a=1&b=2") == "a=1&b=2");
  CHECK(redact_query("access_token=abc&x=1&SIG=q&sig") ==
        "access_token=REDACTED&x=1&SIG=REDACTED&sig");
  CHECK(redact_query("&&=&sig=") == "&&=&sig=REDACTED");
  CHECK(redact_query("").empty());
}
