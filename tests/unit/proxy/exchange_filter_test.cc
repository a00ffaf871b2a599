#include <doctest/doctest.h>

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
