// A stream's user that writes down what it hears, and does what the test tells it to.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "http/stream.h"

namespace lictor::testing {

class StreamLog final : public StreamUser {
 public:
  // What was heard since the last call: "GET / | body | end", "200 | reset: upstream_timeout".
  std::string heard() { return std::exchange(log_, {}); }
  // The bodies' bytes, which the log has only as "body" once.
  std::string body() { return std::exchange(body_, {}); }
  bool ended() const { return ended_; }
  const Error& error() const { return error_; }
  const Head& head() const { return *head_; }
  // No event may come from now on.
  void let_go() { gone_ = true; }
  bool gone() const { return gone_; }

  std::function<void(Head& head, bool end)> then_head;
  std::function<void(std::string_view bytes, bool end)> then_body;
  std::function<void()> then_end;  // after the last event of a whole message
  std::function<void()> then_drain;
  std::function<void(const Error& error)> then_reset;

  void on_head(Head& head, bool end) override {
    head_ = &head;
    note(head.status == 0 ? std::string(head.method_name) + " " + std::string(head.target)
                          : std::to_string(head.status));
    if (then_head) then_head(head, end);
    if (end) finish();
  }
  void on_body(std::string_view bytes, bool end) override {
    body_ += bytes;
    if (!bytes.empty() && !log_.ends_with("body")) note("body");
    if (then_body) then_body(bytes, end);
    if (end) finish();
  }
  void on_trailers(Fields& trailers) override {
    for (const Field& field : trailers) {
      note("trailer " + std::string(field.name) + "=" + std::string(field.value));
    }
    finish();
  }
  void on_drain() override {
    note("drain");
    if (then_drain) then_drain();
  }
  void on_reset(const Error& error) override {
    error_ = error;
    note("reset: " + std::string(error.code()));
    if (then_reset) then_reset(error);
  }

 private:
  void note(const std::string& what) {
    CHECK_MESSAGE(!gone_, "an event after release: ", what);
    if (!log_.empty()) log_ += " | ";
    log_ += what;
  }
  void finish() {
    ended_ = true;
    if (gone_) return;
    note("end");
    if (then_end) then_end();
  }

  std::string log_;
  std::string body_;
  Head* head_ = nullptr;
  Error error_;
  bool ended_ = false;
  bool gone_ = false;
};

}  // namespace lictor::testing
