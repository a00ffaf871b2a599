#include "http/h1_client.h"

#include <utility>

namespace lictor {
namespace {

constexpr H1Limits kResponseLimits{.header_bytes = 65536, .header_count = 256, .uri_bytes = 4096};

}  // namespace

H1Client::H1Client(Loop& loop, H1ClientOwner& owner)
    : loop_(loop), owner_(owner), codec_(H1Codec::Kind::kResponse, *this) {
  timer_.bind<&H1Client::on_connect_timeout>(this);
}

void H1Client::start(TransportPtr transport, Millis timeout) {
  transport_ = std::move(transport);
  transport_->set_user(this);
  transport_->resume();
  if (timeout.count() > 0) loop_.arm(timer_, static_cast<uint64_t>(timeout.count()));
}

// --- the request ---------------------------------------------------------------------------------

void H1Client::attach(StreamUser& user, const Head& request, Head& response, Arena& arena) {
  user_ = &user;
  pooled_ = false;
  response_ = &response;
  arena_ = &arena;
  method_ = request.method;
  informational_ = 0;
  sent_head_ = sent_all_ = received_all_ = false;
  codec_.begin(response, arena, kResponseLimits, method_);
}

void H1Client::send_head(const Head& head, bool end) {
  if (closed_) return;
  framing_ = h1::Framing::kNone;
  if (head.body == BodyKind::kLength) framing_ = h1::Framing::kLength;
  if (head.body == BodyKind::kUnknown) framing_ = h1::Framing::kChunked;
  h1::write_request_head(transport_->output(), head, framing_);
  sent_head_ = true;
  if (end) {
    if (framing_ == h1::Framing::kChunked) h1::write_last_chunk(transport_->output(), nullptr);
    sent_all_ = true;
  }
}

bool H1Client::send_body(std::string_view bytes, bool end) {
  if (closed_ || (sent_all_ && !tunnel_)) return true;
  bool room = true;
  if (!bytes.empty()) {
    if (framing_ == h1::Framing::kChunked && !tunnel_) {
      h1::write_chunk_start(transport_->output(), bytes.size());
      transport_->write(bytes);
      room = transport_->write(h1::kChunkEnd);
    } else {
      room = transport_->write(bytes);
    }
  }
  if (end) {
    if (tunnel_) {
      transport_->shutdown();
    } else if (framing_ == h1::Framing::kChunked) {
      h1::write_last_chunk(transport_->output(), nullptr);
    }
    sent_all_ = true;
  }
  return room;
}

void H1Client::send_trailers(const Fields& trailers) {
  if (closed_ || sent_all_) return;
  if (framing_ == h1::Framing::kChunked) h1::write_last_chunk(transport_->output(), &trailers);
  sent_all_ = true;
}

void H1Client::pause() {
  if (!closed_) transport_->pause();
}
void H1Client::resume() {
  if (!closed_) transport_->resume();
}

void H1Client::release() {
  user_ = nullptr;
  if (closed_) return;
  if (!sent_all_ || !received_all_ || tunnel_ || saw_eof_ || last_ || !codec_.keep_alive()) {
    close();
  } else if (in_process_) {
    idle_pending_ = true;
  } else {
    become_idle();
  }
}

void H1Client::become_idle() {
  reused_ = pooled_ = true;
  idle_since_ms_ = loop_.now_ms();
  transport_->resume();
  owner_.on_idle(*this);
}

// --- the response --------------------------------------------------------------------------------

void H1Client::on_connect() {
  connecting_ = false;
  Loop::cancel(timer_);
  if (user_ != nullptr) user_->on_drain();
}

void H1Client::on_connect_timeout() {
  break_off(Failure::kConnectTimeout, "connecting took too long");
}

void H1Client::on_read(std::span<char> bytes) { process({bytes.data(), bytes.size()}); }

void H1Client::process(std::string_view bytes) {
  in_process_ = true;
  consume(bytes);
  in_process_ = false;
  if (std::exchange(idle_pending_, false) && !closed_) become_idle();
}

void H1Client::consume(std::string_view bytes) {
  while (!bytes.empty() && !closed_) {
    if (user_ == nullptr || !sent_head_) {
      close();  // nobody asked
      return;
    }
    if (tunnel_) {
      user_->on_body(bytes, false);
      return;
    }
    if (received_all_) {
      // More than one response to one request: whose would the rest be?
      break_off(Failure::kUpstreamProtocol, "bytes after the response");
      return;
    }
    const auto used = codec_.feed(bytes);
    if (closed_) return;
    if (!used) {
      break_off(used.error().failure, used.error().detail);
      return;
    }
    bytes.remove_prefix(*used);
    if (!codec_.complete() || tunnel_ || received_all_ || user_ == nullptr) continue;
    // An informational head; the final one is still to come.
    if (++informational_ > kMaxInformational) {
      break_off(Failure::kUpstreamProtocol, "too many informational responses");
      return;
    }
    *response_ = Head();
    codec_.begin(*response_, *arena_, kResponseLimits, method_);
  }
}

void H1Client::on_codec_head(Head& head, bool end) {
  if (head.status == 101) {
    tunnel_ = true;
    sent_all_ = true;
  } else if (head.status >= 200 && end) {
    received_all_ = true;
  }
  user_->on_head(head, end && head.status >= 200);
  if (closed_) codec_.stop();
}

void H1Client::on_codec_body(std::string_view bytes) {
  if (user_ != nullptr) user_->on_body(bytes, false);
  if (closed_) codec_.stop();
}

void H1Client::on_codec_end(Fields& trailers) {
  received_all_ = true;
  if (user_ != nullptr) {
    if (trailers.empty()) {
      user_->on_body({}, true);
    } else {
      user_->on_trailers(trailers);
    }
  }
  if (closed_) codec_.stop();
}

void H1Client::on_drain() {
  if (user_ != nullptr) user_->on_drain();
}

// --- the end -------------------------------------------------------------------------------------

void H1Client::on_eof() {
  saw_eof_ = true;
  if (user_ == nullptr) {
    close();
  } else if (tunnel_) {
    user_->on_body({}, true);
  } else if (const auto whole = codec_.finish(); !whole) {
    break_off(Failure::kUpstreamReset, codec_.in_head()
                                           ? "closed before the response's head was complete"
                                           : "the response was cut short");
  }
}

void H1Client::on_error(const Error& error) {
  const bool refused = connecting_ && error.failure == Failure::kUpstreamReset;
  break_off(refused ? Failure::kConnectRefused : error.failure, error.detail);
}

void H1Client::break_off(Failure failure, const char* detail) {
  if (closed_) return;
  const Error error{failure, !connecting_, detail};
  StreamUser* user = user_;
  close();
  if (user != nullptr) user->on_reset(error);
}

void H1Client::close() {
  if (closed_) return;
  closed_ = true;
  Loop::cancel(timer_);
  transport_.reset();
  ListNode<H1Client>::unlink();
  owner_.on_closed(*this);
  loop_.bury(this);
}

}  // namespace lictor
