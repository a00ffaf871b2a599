#include "control/trace_exporter.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"
#include "base/version.h"

namespace lictor {
namespace {

constexpr std::string_view kClosing = "]}]}]}";

std::string opening(const TraceExporter::Options& options) {
  using nlohmann::json;
  const auto attribute = [](std::string_view key, std::string_view value) {
    return json{{"key", key}, {"value", {{"stringValue", value}}}};
  };
  const json resource = {
      {"attributes",
       {attribute("service.name", options.service_name), attribute("service.version", version()),
        attribute("service.instance.id", options.instance_id)}}};
  const json scope = {{"name", "lictor"}, {"version", version()}};
  return R"({"resourceSpans":[{"resource":)" + resource.dump() + R"(,"scopeSpans":[{"scope":)" +
         scope.dump() + R"(,"spans":[)";
}

// What an answer says may be worth another attempt (OTLP 1.0, "Retryable Response Codes").
bool may_try_again(const HttpResponse& answer) {
  switch (answer.status) {
    case 0:
    case 429:
    case 502:
    case 503:
    case 504:
      return true;
    default:
      return false;
  }
}

// A collector may take a batch and yet refuse some of its spans.
uint64_t rejected_spans(const std::string& body) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (!json.is_object() || !json.contains("partialSuccess")) return 0;
  const auto& partial = json["partialSuccess"];
  if (!partial.is_object() || !partial.contains("rejectedSpans")) return 0;
  const auto& rejected = partial["rejectedSpans"];
  if (rejected.is_number_unsigned()) return rejected.get<uint64_t>();
  if (!rejected.is_string()) return 0;
  return std::strtoull(rejected.get_ref<const std::string&>().c_str(), nullptr, 10);
}

Millis asked_pause(const HttpResponse& answer) {
  const std::string seconds(answer.header("retry-after"));
  return Millis(std::clamp<long long>(std::strtoll(seconds.c_str(), nullptr, 10), 0, 30) * 1000);
}

}  // namespace

TraceExporter::TraceExporter(Options options, SpanQueue& spans, Fetcher& fetcher,
                             Scheduler& scheduler)
    : options_(std::move(options)),
      opening_(opening(options_)),
      spans_(spans),
      fetcher_(fetcher),
      scheduler_(scheduler),
      timer_(scheduler.timer([this] { act(); })),
      farewell_(scheduler.timer([this] { end(); })) {
  timer_->start(kEvery);
}

void TraceExporter::act() {
  if (fetch_ != nullptr) return;
  if (batch_.count == 0) batch_ = spans_.take(kBatchBytes);
  if (batch_.count != 0) {
    send();
  } else if (done_) {
    end();
  } else {
    timer_->start(kEvery);
  }
}

void TraceExporter::send() {
  ++attempts_;
  HttpRequest request;
  request.method = "POST";
  request.url = options_.url;
  request.headers = {"Content-Type: application/json"};
  request.body = opening_ + batch_.spans;
  request.body += kClosing;
  request.timeout = kTimeout;
  request.max_body = 64 << 10;
  fetch_ = fetcher_.fetch(std::move(request), [this](const HttpResponse& answer) {
    fetch_.reset();
    on_answer(answer);
  });
}

void TraceExporter::on_answer(const HttpResponse& answer) {
  if (answer.status >= 200 && answer.status < 300) {
    spans_.count_dropped(std::min<uint64_t>(rejected_spans(answer.body), batch_.count));
    settle(true);
    return;
  }
  const std::string why =
      answer.status == 0 ? answer.error : "status " + std::to_string(answer.status);
  if (!std::exchange(failing_, true)) {
    log::warn("traces: {} does not take them: {}", options_.url, why);
  }
  if (may_try_again(answer) && attempts_ < kAttempts && !done_) {
    timer_->start(std::max(backoff_.next(scheduler_, kMostPause), asked_pause(answer)));
    return;
  }
  settle(false);
}

void TraceExporter::settle(bool sent) {
  if (sent) {
    backoff_.reset();
    if (std::exchange(failing_, false)) log::info("traces: {} takes them again", options_.url);
  } else {
    spans_.count_dropped(batch_.count);
  }
  batch_ = {};
  attempts_ = 0;
  // Those that came meanwhile go at once, if they are many or the last.
  timer_->start(done_ || spans_.bytes() >= kBatchBytes ? Millis{0} : kEvery);
}

void TraceExporter::finish(std::function<void()> done) {
  done_ = std::move(done);
  farewell_->start(kFarewell);
  if (fetch_ == nullptr) {
    timer_->stop();
    act();
  }
}

void TraceExporter::end() {
  farewell_->stop();
  timer_->stop();
  fetch_.reset();
  if (done_) std::exchange(done_, nullptr)();
}

}  // namespace lictor
