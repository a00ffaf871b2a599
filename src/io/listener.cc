#include "io/listener.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "io/tcp.h"

namespace lictor {
namespace {

constexpr int kBacklog = 4096;

std::unexpected<std::string> failed(int fd, const SocketAddress& address, int code) {
  if (fd >= 0) ::close(fd);
  return std::unexpected(address.to_string() + ": " + uv_strerror(-code));
}

int open_socket(const SocketAddress& address) {
  return ::socket(address.raw()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int set_option(int fd, int level, int option, int value = 1) {
  return ::setsockopt(fd, level, option, &value, sizeof(value));
}

// Linux hands these on to accepted sockets, which saves the calls for each.
int set_inherited_options(int fd) {
  return set_option(fd, IPPROTO_TCP, TCP_NODELAY) | set_option(fd, SOL_SOCKET, SO_KEEPALIVE) |
         set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveSeconds);
}

// SO_REUSEPORT lets two gateways of one user share a port without a word; this finds the other one.
int probe(const SocketAddress& address) {
  const int fd = open_socket(address);
  if (fd < 0) return errno;
  set_option(fd, SOL_SOCKET, SO_REUSEADDR);
  const int code = ::bind(fd, address.raw(), address.length()) == 0 ? 0 : errno;
  ::close(fd);
  return code;
}

}  // namespace

std::expected<int, std::string> bind_socket(const SocketAddress& address, bool exclusive) {
  if (exclusive) {
    if (const int code = probe(address); code != 0) return failed(-1, address, code);
  }
  const int fd = open_socket(address);
  if (fd < 0) return failed(fd, address, errno);
  if (set_option(fd, SOL_SOCKET, SO_REUSEADDR) != 0 ||
      set_option(fd, SOL_SOCKET, SO_REUSEPORT) != 0 || set_inherited_options(fd) != 0 ||
      ::bind(fd, address.raw(), address.length()) != 0) {
    return failed(fd, address, errno);
  }
  return fd;
}

SocketAddress socket_name(int fd) {
  sockaddr_storage name{};
  socklen_t size = sizeof(name);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size);
  return SocketAddress::from(reinterpret_cast<sockaddr*>(&name));
}

Listener::Listener(Loop& loop, int fd, Acceptor& acceptor)
    : loop_(loop), acceptor_(acceptor), fd_(fd) {
  pause_.bind<&Listener::watch>(this);
  handle_.data = this;
}

std::expected<Listener*, std::string> Listener::open(Loop& loop, int fd, Acceptor& acceptor) {
  auto* self = new Listener(loop, fd, acceptor);
  if (const int status = uv_poll_init(loop.uv(), &self->handle_, fd); status != 0) {
    delete self;
    ::close(fd);
    return std::unexpected(uv_strerror(status));
  }
  int status = ::listen(fd, kBacklog) == 0 ? 0 : -errno;
  if (status == 0) status = self->watch();
  if (status == 0) return self;
  self->close();
  return std::unexpected(uv_strerror(status));
}

// One connection a turn, so that a crowd that comes at once is shared by the workers, and those who
// are already served wait for none of it.
int Listener::watch() {
  return uv_poll_start(&handle_, UV_READABLE, [](uv_poll_t* poll, int status, int) {
    auto* self = static_cast<Listener*>(poll->data);
    if (status == 0) self->accept_one();
    self->loop_.end_turn();
  });
}

// False when there was none.
bool Listener::accept_one() {
  sockaddr_storage name{};
  socklen_t size = sizeof(name);
  auto* const address = reinterpret_cast<sockaddr*>(&name);
  const int fd = ::accept4(fd_, address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) back_off(errno);
    return false;
  }
  auto transport = Tcp::adopt(loop_, fd, SocketAddress::from(address));
  if (transport) acceptor_.on_accept(std::move(transport));
  return true;
}

void Listener::back_off(int code) {
  if (uv_is_closing(reinterpret_cast<uv_handle_t*>(&handle_)) != 0) return;
  uv_poll_stop(&handle_);
  loop_.arm(pause_, kBackOffMs);
  // One line a minute, whichever listener it is: all of them lack the same.
  constexpr uint64_t kQuietMs = 60'000;
  static std::atomic<uint64_t> quiet_until{0};
  const uint64_t now = loop_.now_ms();
  uint64_t until = quiet_until.load(std::memory_order_relaxed);
  if (now < until || !quiet_until.compare_exchange_strong(until, now + kQuietMs)) return;
  log::warn("no new connections for now: {}", uv_strerror(-code));
}

void Listener::close() {
  // Closing resets what waits in the kernel's queue: those clients were told they are connected.
  uv_poll_stop(&handle_);
  while (accept_one()) continue;
  Loop::cancel(pause_);
  ::close(fd_);
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_),
           [](uv_handle_t* handle) { delete static_cast<Listener*>(handle->data); });
}

}  // namespace lictor
