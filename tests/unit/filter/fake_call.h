// A Call without a gateway: tests set what a filter reads and look at what it did.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "filter/makers.h"

namespace lictor {

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

  FakeCall() {
    request_.method_name = "GET";
    request_.target = "/";
    request_.authority = "example.com";
  }

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
  std::string_view user() const override { return user_; }
  void set_user(std::string_view user) override { user_ = user; }
  void reply(const Error& error) override {
    reply_ = {error.status(), {}, {}, error};
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
  FakeCall& request_id(const std::string& text) {
    request_id_ = text;
    return *this;
  }
  FakeCall& client(std::string_view text) {
    client_ip_ = *IpAddress::parse(text);
    return *this;
  }
  FakeCall& field(std::string_view name, std::string_view value) {
    request_.fields.add(arena_, name, value);
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

  // What it did.
  const Reply& replied() const { return reply_; }
  int replies() const { return replies_; }
  int resumes() const { return resumes_; }
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
