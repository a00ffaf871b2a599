#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "proxy/exchange.h"
#include "proxy/proxy_bench.h"

using lictor::SpanQueue;
using lictor::testing::Far;
using lictor::testing::get;
using lictor::testing::kOk;
using lictor::testing::ProxyBench;

namespace {

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kParent = "00f067aa0ba902b7";
const std::string kSampled = "traceparent: 00-" + kTrace + "-" + kParent + "-01\r\n";
const std::string kUnsampled = "traceparent: 00-" + kTrace + "-" + kParent + "-00\r\n";

std::string field(const std::string& head, const std::string& name) {
  const size_t at = head.find("\r\n" + name + ": ");
  if (at == std::string::npos) return {};
  const size_t begin = at + name.size() + 4;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

struct TraceBench final : ProxyBench {
  explicit TraceBench(double ratio = 0) { settings.tracing = {&queue, ratio}; }
  // Asks, and gives what the service was sent.
  std::string sent(const std::string& fields = {}) {
    ask(get("/", fields));
    if (!service) service.emplace(machines[0]->accept());
    std::string head = service->read();
    service->send(kOk);
    answer("hi");
    return head;
  }
  std::vector<nlohmann::json> spans() {
    const auto all = nlohmann::json::parse("[" + queue.take(SpanQueue::kMaxBytes).spans + "]");
    return all.get<std::vector<nlohmann::json>>();
  }
  SpanQueue queue;
  std::optional<Far> service;
};

}  // namespace

TEST_CASE("without a traceparent the request's id names a new trace") {
  TraceBench bench;
  const std::string head = bench.sent();
  const std::string sent = field(head, "traceparent");
  CHECK(sent.size() == 55);
  CHECK(sent.substr(0, 36) == "00-" + field(head, "X-Request-Id") + "-");
  CHECK(sent.ends_with("-00"));
  CHECK(bench.spans().empty());
}

TEST_CASE("a trace that is not recorded goes on as it came") {
  TraceBench bench(1);
  CHECK(field(bench.sent(kUnsampled + "tracestate: a=1\r\n"), "traceparent") ==
        "00-" + kTrace + "-" + kParent + "-00");
  CHECK(bench.spans().empty());
}

TEST_CASE("a recorded trace: the request's span below the client's, the try's below that") {
  TraceBench bench;
  const std::string head = bench.sent(kSampled + "tracestate: a=1\r\ntracestate: b=2\r\n");
  const auto spans = bench.spans();
  REQUIRE(spans.size() == 2);
  const auto& attempt = spans[0];
  const auto& server = spans[1];
  CHECK(server["traceId"] == kTrace);
  CHECK(server["parentSpanId"] == kParent);
  CHECK(server["kind"] == 2);
  CHECK(server["traceState"] == "a=1,b=2");
  CHECK(attempt["traceId"] == kTrace);
  CHECK(attempt["parentSpanId"] == server["spanId"]);
  CHECK(attempt["kind"] == 3);
  CHECK(field(head, "traceparent") ==
        "00-" + kTrace + "-" + attempt["spanId"].get<std::string>() + "-01");
}

TEST_CASE("each try is named to the instance that it is sent to") {
  TraceBench bench;
  bench.route.retries.on_status = {503};
  bench.ask(get("/", kSampled));
  std::string first;
  {
    Far service = bench.machines[0]->accept();
    first = field(service.read(), "traceparent");
    service.send("HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    bench.turn();
  }
  Far service = bench.machines[0]->accept();
  const std::string second = field(service.read(), "traceparent");
  service.send(kOk);
  bench.answer("hi");
  const auto spans = bench.spans();
  REQUIRE(spans.size() == 3);
  CHECK(first != second);
  CHECK(first.substr(36, 16) == spans[0]["spanId"]);
  CHECK(second.substr(36, 16) == spans[1]["spanId"]);
  CHECK(spans[0]["status"]["code"] == 2);
}

TEST_CASE("a share of the traces that begin here is recorded") {
  TraceBench bench(0.5);
  size_t recorded = 0;
  for (int i = 0; i < 400; ++i) {
    recorded += field(bench.sent(), "traceparent").ends_with("-01") ? 1 : 0;
  }
  CHECK(recorded > 140);
  CHECK(recorded < 260);
  CHECK(bench.spans().size() == 2 * recorded);
}
