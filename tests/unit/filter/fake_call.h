// A Call without a gateway: tests set what a filter reads and look at what it did.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "filter/body.h"
#include "filter/consumers.h"
#include "filter/makers.h"
#include "filter/shared.h"
#include "filter/subrequest.h"
#include "io/manual_clock.h"

namespace lictor {

// A request that a filter asked for: the test answers it.
class FakeSubrequest final : public Subrequest {
 public:
  FakeSubrequest(std::string service, SubrequestUser* user)
      : service_(std::move(service)), user_(user) {}
  Head& head() override { return head_; }
  Arena& arena() override { return arena_; }
  bool append(std::string_view bytes) override {
    if (body_.size() + bytes.size() > kMaxBody) return false;
    body_ += bytes;
    return true;
  }
  void send(Millis timeout) override { state_ = "sent " + std::to_string(timeout.count()); }
  void cancel() override { state_ = "cancelled"; }

  void answer(uint16_t status, const std::vector<std::pair<std::string, std::string>>& fields = {},
              std::string_view body = {}) {
    Head answer;
    answer.status = status;
    for (const auto& [name, value] : fields) answer.fields.add(arena_, name, value);
    user_->on_answer({answer, body, true});
  }
  void fail(Failure failure) { user_->on_failure({failure, false, "no"}); }
  const std::string& service() const { return service_; }
  const std::string& state() const { return state_; }
  const std::string& body() const { return body_; }
  bool attended() const { return user_ != nullptr; }

 private:
  std::string service_;
  SubrequestUser* user_;
  Arena arena_;
  Head head_;
  std::string body_;
  std::string state_ = "made";
};

class FakeCall final : public Call {
 public:
  struct Reply {
    uint16_t status = 0;
    std::vector<std::pair<std::string, std::string>> fields;
    std::string body;
    std::optional<Error> error;

    std::string field(std::string_view name) const {
      for (const auto& [known, value] : fields) {
        if (equals_ignore_case(known, name)) return value;
      }
      return {};
    }
  };

  FakeCall() : FakeCall(nullptr, nullptr) {}
  // One of many requests of a gateway.
  FakeCall(FilterShared& shared, testing::ManualLoop& loop) : FakeCall(&shared, &loop) {}

  Head& request() override { return request_; }
  Head& response() override { return response_; }
  Arena& arena() override { return arena_; }
  const IpAddress& client_ip() const override { return client_ip_; }
  std::string_view request_id() const override { return request_id_; }
  std::string_view route() const override { return "users"; }
  std::string_view service() const override { return service_; }
  std::string_view scheme() const override { return scheme_; }
  std::string_view capture(std::string_view name) const override {
    const auto found = captures_.find(name);
    return found == captures_.end() ? std::string_view{} : found->second;
  }
  const Consumers* consumers() const override { return consumers_; }
  std::string_view user() const override { return user_; }
  void set_user(std::string_view user) override { user_ = user; }
  std::string_view claim(std::string_view name) const override {
    return claims_ == nullptr ? std::string_view{} : claims_->find(name);
  }
  void set_claims(const Claims& claims) override { claims_ = &claims; }
  Loop& loop() override { return **loop_; }
  FilterShared& shared() override { return *shared_; }
  void*& state() override { return state_; }
  Subrequest* subrequest(std::string_view service, SubrequestUser* user) override {
    if (subrequests_full) return nullptr;
    return &subrequests_.emplace_back(std::string(service), user);
  }
  std::string_view client_cert_subject() const override { return client_cert_subject_; }
  void limit_body(uint64_t bytes) override { most_body_ = std::min(most_body_, bytes); }
  void tap_request(BodyTap& tap) override { taps_.add(tap); }
  void transform_response(BodyTransform& transform) override { transforms_.add(transform); }
  void count_auth_failure(const char* reason) override { auth_failures_.emplace_back(reason); }
  void count_rate_limited() override { ++rate_limited_; }
  void count_mirror_dropped(MirrorDrop why) override {
    mirror_dropped_ += why == MirrorDrop::kBody ? "body " : "busy ";
  }
  using Call::reply;
  void reply(const Error& error, const Fields& extra) override {
    reply_ = {error.status(), {}, {}, error};
    for (const Field& field : extra) reply_.fields.emplace_back(field.name, field.value);
    ++replies_;
  }
  void reply(uint16_t status, const Fields& fields, std::string_view body) override {
    reply_ = {status, {}, std::string(body), std::nullopt};
    for (const Field& field : fields) reply_.fields.emplace_back(field.name, field.value);
    ++replies_;
  }
  void resume() override { ++resumes_; }

  // What the filter is to see.
  FakeCall& target(std::string_view text) {
    request_.target = text;
    return *this;
  }
  FakeCall& authority(std::string_view text) {
    request_.authority = text;
    return *this;
  }
  FakeCall& scheme(std::string_view text) {
    scheme_ = text;
    return *this;
  }
  FakeCall& capture(const std::string& name, const std::string& value) {
    captures_[name] = value;
    return *this;
  }
  FakeCall& consumers(const Consumers& all) {
    consumers_ = &all;
    return *this;
  }
  FakeCall& request_id(const std::string& text) {
    request_id_ = text;
    return *this;
  }
  FakeCall& client(std::string_view text) {
    client_ip_ = *IpAddress::parse(text);
    return *this;
  }
  FakeCall& client_cert(std::string_view subject) {
    client_cert_subject_ = subject;
    return *this;
  }
  FakeCall& field(std::string_view name, std::string_view value) {
    request_.fields.add(arena_, arena_.copy(name), arena_.copy(value));
    return *this;
  }
  FakeCall& response_field(std::string_view name, std::string_view value) {
    response_.fields.add(arena_, name, value);
    return *this;
  }

  // Keeps the filter, as the snapshot does for as long as a request lives.
  Step run(FilterPtr filter) {
    kept_.push_back(std::move(filter));
    return kept_.back()->on_request(*this);
  }

  // What it replied is the response now, as on_response finds it.
  void reply_as_response() {
    response_.status = reply_.status;
    response_.fields.clear();
    for (const auto& [name, value] : reply_.fields) {
      response_.fields.add(arena_, arena_.copy(name), arena_.copy(value));
    }
  }

  // What it did.
  const Reply& replied() const { return reply_; }
  int replies() const { return replies_; }
  int resumes() const { return resumes_; }
  uint64_t most_body() const { return most_body_; }
  BodyTaps& taps() { return taps_; }
  BodyTransforms& transforms() { return transforms_; }
  const std::vector<std::string>& auth_failures() const { return auth_failures_; }
  int rate_limited() const { return rate_limited_; }
  testing::ManualLoop& manual_loop() { return *loop_; }
  std::deque<FakeSubrequest>& subrequests() { return subrequests_; }
  const std::string& mirror_dropped() const { return mirror_dropped_; }
  bool subrequests_full = false;
  // "name: value" of each field, in order.
  static std::vector<std::string> list(const Fields& fields) {
    std::vector<std::string> out;
    for (const Field& field : fields) {
      CHECK(field.id == field_id(field.name));
      out.push_back(std::string(field.name) + ": " + std::string(field.value));
    }
    return out;
  }

 private:
  FakeCall(FilterShared* shared, testing::ManualLoop* loop) {
    if (loop == nullptr) loop = &own_loop_.emplace();
    if (shared == nullptr) shared = &own_shared_.emplace();
    shared_ = shared;
    loop_ = loop;
    request_.method_name = "GET";
    request_.target = "/";
    request_.authority = "example.com";
  }

  std::vector<FilterPtr> kept_;
  Arena arena_;
  Head request_;
  Head response_;
  IpAddress client_ip_ = *IpAddress::parse("192.0.2.7");
  std::string request_id_ = "id-1";
  std::string service_;
  std::string scheme_ = "http";
  std::string user_;
  std::map<std::string, std::string, std::less<>> captures_;
  Reply reply_;
  int replies_ = 0;
  int resumes_ = 0;
  std::optional<testing::ManualLoop> own_loop_;
  std::optional<FilterShared> own_shared_;
  testing::ManualLoop* loop_;
  FilterShared* shared_;
  void* state_ = nullptr;
  std::string client_cert_subject_;
  const Claims* claims_ = nullptr;
  const Consumers* consumers_ = nullptr;
  uint64_t most_body_ = UINT64_MAX;
  BodyTaps taps_;
  BodyTransforms transforms_;
  std::vector<std::string> auth_failures_;
  int rate_limited_ = 0;
  std::string mirror_dropped_;
  std::deque<FakeSubrequest> subrequests_;
};

// The filter of a document such as {"respond": {"status": 503}}, made where `captures` are known.
inline FilterPtr make(std::string_view document,
                      const std::vector<std::string>& captures = {"id", "name"}) {
  FilterPtr filter;
  const Problems problems = read_json(document, JsonComments::kNo, [&](const JsonValue& root) {
    root.read_map(1, [&](const std::string& name, const JsonValue& config) {
      filter = make_filter(name, config, FilterContext{&captures});
    });
  });
  for (const auto& problem : problems) FAIL_CHECK(problem.to_string());
  REQUIRE(filter != nullptr);
  return filter;
}

// The first problem of a document that is no filter.
inline std::string problem_of(std::string_view document,
                              const std::vector<std::string>& captures = {"id", "name"}) {
  FilterPtr filter;
  const Problems problems = read_json(document, JsonComments::kNo, [&](const JsonValue& root) {
    root.read_map(1, [&](const std::string& name, const JsonValue& config) {
      filter = make_filter(name, config, FilterContext{&captures});
    });
  });
  CHECK((filter == nullptr) == !problems.empty());
  return problems.empty() ? "valid" : problems.front().to_string();
}

}  // namespace lictor
