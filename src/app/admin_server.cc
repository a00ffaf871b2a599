#include "app/admin_server.h"

#include <functional>
#include <optional>
#include <utility>

#include "http/h1_write.h"
#include "http/uri.h"

namespace lictor {
namespace {

H1ServerOptions options() {
  H1ServerOptions made;
  made.limits = {.header_bytes = 32768, .header_count = 64, .uri_bytes = 8192};
  made.header_timeout = Millis(10'000);
  made.idle_timeout = Millis(60'000);
  return made;
}

// What follows the head of GET /v1/events: events as they come, and a sign of life between them.
class EventStream final : public EventHub::Listener {
 public:
  // `too_slow` is called when more waits than may; it may destroy this.
  EventStream(Loop& loop, ServerStream& stream, EventHub& hub, std::function<void()> too_slow)
      : loop_(loop), stream_(stream), hub_(hub), too_slow_(std::move(too_slow)) {
    heartbeat_.bind<&EventStream::on_heartbeat>(this);
    rest();
  }
  ~EventStream() { hub_.leave(*this); }
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  void on_event(std::string_view text) override {
    if (waiting_.size() + text.size() > AdminServer::kMaxEventBytes) return too_slow_();
    waiting_ += text;
    if (room_) flush();
  }
  void on_drain() {
    room_ = true;
    if (!waiting_.empty()) flush();
  }

 private:
  void flush() {
    room_ = stream_.send_body(waiting_, false);
    waiting_.clear();
  }
  void rest() { loop_.arm(heartbeat_, static_cast<uint64_t>(AdminServer::kHeartbeat.count())); }
  void on_heartbeat() {
    rest();
    if (room_) on_event(": still here\n\n");
  }

  Loop& loop_;
  ServerStream& stream_;
  EventHub& hub_;
  const std::function<void()> too_slow_;
  Timer heartbeat_;
  std::string waiting_;
  bool room_ = true;
};

// One call: gathers the request, answers, and is gone, unless it goes on with events.
class AdminCall final : public StreamUser {
 public:
  AdminCall(Loop& loop, ServerStream& stream, AdminApi& api, EventHub& events)
      : loop_(loop), stream_(stream), api_(api), events_(events) {
    body_timer_.bind<&AdminCall::on_slow_body>(this);
  }

  void on_head(Head& head, bool end) override {
    head_ = &head;
    if (end) return answer();
    loop_.arm(body_timer_, static_cast<uint64_t>(AdminServer::kBodyTimeout.count()));
  }
  void on_body(std::string_view bytes, bool end) override {
    if (body_.size() + bytes.size() > AdminServer::kMaxBody) {
      send(refusal({Failure::kBodyTooLarge, false, "the body is too large"}));
      return;
    }
    body_ += bytes;
    if (end) answer();
  }
  void on_trailers(Fields&) override { answer(); }
  void on_drain() override {
    if (event_stream_) event_stream_->on_drain();
  }
  void on_reset(const Error& error) override {
    if (event_stream_ || error.failure == Failure::kClientAbort) {
      finish();
    } else {
      send(refusal(error));
    }
  }

 private:
  void on_slow_body() {
    stream_.close_after();
    send(refusal({Failure::kRequestTimeout, false, "the body takes too long"}));
  }

  void answer() {
    Loop::cancel(body_timer_);
    const auto target = parse_target(head_->method, head_->target);
    if (!target) {
      send(refusal(target.error()));
      return;
    }
    AdminRequest request;
    request.method = head_->method_name;
    request.path = target->path;
    request.query = target->query;
    request.host = target->authority.empty() ? head_->authority : target->authority;
    request.fields = &head_->fields;
    request.body = body_;
    const AdminResponse response = api_.handle(request);
    const bool head_only = head_->method_name == "HEAD";
    if (response.is_stream && !head_only) {
      send_events(response);
    } else {
      send(response);
    }
  }

  void send_events(const AdminResponse& response) {
    if (events_.listeners() >= EventHub::kMaxListeners) {
      stream_.close_after();
      return send(refusal({Failure::kOverloaded, false, "enough listeners"}));
    }
    Head head = head_of(response);
    head.body = BodyKind::kUnknown;
    stream_.close_after();
    stream_.send_head(head, false);
    event_stream_.emplace(loop_, stream_, events_, [this] { finish(); });
    events_.join(*event_stream_);
    event_stream_->on_event(response.body);
  }

  static AdminResponse refusal(const Error& error) {
    AdminResponse response;
    response.status = error.status();
    response.content_type = "application/problem+json";
    response.body = std::string(R"({"type":"about:blank","title":")") +
                    std::string(describe(error.failure).title) + R"(","status":)" +
                    std::to_string(error.status()) + R"(,"code":")" + std::string(error.code()) +
                    "\"}\n";
    return response;
  }

  void send(const AdminResponse& response) {
    Head head = head_of(response);
    head.body = BodyKind::kLength;
    head.length = response.body.size();
    stream_.send_head(head, response.body.empty());
    if (!response.body.empty()) stream_.send_body(response.body, true);
    finish();
  }

  Head head_of(const AdminResponse& response) {
    Head head;
    head.status = response.status;
    head.reason = h1::reason_phrase(response.status);
    head.fields.add(stream_.arena(), "Content-Type", response.content_type);
    for (const auto& [name, value] : response.headers) {
      head.fields.add(stream_.arena(), name, value);
    }
    return head;
  }

  // The last thing that is done, also from inside an event.
  void finish() {
    stream_.release();
    delete this;
  }

  Loop& loop_;
  ServerStream& stream_;
  AdminApi& api_;
  EventHub& events_;
  std::optional<EventStream> event_stream_;
  Head* head_ = nullptr;
  Timer body_timer_;
  std::string body_;
};

}  // namespace

AdminServer::AdminServer(Loop& loop, AdminApi& api, EventHub& events)
    : loop_(loop), api_(api), events_(events), server_(loop, *this, nullptr, options()) {}

AdminServer::~AdminServer() {
  if (listener_ != nullptr) listener_->close();
  server_.close_all();
}

std::string AdminServer::start(int fd) {
  auto opened = Listener::open(loop_, fd, *this);
  if (!opened) return opened.error();
  listener_ = *opened;
  return {};
}

StreamUser* AdminServer::on_stream(ServerStream& stream) {
  return new AdminCall(loop_, stream, api_, events_);
}

void AdminServer::on_accept(TransportPtr transport) {
  if (server_.connections() >= kMaxConnections) return;
  server_.accept(std::move(transport), 0, 0);
}

}  // namespace lictor
