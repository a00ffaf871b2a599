#include "proxy/exchange.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "proxy/proxy_bench.h"

using lictor::Failure;
using lictor::HostMode;
using lictor::Outcome;
using lictor::testing::Far;
using lictor::testing::get;
using lictor::testing::kOk;
using lictor::testing::ProxyBench;
using lictor::testing::send_with;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

uint64_t outcomes(ProxyBench& bench, Outcome outcome, const char* instance = "i0") {
  return bench.metrics.instance(0, "s", instance)->outcomes[static_cast<size_t>(outcome)].get();
}

}  // namespace

// --- there and back ------------------------------------------------------------------------------

TEST_CASE("a request goes to the service and its response back") {
  ProxyBench bench;
  bench.ask(get("/a/b?c=d", "Accept: */*\r\n"));
  Far service = bench.machines[0]->accept();
  const std::string sent = service.read();
  CHECK(sent.starts_with("GET /a/b?c=d HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n"));
  CHECK(has(sent, "\r\nX-Forwarded-For: 192.0.2.7\r\n"));
  CHECK(has(sent, "\r\nX-Forwarded-Port: 8080\r\n"));
  CHECK(has(sent, "\r\nVia: 1.1 lictor\r\n"));
  service.send("HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nServer: x\r\nKeep-Alive: 5\r\n\r\nhi");
  const std::string got = bench.answer("hi");
  CHECK(got.starts_with("HTTP/1.1 200 Fine\r\nServer: x\r\nVia: 1.1 lictor\r\nDate: "));
  CHECK(got.ends_with("\r\nContent-Length: 2\r\n\r\nhi"));
  CHECK(bench.client.open());
}

TEST_CASE("connections to the service are used again") {
  ProxyBench bench;
  bench.ask(get("/1"));
  Far service = bench.machines[0]->accept();
  for (int i = 1; i <= 3; ++i) {
    if (i > 1) bench.ask(get("/" + std::to_string(i)));
    CHECK(service.read().starts_with("GET /" + std::to_string(i) + " "));
    service.send(kOk);
    bench.answer("hi");
  }
  CHECK_FALSE(bench.machines[0]->has_visitor());
}

TEST_CASE("a body and its trailers go through") {
  ProxyBench bench;
  bench.ask(
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n0\r\nSum: 1\r\n\r\n");
  Far service = bench.machines[0]->accept();
  CHECK(has(service.read(), "\r\nTransfer-Encoding: chunked\r\n"));
  CHECK(service.read() == "5\r\nhello\r\n0\r\nSum: 1\r\n\r\n");
  service.send(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\nSum: 2\r\n\r\n");
  CHECK(bench.answer("Sum: 2\r\n\r\n").ends_with("\r\n\r\n3\r\nyes\r\n0\r\nSum: 2\r\n\r\n"));
}

TEST_CASE("HEAD, 204 and 304 have no body either side") {
  for (const auto& [method, response, end] :
       {std::tuple{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
                   "Content-Length: 500\r\n\r\n"},
        std::tuple{"GET", "HTTP/1.1 204 No\r\n\r\n", "GMT\r\n\r\n"},
        std::tuple{"GET", "HTTP/1.1 304 No\r\nContent-Length: 500\r\n\r\n",
                   "Content-Length: 500\r\n\r\n"}}) {
    ProxyBench bench;
    for (int i = 0; i < 2; ++i) {
      bench.ask(std::string(method) + " / HTTP/1.1\r\nHost: h\r\n\r\n");
      if (i == 0) {
        Far service = bench.machines[0]->accept();
        service.read();
        service.send(response);
        CHECK(bench.answer().ends_with(end));
        // The connection serves the next one, too.
        bench.ask(std::string(method) + " /2 HTTP/1.1\r\nHost: h\r\n\r\n");
        CHECK(has(service.read(), " /2 "));
        service.send(response);
        bench.answer();
      } else {
        CHECK(bench.client.open());
      }
    }
  }
}

TEST_CASE("the path is sent as it was matched") {
  ProxyBench bench;
  bench.ask(get("//a/./b/../%63?d=/../%zz"));
  CHECK(bench.machines[0]->accept().read().starts_with("GET /a/c?d=/../%zz HTTP/1.1\r\n"));
}

TEST_CASE("an absolute target gives its path and its host") {
  ProxyBench bench;
  bench.ask("GET http://H:80/x?y HTTP/1.1\r\nHost: h:80\r\n\r\n");
  CHECK(bench.machines[0]->accept().read().starts_with("GET /x?y HTTP/1.1\r\nHost: H:80\r\n"));
}

TEST_CASE("the Host that the policy asks for") {
  ProxyBench bench;
  std::string expected;
  SUBCASE("the instance's") {
    bench.policy.host = HostMode::kInstance;
    expected = bench.machines[0]->address().to_string();
  }
  SUBCASE("a literal") {
    bench.policy.host = HostMode::kLiteral;
    bench.policy.host_literal = expected = "internal.example";
  }
  bench.ask(get());
  const std::string sent = bench.machines[0]->accept().read();
  CHECK(has(sent, "\r\nHost: " + expected + "\r\n"));
  CHECK(has(sent, "\r\nX-Forwarded-Host: h\r\n"));
}

TEST_CASE("informational responses go through") {
  ProxyBench bench;
  bench.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  Far service = bench.machines[0]->accept();
  CHECK(has(service.read(), "\r\nExpect: 100-continue\r\n"));
  service.send("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
  CHECK(bench.answer("100 Continue\r\n\r\n") ==
        "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
  bench.ask("hello");
  CHECK(service.read("hello") == "hello");
  service.send(kOk);
  bench.answer("hi");
  CHECK(bench.client.open());
}

TEST_CASE("a request keeps the configuration it began with") {
  ProxyBench bench;
  bench.ask(get("/old"));
  Far service = bench.machines[0]->accept();
  service.read();
  bench.route.name = "other";
  bench.route.paths = {"/elsewhere"};
  bench.publish();
  service.send(kOk);
  bench.answer("hi");
  bench.ask(get("/old"));
  CHECK(bench.answer().starts_with("HTTP/1.1 404 "));
}

TEST_CASE("backends share the requests by weight") {
  ProxyBench bench;
  bench.route.backends = {ProxyBench::to_s(0), ProxyBench::to_s(5)};
  bench.route.total_weight = 5;
  bench.ask(get());
  bench.machines[0]->accept().read();
}

// --- answers of our own --------------------------------------------------------------------------

TEST_CASE("what can't be forwarded is answered with its own status and code") {
  struct Case {
    std::string request;
    const char* status;
    const char* code;
  };
  for (const auto& [request, status, code] :
       {Case{"GET /a/../../b HTTP/1.1\r\nHost: h\r\n\r\n", "400", "bad_request"},
        Case{"GET /%2f HTTP/1.1\r\nHost: h\r\n\r\n", "400", "bad_request"},
        Case{"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", "400", "bad_request"},
        Case{"GET * HTTP/1.1\r\nHost: h\r\n\r\n", "400", "bad_request"},
        Case{"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", "400", "bad_request"},
        Case{"garbage\r\n\r\n", "400", "bad_request"},
        Case{"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", "405", "method_not_allowed"},
        Case{"GET / HTTP/2.0\r\n\r\n", "505", "http_version"},
        Case{"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "501", "not_implemented"},
        Case{"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "404", "no_route"},
        Case{"GET / HTTP/1.1\r\nHost: h\r\nVia: 1.1 lictor,1.1 lictor,1.1 lictor,1.1 lictor,"
             "1.1 lictor\r\nVia: 1.1 lictor,1.1 lictor,1.1 lictor,1.1 lictor,1.1 lictor\r\n\r\n",
             "508", "loop_detected"}}) {
    CAPTURE(request);
    ProxyBench bench;
    bench.ask(request);
    const std::string got = bench.answer("}\n");
    CHECK(got.starts_with("HTTP/1.1 " + std::string(status) + " "));
    CHECK(has(got, "\r\nContent-Type: application/problem+json\r\n"));
    CHECK(has(got, "\r\nDate: "));
    CHECK(has(got, "\"code\":\"" + std::string(code) + "\""));
    CHECK_FALSE(bench.machines[0]->has_visitor());
    // Who is wrong about one request may mean something else by the next.
    if (std::string_view(code) == "bad_request" || request.starts_with("CONNECT")) {
      CHECK(has(got, "\r\nConnection: close\r\n"));
    }
  }
}

TEST_CASE("a path that no route takes, and a method that none takes there") {
  ProxyBench bench;
  bench.route.paths = {"/a"};
  bench.route.methods = {"GET", "PUT"};
  bench.ask(get("/b"));
  CHECK(bench.answer("}\n").starts_with("HTTP/1.1 404 "));
  bench.ask(send_with("POST", "").replace(5, 1, "/a"));
  const std::string got = bench.answer("}\n");
  CHECK(got.starts_with("HTTP/1.1 405 "));
  CHECK(has(got, "\r\nAllow: GET, PUT\r\n"));
}

TEST_CASE("before the first configuration there is nothing to forward to") {
  ProxyBench bench;
  bench.published = true;
  bench.context.settings = std::make_shared<lictor::ProxySettings>(bench.settings);
  bench.ask(get());
  CHECK(bench.answer("}\n").starts_with("HTTP/1.1 503 "));
}

TEST_CASE("a service without usable instances is 503 no_instance") {
  ProxyBench bench;
  SUBCASE("none") { bench.machines.clear(); }
  SUBCASE("of weight 0") { bench.weight = 0; }
  bench.ask(get());
  const std::string got = bench.answer("}\n");
  CHECK(got.starts_with("HTTP/1.1 503 "));
  CHECK(has(got, "\"no_instance\""));
}

TEST_CASE("a body that is too large is refused") {
  ProxyBench bench;
  bench.settings.body_bytes = 10;
  SUBCASE("by its announced length, before anything is sent on") {
    bench.ask(send_with("POST", std::string(11, 'x')));
    CHECK(bench.answer("}\n").starts_with("HTTP/1.1 413 "));
    CHECK_FALSE(bench.machines[0]->has_visitor());
  }
  SUBCASE("as it comes") {
    bench.ask("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    Far service = bench.machines[0]->accept();
    service.read("hello\r\n");
    bench.ask("6\r\nworld!\r\n");
    CHECK(bench.answer("}\n").starts_with("HTTP/1.1 413 "));
    CHECK(service.sees_end());
  }
  SUBCASE("not when it fits") {
    bench.ask(send_with("POST", std::string(10, 'x')));
    bench.machines[0]->accept().read("xxxxxxxxxx");
  }
}

TEST_CASE("a trusted peer's request id is kept, also in the gateway's own answers") {
  ProxyBench bench;
  bench.settings.trusted_proxies = {*lictor::Cidr::parse("192.0.2.0/24")};
  bench.ask(get("/%00", "X-Request-Id: from-the-edge\r\n"));
  CHECK(has(bench.answer("}\n"), "\"request_id\":\"from-the-edge\""));
}

// --- what upstreams do wrong ---------------------------------------------------------------------

TEST_CASE("an upstream that fails before its response is 502") {
  struct Case {
    const char* what;
    std::function<void(Far&)> fail;
    const char* error;
  };
  for (const auto& [what, fail, error] :
       {Case{"closes", [](Far& far) { far.close(); }, "connection_terminated"},
        Case{"resets", [](Far& far) { far.reset(); }, "connection_terminated"},
        Case{"half a head",
             [](Far& far) {
               far.send("HTTP/1.1 200 OK\r\nA: b");
               far.close();
             },
             "connection_terminated"},
        Case{"nonsense", [](Far& far) { far.send("SSH-2.0-x\r\n\r\n"); }, "http_protocol_error"},
        Case{"two lengths",
             [](Far& far) {
               far.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
             },
             "http_protocol_error"},
        Case{"an unasked 101",
             [](Far& far) {
               far.send("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
             },
             "http_protocol_error"}}) {
    CAPTURE(what);
    ProxyBench bench;
    bench.ask(send_with("POST", "x"));
    Far service = bench.machines[0]->accept();
    service.read("\r\n\r\nx");
    fail(service);
    const std::string got = bench.answer("}\n");
    CHECK(got.starts_with("HTTP/1.1 502 "));
    CHECK(has(got, "error=" + std::string(error)));
    CHECK(bench.client.open());
    const bool protocol = std::string_view(error) == "http_protocol_error";
    CHECK(outcomes(bench, protocol ? Outcome::kProtocolError : Outcome::kReset) == 1);
  }
}

TEST_CASE("a response cut short is cut short for the client, too") {
  for (const auto* head : {"Content-Length: 10", "Transfer-Encoding: chunked"}) {
    ProxyBench bench;
    bench.ask(get());
    Far service = bench.machines[0]->accept();
    service.read();
    service.send("HTTP/1.1 200 OK\r\n" + std::string(head) + "\r\n\r\n5\r\nhello");
    bench.answer("hello");
    service.close();
    CHECK(bench.client_cut_off());
    CHECK(bench.client.aborted());
    CHECK_FALSE(has(bench.client.sent(), "0\r\n\r\n"));
  }
}

TEST_CASE("an upstream that answers while the request still comes") {
  ProxyBench bench;
  bench.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello");
  Far service = bench.machines[0]->accept();
  service.read("hello");
  service.send("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
  CHECK(bench.answer("no").starts_with("HTTP/1.1 413 "));
  // Its connection can't be used again, the client's can, once the rest was read away.
  CHECK(service.sees_end());
  bench.ask("world" + get("/next"));
  CHECK(bench.machines[0]->accept().read().starts_with("GET /next "));
}

TEST_CASE("a client that goes away takes its upstream request along") {
  ProxyBench bench;
  bench.ask(get());
  Far service = bench.machines[0]->accept();
  service.read();
  bench.client.eof();
  CHECK(service.sees_end());
  CHECK(outcomes(bench, Outcome::kReset) == 0);
  CHECK(bench.metrics.instance(0, "s", "i0")->active.get() == 0);
}

TEST_CASE("a client that goes away during the response's wait is noticed after a body, too") {
  ProxyBench bench;
  bench.ask(send_with("POST", "body"));
  Far service = bench.machines[0]->accept();
  service.read("body");
  bench.turn();
  bench.client.eof();
  CHECK(service.sees_end());
}

TEST_CASE("a client that goes away is noticed after its request waited for a connection") {
  ProxyBench bench;
  bench.policy.max_connections = 1;
  bench.ask(get("/first"));
  Far service = bench.machines[0]->accept();
  service.read();
  auto& other = bench.ask_too(get("/second"));
  bench.turn();
  service.send(kOk);
  bench.answer("hi");
  CHECK(service.read().starts_with("GET /second "));
  other.eof();
  CHECK(service.sees_end());
}

// --- counting ------------------------------------------------------------------------------------

TEST_CASE("requests are counted and logged when they end") {
  char path[] = "/tmp/lictor-exchange-XXXXXX";
  const int fd = mkstemp(path);
  REQUIRE(fd >= 0);
  ::close(fd);
  {
    ProxyBench bench(1, path);
    bench.route.paths = {"/", "/gone"};
    bench.ask(send_with("POST", "hello", "User-Agent: test\r\nReferer: there\r\n"));
    Far service = bench.machines[0]->accept();
    service.read("hello");
    service.send(kOk);
    bench.answer("hi");
    bench.ask(get("/nowhere?x=y"));
    bench.answer("}\n");
    bench.ask(get("/gone"));
    service.read();
    bench.client.eof();
    bench.turn();
    CHECK(bench.metrics.route_total("r") == 2);
    CHECK(outcomes(bench, Outcome::kOk) == 1);
  }
  std::ifstream log(path);
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(log, line);) lines.push_back(nlohmann::json::parse(line));
  std::remove(path);
  REQUIRE(lines.size() == 3);
  const auto& forwarded = lines[0];
  CHECK(forwarded["method"] == "POST");
  CHECK(forwarded["host"] == "h");
  CHECK(forwarded["path"] == "/");
  CHECK(forwarded["status"] == 200);
  CHECK(forwarded["bytes_in"] == 5);
  CHECK(forwarded["bytes_out"] == 2);
  CHECK(forwarded["client_ip"] == "192.0.2.7");
  CHECK(forwarded["listener"] == "http");
  CHECK(forwarded["route"] == "r");
  CHECK(forwarded["service"] == "s");
  CHECK(forwarded["instance"] == "i0");
  CHECK(forwarded["user_agent"] == "test");
  CHECK(forwarded["referer"] == "there");
  CHECK(forwarded["protocol"] == "HTTP/1.1");
  CHECK_FALSE(forwarded.contains("code"));
  CHECK(lines[1]["status"] == 404);
  CHECK(lines[1]["code"] == "no_route");
  CHECK(lines[1]["path"] == "/nowhere");
  CHECK(lines[1]["query"] == "x=y");
  CHECK_FALSE(lines[1].contains("instance"));
  CHECK(lines[2]["status"] == 499);
  CHECK(lines[2]["code"] == "client_abort");
  CHECK(lines[0]["request_id"] != lines[1]["request_id"]);
}
