#include "http/h1_server.h"

#include <algorithm>
#include <utility>

#include "http/rules.h"

namespace lictor {

H1ServerContext::H1ServerContext(Loop& loop, StreamHandler& handler, Observer* observer,
                                 H1ServerOptions options)
    : loop_(loop), handler_(handler), observer_(observer), options_(options) {}

H1ServerContext::~H1ServerContext() { close_all(); }

void H1ServerContext::accept(TransportPtr transport, uint16_t listener, uint16_t local_port) {
  auto* connection = new H1Server(*this, std::move(transport), listener, local_port);
  open_.push_back(*connection);
  ++count_;
  if (observer_ != nullptr) observer_->on_open(listener);
  if (draining_) connection->drain();
}

void H1ServerContext::drain() {
  leaving_ = draining_ = true;
  open_.for_each([](H1Server& connection) { connection.drain(); });
}

void H1ServerContext::close_all() {
  open_.for_each([](H1Server& connection) {
    connection.cut_off({Failure::kDraining, false, "the gateway ends"});
  });
}

std::unique_ptr<H1ServerContext::RequestState> H1ServerContext::take_state(H1CodecUser& user) {
  if (states_.empty()) return std::make_unique<RequestState>(user);
  auto state = std::move(states_.back());
  states_.pop_back();
  state->codec.set_user(user);
  return state;
}

void H1ServerContext::give_state(std::unique_ptr<RequestState> state) {
  if (state == nullptr || states_.size() == kKeptStates) return;
  state->head = Head();
  state->arena.reset();
  state->pending.clear();
  states_.push_back(std::move(state));
}

H1Server::H1Server(H1ServerContext& context, TransportPtr transport, uint16_t listener,
                   uint16_t local_port)
    : context_(context),
      transport_(std::move(transport)),
      listener_(listener),
      local_port_(local_port) {
  timer_.bind<&H1Server::on_timer>(this);
  idle_since_ms_ = context_.loop_.now_ms();
  // A client that connects and says nothing gets as long as one that says half a head.
  const auto first = context_.options_.header_timeout;
  if (first.count() > 0) context_.loop_.arm(timer_, static_cast<uint64_t>(first.count()));
  transport_->set_user(this);
  transport_->resume();
}

// --- bytes from the client -----------------------------------------------------------------------

bool H1Server::wants_bytes() const {
  return request_ == State::kIdle || request_ == State::kHead || request_ == State::kBody ||
         request_ == State::kTunnel;
}

void H1Server::on_read(std::span<char> bytes) {
  if (context_.observer_ != nullptr) context_.observer_->on_bytes(bytes.size(), 0);
  const std::string_view text(bytes.data(), bytes.size());
  if (request_ == State::kLinger || broken_) {
    discarded_ += static_cast<uint32_t>(bytes.size());
    if (discarded_ > kMaxLinger) close();
    return;
  }
  const size_t used = has_pending() ? 0 : process(text);
  if (request_ == State::kClosed || request_ == State::kLinger) return;
  if (used < text.size()) {
    Buffer& pending = state_->pending;
    pending.append(text.substr(used));
    if (pending.size() > kMaxPending && !wants_bytes()) transport_->pause();
    if (wants_bytes()) context_.loop_.flush_later(*this);
  }
  watch_head();
}

// Feeds requests to the codec as long as they are wanted; returns how much was used.
size_t H1Server::process(std::string_view bytes) {
  const size_t size = bytes.size();
  in_process_ = true;
  while (!bytes.empty() && wants_bytes() && !broken_) {
    if (request_ == State::kTunnel) {
      if (user_ != nullptr) user_->on_body(bytes, false);
      bytes = {};
      break;
    }
    if (request_ == State::kIdle) begin_request();
    const auto used = state_->codec.feed(bytes);
    if (request_ == State::kClosed) break;
    if (!used) {
      refuse(used.error());
      break;
    }
    bytes.remove_prefix(*used);
    if (state_->codec.complete() && request_ != State::kTunnel) {
      request_ = State::kDone;
      if (user_ == nullptr) finish_request();
    }
  }
  in_process_ = false;
  if (request_ == State::kClosed || request_ == State::kLinger) end_request();
  return broken_ ? size : size - bytes.size();
}

void H1Server::begin_request() {
  if (state_ == nullptr) state_ = context_.take_state(*this);
  state_->peer = {transport_->peer(), listener_, local_port_, transport_->tls()};
  request_ = State::kHead;
  reply_ = Reply::kNone;
  discarded_ = 0;
  if (requests_ != UINT32_MAX) ++requests_;
  state_->codec.begin(state_->head, state_->arena, context_.options_.limits);
  user_ = context_.handler_.on_stream(*this);
}

// Of a connection that takes no other request: gives back what the last one needed, unless its user
// or the codec is still at it.
void H1Server::end_request() {
  if (user_ == nullptr && !in_process_) context_.give_state(std::exchange(state_, nullptr));
}

// A head that did not come at once gets until header_timeout.
void H1Server::watch_head() {
  if (request_ != State::kHead || idle_since_ms_ == UINT64_MAX) return;
  idle_since_ms_ = UINT64_MAX;
  const auto limit = context_.options_.header_timeout;
  if (limit.count() > 0) context_.loop_.arm(timer_, static_cast<uint64_t>(limit.count()));
}

void H1Server::on_codec_head(Head& head, bool end) {
  if (idle_since_ms_ == UINT64_MAX) Loop::cancel(timer_);
  request_ = State::kBody;
  const auto expect = head.fields.get(FieldId::kExpect);
  expects_continue_ = !end && !expect.empty() && equals_ignore_case(expect, "100-continue");
  if (user_ != nullptr) user_->on_head(head, end);
  if (request_ == State::kClosed) state_->codec.stop();
}

void H1Server::on_codec_body(std::string_view bytes) {
  expects_continue_ = false;
  if (user_ != nullptr) {
    user_->on_body(bytes, false);
  } else {
    discarded_ += static_cast<uint32_t>(bytes.size());
    if (discarded_ > kMaxDiscard) finish_connection();
  }
  if (request_ == State::kClosed || request_ == State::kLinger) state_->codec.stop();
}

void H1Server::on_codec_end(Fields& trailers) {
  if (user_ != nullptr) {
    if (trailers.empty()) {
      user_->on_body({}, true);
    } else {
      user_->on_trailers(trailers);
    }
  }
  if (request_ == State::kClosed) state_->codec.stop();
}

void H1Server::flush() {
  if (request_ == State::kClosed) return;
  if (request_ == State::kLinger) {
    if (close_when_flushed_ && transport_->queued() == 0) close();
    return;
  }
  process_pending();
  if (request_ == State::kClosed) return;
  watch_head();
}

void H1Server::process_pending() {
  while (has_pending() && wants_bytes()) {
    const size_t used = process(state_->pending.front());
    if (request_ == State::kClosed || request_ == State::kLinger) return;
    state_->pending.consume(broken_ ? state_->pending.size() : used);
  }
  if (request_ == State::kIdle) end_request();
  if (!paused_ && !pending_full()) transport_->resume();
}

// --- the response --------------------------------------------------------------------------------

void H1Server::count_out(size_t before) {
  if (context_.observer_ != nullptr) {
    context_.observer_->on_bytes(0, transport_->output().size() - before);
  }
}

void H1Server::send_head(const Head& head, bool end) {
  if (request_ == State::kClosed) return;
  Buffer& out = transport_->output();
  const size_t before = out.size();
  if (head.status < 200 && head.status != 101) {
    if (state_->head.version == Version::kHttp10) return;
    expects_continue_ = expects_continue_ && head.status != 100;
    h1::write_response_head(out, head, h1::Framing::kNone, h1::Connection::kDefault);
    count_out(before);
    return;
  }
  reply_ = Reply::kStarted;
  if (head.status == 101) {
    request_ = State::kTunnel;
    framing_ = h1::Framing::kUntilClose;
    h1::write_response_head(out, head, h1::Framing::kNone, h1::Connection::kDefault);
    if (has_pending()) context_.loop_.flush_later(*this);
    count_out(before);
    return;
  }
  const Version version = state_->head.version;
  framing_ = h1::response_framing(head, state_->head.method, version);
  bodiless_ = state_->head.method == Method::kHead || head.status == 304 || head.status == 204;
  const uint64_t most = context_.options_.requests_per_connection;
  // A client that was told the outcome before "100 Continue" may send the body or not: no way to
  // tell.
  if (broken_ || expects_continue_ || context_.leaving_ || (most != 0 && requests_ >= most) ||
      framing_ == h1::Framing::kUntilClose || !state_->codec.keep_alive()) {
    close_after_ = true;
  }
  h1::Connection connection = h1::Connection::kDefault;
  if (close_after_) {
    connection = h1::Connection::kClose;
  } else if (version == Version::kHttp10) {
    connection = h1::Connection::kKeepAlive;
  }
  h1::write_response_head(out, head, framing_, connection);
  count_out(before);
  if (end) {
    if (framing_ == h1::Framing::kChunked && !bodiless_) h1::write_last_chunk(out, nullptr);
    end_reply();
  }
}

bool H1Server::send_body(std::string_view bytes, bool end) {
  if (request_ == State::kClosed || reply_ == Reply::kDone) return true;
  bool room = true;
  if (!bytes.empty() && !bodiless_) {
    if (context_.observer_ != nullptr) context_.observer_->on_bytes(0, bytes.size());
    if (framing_ == h1::Framing::kChunked) {
      h1::write_chunk_start(transport_->output(), bytes.size());
      transport_->write(bytes);
      room = transport_->write(h1::kChunkEnd);
    } else {
      room = transport_->write(bytes);
    }
  }
  if (end) {
    if (framing_ == h1::Framing::kChunked && !bodiless_) {
      h1::write_last_chunk(transport_->output(), nullptr);
    }
    if (request_ == State::kTunnel) transport_->shutdown();
    end_reply();
  }
  return room;
}

void H1Server::send_trailers(const Fields& trailers) {
  if (request_ == State::kClosed || reply_ == Reply::kDone) return;
  if (framing_ == h1::Framing::kChunked && !bodiless_) {
    h1::write_last_chunk(transport_->output(), &trailers);
  }
  end_reply();
}

void H1Server::end_reply() { reply_ = Reply::kDone; }

void H1Server::pause() {
  paused_ = true;
  if (request_ != State::kClosed) transport_->pause();
}

void H1Server::resume() {
  paused_ = false;
  if (request_ != State::kClosed && !pending_full()) transport_->resume();
}

// --- the end of a request ------------------------------------------------------------------------

void H1Server::release() {
  user_ = nullptr;
  paused_ = false;
  if (request_ == State::kClosed) {
    end_request();
    return;
  }
  if (reply_ != Reply::kDone) {
    abandon({});
  } else if (request_ == State::kTunnel || close_after_ || broken_) {
    finish_connection();
  } else if (request_ == State::kDone) {
    if (!in_process_) finish_request();
  } else {
    // The rest of the body is read and dropped, for a while.
    context_.loop_.arm(timer_, kLingerMs);
    transport_->resume();
  }
}

// Request and response are complete and the connection goes on.
void H1Server::finish_request() {
  if (close_after_ || broken_) {
    finish_connection();
    return;
  }
  const bool more = has_pending();
  if (more) {
    state_->head = Head();
    state_->arena.reset();
  } else {
    context_.give_state(std::exchange(state_, nullptr));
  }
  request_ = State::kIdle;
  reply_ = Reply::kNone;
  idle_since_ms_ = context_.loop_.now_ms();
  const auto idle = context_.options_.idle_timeout;
  // A timer that is armed looks when it fires; only one for a longer timeout would be late.
  const bool late = requests_ == 1 && idle < context_.options_.header_timeout;
  if (idle.count() > 0 && (late || !timer_.armed())) {
    context_.loop_.arm(timer_, static_cast<uint64_t>(idle.count()));
  }
  if (more) {
    context_.loop_.flush_later(*this);
  } else {
    transport_->resume();
  }
}

// The request can't be read on: its user may answer, then the connection ends.
void H1Server::refuse(const Error& error) {
  broken_ = true;
  close_after_ = true;
  state_->pending.clear();
  Loop::cancel(timer_);
  if (user_ == nullptr) {
    finish_connection();
    return;
  }
  user_->on_reset(error);
}

// A response that began can't be completed: the client must not take it for whole.
void H1Server::abandon(const Error&) {
  if (request_ == State::kClosed) return;
  if (reply_ == Reply::kStarted && request_ != State::kTunnel) {
    transport_.release()->abort();
  }
  close();
}

void H1Server::finish_connection() {
  if (request_ == State::kClosed || request_ == State::kLinger) return;
  // With nothing unread a close can't turn into a reset: it comes as soon as the response is out.
  close_when_flushed_ = request_ == State::kDone && !has_pending() && !broken_;
  request_ = State::kLinger;
  discarded_ = 0;
  transport_->shutdown();
  if (close_when_flushed_) context_.loop_.flush_later(*this);
  context_.loop_.arm(timer_, kLingerMs);
  transport_->resume();
  if (state_ != nullptr) state_->pending.clear();
  end_request();
}

// The client is still taking what is queued for it; one that takes nothing is cut off, so that it
// can't mistake a part for the whole.
bool H1Server::still_flushing() {
  if (transport_->queued() == 0) return false;
  // A socket counts as writable again only when a good part of its buffer is free.
  const size_t unsent = transport_->unsent();
  if (unsent == last_unsent_) {
    transport_.release()->abort();
    close();
    return true;
  }
  last_unsent_ = static_cast<uint32_t>(unsent);
  context_.loop_.arm(timer_, kFlushMs);
  return true;
}

void H1Server::on_timer() {
  if ((request_ == State::kLinger || request_ == State::kIdle) && still_flushing()) return;
  if (request_ == State::kLinger || (request_ == State::kBody && user_ == nullptr)) {
    close();
    return;
  }
  if (request_ == State::kHead && idle_since_ms_ == UINT64_MAX) {
    refuse({Failure::kRequestTimeout, false, "the request head took too long"});
    return;
  }
  const auto idle = static_cast<uint64_t>(context_.options_.idle_timeout.count());
  const auto limit =
      requests_ == 0 ? static_cast<uint64_t>(context_.options_.header_timeout.count()) : idle;
  if (limit == 0) return;
  if (request_ != State::kIdle) {
    if (request_ != State::kTunnel) context_.loop_.arm(timer_, limit);
    return;
  }
  const uint64_t idle_for = context_.loop_.now_ms() - idle_since_ms_;
  if (idle_for >= limit || close_after_) {
    close();
  } else {
    context_.loop_.arm(timer_, limit - idle_for);
  }
}

// --- the end of the connection -------------------------------------------------------------------

void H1Server::on_eof() {
  if (request_ == State::kTunnel && user_ != nullptr) {
    user_->on_body({}, true);
    return;
  }
  // It may have ended its direction alone, and still read the response that is queued.
  const bool answered = request_ == State::kIdle || request_ == State::kLinger;
  if (answered && transport_->queued() > 0) {
    finish_connection();
    return;
  }
  cut_off({Failure::kClientAbort, false, "the client closed the connection"});
}

void H1Server::on_error(const Error&) {
  cut_off({Failure::kClientAbort, false, "the client reset the connection"});
}

void H1Server::on_drain() {
  if (user_ != nullptr) user_->on_drain();
}

void H1Server::drain() {
  close_after_ = true;
  if (request_ != State::kIdle || has_pending()) return;
  const uint64_t age = context_.loop_.now_ms() - idle_since_ms_;
  if (requests_ == 0 && age < kFirstRequestMs) {
    // Its first request is most likely on its way, and nobody would answer it.
    context_.loop_.arm(timer_, kFirstRequestMs - age);
  } else if (transport_->queued() == 0) {
    close();
  } else {
    finish_connection();
  }
}

void H1Server::cut_off(const Error& error) {
  close();
  if (user_ != nullptr) user_->on_reset(error);
}

void H1Server::close() {
  if (request_ == State::kClosed) return;
  request_ = State::kClosed;
  Loop::cancel(timer_);
  transport_.reset();
  if (state_ != nullptr) state_->pending.clear();
  Flushable::unlink();
  ListNode<H1Server>::unlink();
  --context_.count_;
  if (context_.observer_ != nullptr) context_.observer_->on_closed(listener_);
  end_request();
  context_.loop_.bury(this);
}

}  // namespace lictor
