#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/exchange.h"
#include "proxy/proxy_bench.h"

using lictor::Call;
using lictor::Failure;
using lictor::Filter;
using lictor::Step;
using lictor::testing::Far;
using lictor::testing::get;
using lictor::testing::kOk;
using lictor::testing::ProxyBench;

namespace {

// What the filters of a bench were asked to do, in order, and the call that waits.
struct Story {
  std::string text;
  Call* waiting = nullptr;
};

class Scripted final : public Filter {
 public:
  Scripted(Story& story, char name, Step step = Step::kNext, bool answers = true)
      : story_(story), name_(name), step_(step), answers_(answers) {}
  std::string_view name() const override { return {&name_, 1}; }
  Step on_request(Call& call) const override {
    note(call, '>');
    if (step_ == Step::kWait) story_.waiting = &call;
    if (step_ == Step::kStop && answers_) {
      lictor::Fields fields;
      fields.add(call.arena(), "By", name());
      call.reply(418, fields, "stopped");
    }
    return step_;
  }
  void on_response(Call& call) const override {
    note(call, '<');
    call.response().fields.add(call.arena(), "Seen", name());
  }
  void on_done(Call& call) const override { note(call, '.'); }

 private:
  void note(Call& call, char what) const {
    CHECK(call.route() == "r");
    CHECK(call.service() == "s");
    CHECK(call.client_ip().to_string() == "192.0.2.7");
    CHECK(call.request_id().size() == 32);
    story_.text += name_;
    story_.text += what;
    story_.text += ' ';
  }
  Story& story_;
  char name_;
  Step step_;
  bool answers_;
};

std::shared_ptr<const Filter> filter(Story& story, char name, Step step = Step::kNext) {
  return std::make_shared<Scripted>(story, name, step);
}

}  // namespace

TEST_CASE("filters see the request in order, the gateway's own first, the response in reverse") {
  Story story;
  ProxyBench bench;
  bench.common_filters = {filter(story, 'a')};
  bench.route.filters = {filter(story, 'b'), filter(story, 'c')};
  bench.ask(get());
  Far service = bench.machines[0]->accept();
  service.read();
  CHECK(story.text == "a> b> c> ");
  service.send(kOk);
  CHECK(bench.answer("hi").find("\r\nSeen: c\r\nSeen: b\r\nSeen: a\r\n") != std::string::npos);
  CHECK(story.text == "a> b> c> c< b< a< c. b. a. ");
}

TEST_CASE("a filter that stops answers; only those before it see the answer") {
  Story story;
  ProxyBench bench;
  bench.route.filters = {filter(story, 'a'), filter(story, 'b', Step::kStop), filter(story, 'c')};
  bench.ask(get());
  const std::string got = bench.answer("stopped");
  CHECK(got.starts_with("HTTP/1.1 418 "));
  CHECK(got.find("\r\nBy: b\r\n") != std::string::npos);
  CHECK(story.text == "a> b> b< a< b. a. ");
  CHECK_FALSE(bench.machines[0]->has_visitor());
}

TEST_CASE("a filter that stops without an answer is our fault") {
  Story story;
  ProxyBench bench;
  bench.route.filters = {std::make_shared<Scripted>(story, 'a', Step::kStop, false)};
  bench.ask(get());
  CHECK(bench.answer("}\n").starts_with("HTTP/1.1 500 "));
}

TEST_CASE("a filter that waits holds the request, and its body") {
  Story story;
  ProxyBench bench;
  bench.route.filters = {filter(story, 'a', Step::kWait), filter(story, 'b')};
  bench.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello");
  bench.turn();
  bench.ask("world");
  CHECK_FALSE(bench.client.reading());
  CHECK(story.text == "a> ");
  CHECK_FALSE(bench.machines[0]->has_visitor());
  SUBCASE("until it goes on") {
    story.waiting->resume();
    CHECK(story.text == "a> b> ");
    Far service = bench.machines[0]->accept();
    service.read("hello");
    bench.client.deliver();
    service.read("world");
    service.send(kOk);
    CHECK(bench.answer("hi").starts_with("HTTP/1.1 200 "));
    CHECK(story.text == "a> b> b< a< b. a. ");
  }
  SUBCASE("until it answers") {
    story.waiting->reply({Failure::kForbidden, false, "no"});
    story.waiting->resume();
    CHECK(bench.answer("}\n").starts_with("HTTP/1.1 403 "));
    CHECK(story.text == "a> a< a. ");
  }
  SUBCASE("and a client that went meanwhile is noticed after it") {
    bench.client.fail();
    CHECK(story.text == "a> ");
    story.waiting->resume();
    Far service = bench.machines[0]->accept();
    service.read("hello");
    bench.client.deliver();
    CHECK(service.sees_end());
    CHECK(story.text == "a> b> b. a. ");
  }
}

TEST_CASE("a client that goes away is noticed after a filter waited") {
  Story story;
  ProxyBench bench;
  bench.route.filters = {filter(story, 'a', Step::kWait)};
  bench.ask(get());
  story.waiting->resume();
  Far service = bench.machines[0]->accept();
  service.read();
  service.send(kOk);
  bench.answer("hi");
  // The second request finds the connection ready.
  bench.ask(get());
  story.waiting->resume();
  service.read();
  bench.client.eof();
  CHECK(service.sees_end());
}

TEST_CASE("a filter that waits is told when the route's time is over") {
  Story story;
  ProxyBench bench;
  bench.route.timeout = lictor::Millis(1'000);
  bench.route.filters = {filter(story, 'a', Step::kWait)};
  bench.ask(get());
  bench.pass(1'100);
  CHECK(bench.answer("}\n").starts_with("HTTP/1.1 504 "));
  CHECK(story.text == "a> a< a. ");
}

TEST_CASE("filters are done once, also when the upstream fails") {
  Story story;
  ProxyBench bench;
  bench.route.filters = {filter(story, 'a')};
  bench.ask(get());
  Far service = bench.machines[0]->accept();
  service.read();
  SUBCASE("before its response") {
    service.close();
    CHECK(bench.answer("}\n").starts_with("HTTP/1.1 502 "));
    CHECK(story.text == "a> a< a. ");
  }
  SUBCASE("during its response") {
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    bench.answer("hello");
    service.close();
    CHECK(bench.client_cut_off());
    CHECK(story.text == "a> a< a. ");
  }
}

TEST_CASE("filters do not see informational responses, and see a retried request once") {
  Story story;
  ProxyBench bench;
  bench.route.filters = {filter(story, 'a')};
  bench.route.retries.on_status = {503};
  bench.ask(get());
  {
    Far first = bench.machines[0]->accept();
    first.read();
    first.send("HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    bench.turn();
  }
  Far second = bench.machines[0]->accept();
  second.read();
  second.send("HTTP/1.1 103 Early\r\n\r\n" + std::string(kOk));
  bench.answer("hi");
  CHECK(story.text == "a> a< a. ");
}

// --- what filters do to bodies and answers -------------------------------------------------------

namespace {

// A filter of one function each.
struct Acting final : Filter {
  std::function<Step(Call&)> request = [](Call&) { return Step::kNext; };
  std::function<void(Call&)> response = [](Call&) {};
  std::function<void(Call&)> done = [](Call&) {};
  std::string_view name() const override { return "acting"; }
  Step on_request(Call& call) const override { return request(call); }
  void on_response(Call& call) const override { response(call); }
  void on_done(Call& call) const override { done(call); }
};

struct Listener final : lictor::BodyTap {
  std::string text;
  void on_body(std::string_view bytes, bool end) override {
    text += bytes;
    if (end) text += '.';
  }
};

// Wraps every piece in brackets of its own, and says when it was the last.
struct Bracket final : lictor::BodyTransform {
  explicit Bracket(char open, char close) : opening(open), closing(close) {}
  char opening;
  char closing;
  bool works = true;
  bool transform(std::string_view bytes, bool end, lictor::Buffer& out) override {
    if (!works) return false;
    const std::string text = opening + std::string(bytes) + closing + (end ? "$" : "");
    out.append(std::string_view(text));
    return true;
  }
};

constexpr std::string_view kPost = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello";

}  // namespace

TEST_CASE("each filter has a word of its own for each request") {
  ProxyBench bench;
  std::string seen;
  std::array<int, 2> values{1, 2};
  for (int& value : values) {
    auto filter = std::make_shared<Acting>();
    filter->request = [&value](Call& call) {
      CHECK(call.state() == nullptr);
      call.state() = &value;
      return Step::kNext;
    };
    filter->response = [&](Call& call) { CHECK(call.state() == &value); };
    filter->done = [&](Call& call) { seen += std::to_string(*static_cast<int*>(call.state())); };
    bench.route.filters.push_back(filter);
  }
  bench.ask(get());
  Far service = bench.machines[0]->accept();
  service.read();
  service.send(kOk);
  bench.answer("hi");
  CHECK(seen == "21");
}

TEST_CASE("a filter's limit of the body is the least of all") {
  ProxyBench bench;
  auto filter = std::make_shared<Acting>();
  filter->request = [](Call& call) {
    call.limit_body(9);
    call.limit_body(100);
    return Step::kNext;
  };
  bench.route.filters = {filter};
  SUBCASE("a length that is announced") {
    bench.ask(kPost);
    CHECK(bench.answer("}\n").starts_with("HTTP/1.1 413 "));
    CHECK(!bench.machines[0]->has_visitor());
  }
  SUBCASE("a length that shows") {
    bench.ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n");
    Far service = bench.machines[0]->accept();
    service.read("123456789");
    bench.ask("1\r\n0\r\n");
    CHECK(bench.answer("}\n").starts_with("HTTP/1.1 413 "));
    CHECK(service.sees_end());
  }
}

TEST_CASE("a tap hears the whole body, from its first byte, and changes nothing") {
  ProxyBench bench;
  Listener early;
  Listener late;
  Call* waiting = nullptr;
  auto first = std::make_shared<Acting>();
  first->request = [&](Call& call) {
    call.tap_request(early);
    waiting = &call;
    return Step::kWait;
  };
  auto second = std::make_shared<Acting>();
  second->request = [&](Call& call) {
    call.tap_request(late);
    return Step::kNext;
  };
  bench.route.filters = {first, second};
  bench.ask(kPost);
  CHECK(early.text == "hello");
  waiting->resume();
  CHECK(late.text == "hello");
  Far service = bench.machines[0]->accept();
  service.read("hello");
  bench.ask("world");
  CHECK(service.read("world") == "world");
  CHECK(early.text == "helloworld.");
  CHECK(late.text == "helloworld.");
}

TEST_CASE("a tap hears the end of a request without a body") {
  ProxyBench bench;
  Listener tap;
  auto filter = std::make_shared<Acting>();
  filter->request = [&](Call& call) {
    call.tap_request(tap);
    return Step::kNext;
  };
  bench.route.filters = {filter};
  bench.ask(get());
  CHECK(tap.text == ".");
}

TEST_CASE("transforms change the response's body, the last filter's first") {
  ProxyBench bench;
  Bracket outer('(', ')');
  Bracket inner('<', '>');
  auto first = std::make_shared<Acting>();
  first->response = [&](Call& call) { call.transform_response(outer); };
  auto second = std::make_shared<Acting>();
  second->response = [&](Call& call) { call.transform_response(inner); };
  bench.route.filters = {first, second};
  SUBCASE("of a length") {
    bench.ask(get());
    Far service = bench.machines[0]->accept();
    service.read();
    service.send(kOk);
    const std::string answer = bench.answer("0\r\n\r\n");
    CHECK(answer.find("Transfer-Encoding: chunked") != std::string::npos);
    CHECK(answer.find("Content-Length") == std::string::npos);
    CHECK(answer.find("(<hi>)") != std::string::npos);
    CHECK(answer.find("(<>$)$") != std::string::npos);
  }
  SUBCASE("with trailers") {
    bench.ask(get());
    Far service = bench.machines[0]->accept();
    service.read();
    service.send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nSum: 1\r\n\r\n");
    const std::string answer = bench.answer("Sum: 1\r\n\r\n");
    CHECK(answer.find("(<hi>)") != std::string::npos);
    CHECK(answer.find("(<>$)$") != std::string::npos);
  }
  SUBCASE("of the gateway's own answers") {
    auto third = std::make_shared<Acting>();
    third->request = [](Call& call) {
      call.reply(200, lictor::Fields{}, "own");
      return Step::kStop;
    };
    bench.route.filters.push_back(third);
    bench.ask(get());
    CHECK(bench.answer("0\r\n\r\n").find("(<own>$)$") != std::string::npos);
  }
  SUBCASE("not one without a body") {
    bench.ask(get());
    Far service = bench.machines[0]->accept();
    service.read();
    service.send("HTTP/1.1 204 No Content\r\n\r\n");
    const std::string answer = bench.answer("\r\n\r\n");
    CHECK(answer.find("chunked") == std::string::npos);
  }
  SUBCASE("and a response that breaks off is cut short, whatever its new length is") {
    bench.ask(get());
    Far service = bench.machines[0]->accept();
    service.read();
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    service.close();
    CHECK(bench.client_cut_off());
    CHECK(bench.client.sent().find("$") == std::string::npos);
  }
  SUBCASE("and one that breaks cuts the response short") {
    inner.works = false;
    bench.ask(get());
    Far service = bench.machines[0]->accept();
    service.read();
    service.send(kOk);
    CHECK(bench.client_cut_off());
  }
}

TEST_CASE("a filter's problem may bring fields of its own") {
  ProxyBench bench;
  auto filter = std::make_shared<Acting>();
  filter->request = [](Call& call) {
    lictor::Fields fields;
    fields.add(call.arena(), "WWW-Authenticate", "Bearer");
    call.count_auth_failure("expired");
    call.reply({Failure::kUnauthorized, false, "no"}, fields);
    return Step::kStop;
  };
  bench.route.filters = {filter};
  bench.ask(get());
  const std::string answer = bench.answer("}\n");
  CHECK(answer.starts_with("HTTP/1.1 401 "));
  CHECK(answer.find("\r\nWWW-Authenticate: Bearer\r\n") != std::string::npos);
  CHECK(bench.metrics.render({}).find(
            R"(lictor_auth_failures_total{route="r",reason="expired"} 1)") != std::string::npos);
}

TEST_CASE("a preflight takes the route of the method that it asks about") {
  Story story;
  ProxyBench bench;
  bench.route.methods = {"PUT"};
  bench.route.filters = {filter(story, 'a', Step::kStop)};
  const auto options = [](std::string_view fields) {
    return "OPTIONS / HTTP/1.1\r\nHost: h\r\n" + std::string(fields) + "\r\n";
  };
  SUBCASE("one that it takes") {
    bench.ask(options("Origin: https://a\r\nAccess-Control-Request-Method: PUT\r\n"));
    CHECK(bench.answer("stopped").starts_with("HTTP/1.1 418 "));
  }
  SUBCASE("another") {
    bench.ask(options("Origin: https://a\r\nAccess-Control-Request-Method: GET\r\n"));
    CHECK(bench.answer("}\n").starts_with("HTTP/1.1 405 "));
  }
  SUBCASE("and an OPTIONS that is no preflight its own") {
    bench.ask(options("Origin: https://a\r\n"));
    CHECK(bench.answer("}\n").starts_with("HTTP/1.1 405 "));
  }
}
