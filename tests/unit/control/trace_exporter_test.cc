#include "control/trace_exporter.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "control/support.h"

using lictor::HttpResponse;
using lictor::Millis;
using lictor::SpanQueue;
using lictor::TraceExporter;

namespace {

struct Bench {
  void advance(int64_t ms) { scheduler.advance(Millis(ms)); }
  void answer(int status, std::string body = "{}") {
    HttpResponse response;
    response.status = status;
    response.body = std::move(body);
    fetcher.answer(std::move(response));
  }
  lictor::test::ManualScheduler scheduler;
  lictor::test::FakeFetcher fetcher;
  SpanQueue spans;
  TraceExporter exporter{
      {"http://c:4318/v1/traces", "edge \"1\"", "id-1"}, spans, fetcher, scheduler};
};

}  // namespace

TEST_CASE("spans go out in batches, each second, under the gateway's name") {
  Bench bench;
  bench.spans.add(R"({"name":"a"})");
  bench.spans.add(R"({"name":"b"})");
  CHECK(bench.fetcher.pending() == 0);
  bench.advance(1'000);
  REQUIRE(bench.fetcher.pending() == 1);
  const auto request = bench.fetcher.request();
  CHECK(request.method == "POST");
  CHECK(request.url == "http://c:4318/v1/traces");
  CHECK(request.headers == std::vector<std::string>{"Content-Type: application/json"});
  const auto body = nlohmann::json::parse(request.body);
  const auto& resource = body["resourceSpans"][0];
  CHECK(resource["resource"]["attributes"][0]["key"] == "service.name");
  CHECK(resource["resource"]["attributes"][0]["value"]["stringValue"] == "edge \"1\"");
  CHECK(resource["resource"]["attributes"][1]["key"] == "service.version");
  CHECK(resource["resource"]["attributes"][2]["value"]["stringValue"] == "id-1");
  CHECK(resource["scopeSpans"][0]["scope"]["name"] == "lictor");
  CHECK(resource["scopeSpans"][0]["spans"].size() == 2);
  CHECK(resource["scopeSpans"][0]["spans"][1]["name"] == "b");

  // One at a time; what comes meanwhile goes with the next.
  bench.spans.add("{}");
  bench.advance(5'000);
  CHECK(bench.fetcher.total() == 1);
  bench.answer(200);
  bench.advance(999);
  CHECK(bench.fetcher.total() == 1);
  bench.advance(1);
  CHECK(bench.fetcher.total() == 2);
  bench.answer(200);
  bench.advance(60'000);
  CHECK(bench.fetcher.total() == 2);  // nothing to send
  CHECK(bench.spans.dropped() == 0);
}

TEST_CASE("a collector that is away is asked again, a few times, and then the batch is dropped") {
  Bench bench;
  bench.spans.add("{}");
  bench.advance(1'000);
  const std::string first = bench.fetcher.request().body;
  for (int attempt = 1; attempt < TraceExporter::kAttempts; ++attempt) {
    if (attempt % 2 == 0) {
      bench.fetcher.fail("refused");
    } else {
      bench.answer(503);
    }
    CHECK(bench.fetcher.pending() == 0);
    bench.advance(TraceExporter::kMostPause.count());
    REQUIRE(bench.fetcher.pending() == 1);
    CHECK(bench.fetcher.request().body == first);
  }
  CHECK(bench.spans.dropped() == 0);
  bench.answer(429);
  CHECK(bench.spans.dropped() == 1);
  bench.advance(60'000);
  CHECK(bench.fetcher.pending() == 0);
}

TEST_CASE("a batch that a collector refuses is not sent twice") {
  Bench bench;
  bench.spans.add("{}");
  bench.spans.add("{}");
  bench.advance(1'000);
  bench.answer(400);
  bench.advance(60'000);
  CHECK(bench.fetcher.total() == 1);
  CHECK(bench.spans.dropped() == 2);
}

TEST_CASE("spans that a collector refuses of a batch are counted, whatever it says") {
  for (const auto& [body, dropped] : std::initializer_list<std::pair<std::string, uint64_t>>{
           {R"({"partialSuccess":{"rejectedSpans":"1"}})", 1},
           {R"({"partialSuccess":{"rejectedSpans":1}})", 1},
           {R"({"partialSuccess":{"rejectedSpans":"999"}})", 2},  // no more than there were
           {R"({"partialSuccess":{}})", 0},
           {R"({"partialSuccess":[]})", 0},
           {R"({"partialSuccess":{"rejectedSpans":-1}})", 0},
           {"[", 0},
           {"", 0},
       }) {
    Bench bench;
    bench.spans.add("{}");
    bench.spans.add("{}");
    bench.advance(1'000);
    bench.answer(200, body);
    CHECK(bench.spans.dropped() == dropped);
  }
}

TEST_CASE("many spans go out without a pause between the batches") {
  Bench bench;
  for (int i = 0; i < 5; ++i) bench.spans.add(std::string(TraceExporter::kBatchBytes / 2, 'x'));
  bench.advance(1'000);
  bench.answer(200);
  bench.advance(0);
  CHECK(bench.fetcher.total() == 2);
  bench.answer(200);
  bench.advance(0);
  CHECK(bench.fetcher.total() == 2);  // the rest is little
}

TEST_CASE("at the end what there is goes out") {
  Bench bench;
  bool done = false;
  const auto finish = [&] { bench.exporter.finish([&] { done = true; }); };
  SUBCASE("at once when it is nothing") {
    finish();
    CHECK(done);
  }
  SUBCASE("and the rest after what is being sent") {
    bench.spans.add("{}");
    bench.advance(1'000);
    bench.spans.add("{}");
    finish();
    CHECK_FALSE(done);
    bench.answer(200);
    bench.advance(0);
    CHECK(bench.fetcher.total() == 2);
    bench.answer(200);
    bench.advance(0);
    CHECK(done);
  }
  SUBCASE("if the collector takes it in time") {
    bench.spans.add("{}");
    finish();
    CHECK(bench.fetcher.pending() == 1);
    bench.advance(2'000);
    CHECK(done);
    CHECK(bench.fetcher.pending() == 0);
  }
  SUBCASE("if it takes it at all") {
    bench.spans.add("{}");
    finish();
    bench.answer(503);
    bench.advance(0);
    CHECK(done);
  }
}
