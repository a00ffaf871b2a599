// What the control plane's tests stand on: a clock that moves when told, and a Consul that says
// what the test wants. No test sleeps or opens a socket.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "control/background.h"
#include "control/fetcher.h"
#include "control/scheduler.h"

namespace lictor::test {

// Faults by the hundred are the business of these tests, not news.
struct QuietLog {
  QuietLog() { log::set_level(log::Level::kOff); }
  ~QuietLog() { log::set_level(before); }
  QuietLog(const QuietLog&) = delete;
  QuietLog& operator=(const QuietLog&) = delete;
  const log::Level before = log::level();
};

class ManualScheduler final : public Scheduler {
 public:
  Millis now() const override { return now_; }
  int64_t wall_ms() const override { return wall_offset + now_.count(); }
  double random() override { return chance; }
  std::unique_ptr<ScheduledCall> timer(std::function<void()> fire) override {
    return std::make_unique<ManualTimer>(*this, std::move(fire));
  }

  // Fires what falls due on the way, in order, each at its own time.
  void advance(Millis by) {
    const Millis end = now_ + by;
    while (true) {
      auto next = due_.begin();
      if (next == due_.end() || next->first.first > end) break;
      now_ = std::max(now_, next->first.first);
      const auto fire = next->second->fire;  // a copy: firing may destroy the timer
      next->second->stop();
      fire();
    }
    now_ = end;
  }
  size_t armed() const { return due_.size(); }

  double chance = 0;
  int64_t wall_offset = 1'700'000'000'000;

 private:
  struct ManualTimer final : ScheduledCall {
    ManualTimer(ManualScheduler& s, std::function<void()> f) : scheduler(s), fire(std::move(f)) {}
    ~ManualTimer() override { stop(); }
    ManualTimer(const ManualTimer&) = delete;
    ManualTimer& operator=(const ManualTimer&) = delete;
    void start(Millis delay) override {
      stop();
      key = {scheduler.now_ + std::max(delay, Millis(0)), ++scheduler.sequence_};
      scheduler.due_[key] = this;
    }
    void stop() override { scheduler.due_.erase(key); }

    ManualScheduler& scheduler;
    std::function<void()> fire;
    std::pair<Millis, uint64_t> key{};
  };

  QuietLog quiet_;
  Millis now_{1'000'000};
  uint64_t sequence_ = 0;
  std::map<std::pair<Millis, uint64_t>, ManualTimer*> due_;
};

// Keeps requests until the test answers them. Names in `headers` are in lower case.
class FakeFetcher final : public Fetcher {
 public:
  struct Asked {
    HttpRequest request;
    std::function<void(HttpResponse)> done;
  };

  std::unique_ptr<Fetch> fetch(HttpRequest request,
                               std::function<void(HttpResponse)> done) override {
    const uint64_t id = ++last_;
    pending_[id] = {std::move(request), std::move(done)};
    most_ = std::max(most_, pending_.size());
    return std::make_unique<Handle>(*this, id);
  }
  size_t connections() const override { return pending_.size(); }

  uint64_t total() const { return last_; }
  size_t pending() const { return pending_.size(); }
  size_t most_at_once() const { return most_; }
  // Of the oldest pending request whose URL contains `part`; empty when there is none.
  std::string url(const std::string& part = {}) const {
    const auto at = find(part);
    return at == pending_.end() ? std::string() : at->second.request.url;
  }
  HttpRequest request(const std::string& part = {}) const { return find(part)->second.request; }

  void answer(HttpResponse response, const std::string& part = {}) {
    const auto at = find(part);
    if (at == pending_.end()) throw std::runtime_error("no such request is pending: " + part);
    const auto asked = std::move(at->second);
    pending_.erase(at);
    asked.done(std::move(response));
  }
  void answer(uint64_t index, std::string body, const std::string& part = {}) {
    answer(ok(index, std::move(body)), part);
  }
  void fail(const std::string& error, const std::string& part = {}) {
    HttpResponse response;
    response.error = error;
    answer(std::move(response), part);
  }

  static HttpResponse ok(uint64_t index, std::string body, int status = 200, bool leader = true) {
    HttpResponse response;
    response.status = status;
    response.headers["x-consul-index"] = std::to_string(index);
    response.headers["x-consul-knownleader"] = leader ? "true" : "false";
    response.body = std::move(body);
    return response;
  }
  static HttpResponse status(int status, std::string body = {}) {
    HttpResponse response;
    response.status = status;
    response.body = std::move(body);
    return response;
  }

 private:
  struct Handle final : Fetch {
    Handle(FakeFetcher& f, uint64_t i) : fetcher(f), id(i) {}
    ~Handle() override { fetcher.pending_.erase(id); }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    FakeFetcher& fetcher;
    uint64_t id;
  };
  std::map<uint64_t, Asked>::const_iterator find(const std::string& part) const {
    return std::find_if(pending_.begin(), pending_.end(), [&part](const auto& entry) {
      return entry.second.request.url.find(part) != std::string::npos;
    });
  }
  std::map<uint64_t, Asked>::iterator find(const std::string& part) {
    return std::find_if(pending_.begin(), pending_.end(), [&part](const auto& entry) {
      return entry.second.request.url.find(part) != std::string::npos;
    });
  }

  uint64_t last_ = 0;
  size_t most_ = 0;
  std::map<uint64_t, Asked> pending_;
};

// Keeps work until the test runs it.
class FakeBackground {
 public:
  Background background() {
    return [this](std::function<void()> work, std::function<void()> done) {
      auto handle = std::make_shared<std::function<void()>>(std::move(done));
      jobs_.push_back({std::move(work), handle});
      return std::shared_ptr<void>(handle);
    };
  }
  size_t pending() const { return jobs_.size(); }
  // The oldest, from its beginning to its end.
  void run() {
    const Job job = jobs_.front();
    jobs_.erase(jobs_.begin());
    job.work();
    if (const auto done = job.done.lock()) (*done)();
  }

 private:
  struct Job {
    std::function<void()> work;
    std::weak_ptr<std::function<void()>> done;
  };
  std::vector<Job> jobs_;
};

// A folder that is gone with the test.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lictor-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = pattern;
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ / name; }
  std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// One entry of /v1/health/service/<name>. `output` is what the check printed.
inline std::string entry(const std::string& id, const std::string& status = "passing",
                         int port = 80, const std::string& address = "10.0.0.1",
                         const std::string& output = "ran") {
  return R"({"Node":{"Node":"n1","Address":"10.9.9.9","Datacenter":"dc1"},"Service":{"ID":")" + id +
         R"(","Service":"web","Tags":["v1"],"Address":")" + address +
         R"(","Meta":{"k":"v"},"Port":)" + std::to_string(port) +
         R"(,"Weights":{"Passing":3,"Warning":1}},"Checks":[{"CheckID":"serfHealth",)" +
         R"("Status":"passing","Output":""},{"CheckID":"service:x","Status":")" + status +
         R"(","Output":")" + output + R"("}]})";
}

inline std::string list(const std::vector<std::string>& entries) {
  std::string out = "[";
  for (const auto& one : entries) out += (out.size() > 1 ? "," : "") + one;
  return out + "]";
}

inline std::string base64(std::string_view text) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < text.size(); i += 3) {
    const size_t left = std::min<size_t>(3, text.size() - i);
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < left ? static_cast<unsigned char>(text[i + j]) : 0);
    }
    for (size_t j = 0; j < 4; ++j) out += j <= left ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

// One entry of /v1/kv/<prefix>/?recurse.
inline std::string kv(const std::string& key, std::string_view text, uint64_t index = 7) {
  return R"({"LockIndex":0,"Key":")" + key + R"(","Flags":0,"Value":")" + base64(text) +
         R"(","CreateIndex":1,"ModifyIndex":)" + std::to_string(index) + "}";
}

}  // namespace lictor::test
