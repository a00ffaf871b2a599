#include "app/admin_server.h"

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

// One call: gathers the request, answers, and is gone.
class AdminCall final : public StreamUser {
 public:
  AdminCall(ServerStream& stream, AdminApi& api) : stream_(stream), api_(api) {}

  void on_head(Head& head, bool end) override {
    head_ = &head;
    if (end) answer();
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
  void on_drain() override {}
  void on_reset(const Error& error) override {
    if (error.failure == Failure::kClientAbort) {
      finish();
    } else {
      send(refusal(error));
    }
  }

 private:
  void answer() {
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
    send(api_.handle(request));
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
    Head head;
    head.status = response.status;
    head.reason = h1::reason_phrase(response.status);
    head.body = BodyKind::kLength;
    head.length = response.body.size();
    head.fields.add(stream_.arena(), "Content-Type", response.content_type);
    for (const auto& [name, value] : response.headers) {
      head.fields.add(stream_.arena(), name, value);
    }
    stream_.send_head(head, response.body.empty());
    if (!response.body.empty()) stream_.send_body(response.body, true);
    finish();
  }

  void finish() {
    stream_.release();
    delete this;
  }

  ServerStream& stream_;
  AdminApi& api_;
  Head* head_ = nullptr;
  std::string body_;
};

}  // namespace

AdminServer::AdminServer(Loop& loop, AdminApi& api)
    : loop_(loop), api_(api), server_(loop, *this, nullptr, options()) {}

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

StreamUser* AdminServer::on_stream(ServerStream& stream) { return new AdminCall(stream, api_); }

void AdminServer::on_accept(TransportPtr transport) {
  if (server_.connections() >= kMaxConnections) return;
  server_.accept(std::move(transport), 0, 0);
}

}  // namespace lictor
