// A transport without a socket. Like Tcp it sends what was written when the turn ends, unless the
// test says that the peer does not read. It belongs to the test and outlives its close.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/loop.h"
#include "io/transport.h"

namespace lictor::testing {

class FakeTransport final : public Transport, public Flushable {
 public:
  explicit FakeTransport(Loop& loop) : loop_(loop) {}
  TransportPtr handle() { return TransportPtr(this); }

  // What the peer does. Each call is a turn of the loop.
  void receive(std::string_view bytes) {
    inbox_ += bytes;
    deliver();
  }
  // Hands over what was held while reading was paused, an end or a failure included: nobody who
  // does not read hears of these.
  void deliver() {
    while (reading_ && user_ != nullptr && !inbox_.empty()) {
      // As one read gives: never more than the loop's buffer, which is good only during the call.
      const size_t size = std::min(inbox_.size(), Loop::kReadBuffer);
      std::vector<char> bytes(inbox_.begin(), inbox_.begin() + static_cast<ptrdiff_t>(size));
      inbox_.erase(0, size);
      user_->on_read(bytes);
      loop_.end_turn();
    }
    if (reading_ && user_ != nullptr && last_) {
      std::exchange(last_, nullptr)();
      loop_.end_turn();
    }
  }
  void connected() {
    if (user_ != nullptr) user_->on_connect();
    loop_.end_turn();
  }
  void eof() {
    last_ = [this] { user_->on_eof(); };
    deliver();
  }
  void fail(const char* detail = "broken") {
    last_ = [this, detail] { user_->on_error({Failure::kUpstreamReset, false, detail}); };
    deliver();
  }
  void stop_taking() { takes_ = false; }
  // Takes `size` bytes more, though it had stopped.
  void take(size_t size) {
    send(std::min(size, output_.size()));
    notify();
    loop_.end_turn();
  }
  void take_all() {
    takes_ = true;
    loop_.flush_later(*this);
    loop_.end_turn();
  }

  // What was sent since the last call.
  std::string sent() { return std::exchange(sent_, {}); }
  size_t held() const { return inbox_.size(); }
  bool reading() const { return reading_; }
  bool open() const { return !closed_; }
  bool aborted() const { return aborted_; }
  bool ended() const { return shut_; }  // our direction, after everything was sent

  void set_user(TransportUser* user) override { user_ = user; }
  bool write(std::string_view bytes) override {
    if (closed_) return true;
    output().append(bytes);
    if (output_.size() < kHighMark) return true;
    want_drain_ = true;
    return false;
  }
  Buffer& output() override {
    loop_.flush_later(*this);
    return output_;
  }
  size_t queued() const override { return output_.size(); }
  size_t unsent() const override { return output_.size(); }
  void pause() override { reading_ = false; }
  void resume() override { reading_ = true; }
  void shutdown() override {
    want_shutdown_ = true;
    loop_.flush_later(*this);
  }
  void close() override {
    closed_ = true;
    reading_ = false;
    user_ = nullptr;
    output_.clear();
    Flushable::unlink();
  }
  void abort() override {
    aborted_ = true;
    close();
  }
  const SocketAddress& peer() const override { return peer_; }
  void flush() override {
    if (takes_) send(output_.size());
    notify();
  }

 private:
  void send(size_t size) {
    while (size > 0) {
      const auto piece = output_.front().substr(0, size);
      sent_ += piece;
      size -= piece.size();
      output_.consume(piece.size());
    }
  }
  void notify() {
    if (closed_) return;
    if (want_shutdown_ && output_.empty()) shut_ = true;
    if (want_drain_ && output_.size() <= kLowMark) {
      want_drain_ = false;
      if (user_ != nullptr) user_->on_drain();
    }
  }

  Loop& loop_;
  TransportUser* user_ = nullptr;
  SocketAddress peer_ = *SocketAddress::parse("192.0.2.7:4711");
  std::string inbox_;
  std::string sent_;
  std::function<void()> last_;
  Buffer output_;
  bool takes_ = true;
  bool reading_ = false;
  bool want_drain_ = false;
  bool want_shutdown_ = false;
  bool shut_ = false;
  bool closed_ = false;
  bool aborted_ = false;
};

}  // namespace lictor::testing
