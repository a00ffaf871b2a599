// Real sockets on the loopback, for tests of what only a kernel does: a loop that is run until
// something happened, a socket of the test's own for the other end, and a user that takes notes.
#pragma once

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/listener.h"
#include "io/loop.h"
#include "io/tcp.h"

namespace lictor::testing {

// Runs the loop until `done`; false when that took longer than any healthy machine needs.
inline bool run_until(Loop& loop, const std::function<bool()>& done) {
  struct Guard {
    void fire() { fired = true; }
    bool fired = false;
    Timer timer;
  } guard;
  guard.timer.bind<&Guard::fire>(&guard);
  loop.arm(guard.timer, 10'000);
  loop.end_turn();  // the test's own
  while (!done() && !guard.fired) uv_run(loop.uv(), UV_RUN_ONCE);
  return done();
}

// Ends the test's own turn, then a few more: also for what must not happen.
inline void run_a_little(Loop& loop) {
  loop.end_turn();
  for (int i = 0; i < 20; ++i) uv_run(loop.uv(), UV_RUN_NOWAIT);
}

// A blocking socket.
class RawSocket {
 public:
  RawSocket() = default;
  explicit RawSocket(int fd) : fd_(fd) {
    const timeval patience{10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  static RawSocket connect(const SocketAddress& address) {
    RawSocket made(::socket(address.raw()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(made.fd_, address.raw(), address.length()) == 0);
    return made;
  }
  RawSocket(RawSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  RawSocket& operator=(RawSocket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~RawSocket() { close(); }

  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void reset() {
    const linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close();
  }
  void end() { ::shutdown(fd_, SHUT_WR); }
  void send(std::string_view bytes) {
    REQUIRE(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }
  // What is there; "(nothing)", "(end)" or "(reset)" when nothing is.
  std::string receive_now() { return receive(MSG_DONTWAIT); }
  std::string receive(int flags = 0) {
    std::string bytes(65'536, '\0');
    const ssize_t size = ::recv(fd_, bytes.data(), bytes.size(), flags);
    if (size == 0) return "(end)";
    if (size < 0) return errno == ECONNRESET ? "(reset)" : "(nothing)";
    bytes.resize(static_cast<size_t>(size));
    return bytes;
  }
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

class NoteTaker final : public TransportUser {
 public:
  void on_connect() override { event("connect"); }
  void on_read(std::span<char> bytes) override {
    text.append(bytes.data(), bytes.size());
    if (!events.ends_with("read ")) event("read");
  }
  void on_eof() override { event("eof"); }
  void on_drain() override { event("drain"); }
  void on_error(const Error& what) override {
    error = what;
    event("error");
  }
  bool heard(std::string_view what) const { return events.find(what) != std::string::npos; }

  std::string text;
  std::string events;
  Error error;
  std::function<void(std::string_view)> then;

 private:
  void event(std::string_view what) {
    events += std::string(what) + " ";
    if (then) then(what);
  }
};

// A listener on a free port of the loopback, and what it accepted.
class Door final : public Acceptor {
 public:
  explicit Door(Loop& loop, const char* host = "127.0.0.1:0") : loop_(loop) {
    const auto fd = bind_socket(*SocketAddress::parse(host), false);
    REQUIRE(fd);
    address_ = socket_name(*fd);
    auto opened = Listener::open(loop, *fd, *this);
    REQUIRE(opened);
    listener_ = *opened;
  }
  ~Door() {
    accepted.clear();
    close();
  }
  void close() {
    if (listener_ != nullptr) std::exchange(listener_, nullptr)->close();
  }
  // A connection: the test's end of it, ours becomes the last of `accepted`.
  RawSocket visit() {
    auto client = RawSocket::connect(address_);
    const size_t before = accepted.size();
    REQUIRE(run_until(loop_, [&] { return accepted.size() > before; }));
    return client;
  }
  const SocketAddress& address() const { return address_; }
  void on_accept(TransportPtr transport) override { accepted.push_back(std::move(transport)); }

  std::vector<TransportPtr> accepted;

 private:
  Loop& loop_;
  SocketAddress address_;
  Listener* listener_ = nullptr;
};

}  // namespace lictor::testing
