#include "io/listener.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

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

std::expected<Listener*, std::string> Listener::open(Loop& loop, int fd, Acceptor& acceptor) {
  auto* self = new Listener(loop, acceptor);
  uv_tcp_init(loop.uv(), &self->handle_);
  self->handle_.data = self;
  int status = uv_tcp_open(&self->handle_, fd);
  if (status != 0) {
    ::close(fd);
  } else {
    status = uv_listen(reinterpret_cast<uv_stream_t*>(&self->handle_), kBacklog,
                       [](uv_stream_t* stream, int result) {
                         static_cast<Listener*>(stream->data)->on_connection(result);
                       });
  }
  if (status == 0) return self;
  self->close();
  return std::unexpected(uv_strerror(status));
}

void Listener::on_connection(int status) {
  if (status != 0) return;
  if (auto transport = Tcp::accept(loop_, reinterpret_cast<uv_stream_t*>(&handle_))) {
    acceptor_.on_accept(std::move(transport));
  }
  loop_.end_turn();
}

void Listener::close() {
  uv_os_fd_t fd = -1;
  if (uv_fileno(reinterpret_cast<uv_handle_t*>(&handle_), &fd) == 0) {
    // Closing resets what waits in the kernel's queue: those clients were told they are connected.
    for (int taken; (taken = ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      if (auto transport = Tcp::adopt(loop_, taken)) acceptor_.on_accept(std::move(transport));
    }
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_),
           [](uv_handle_t* handle) { delete static_cast<Listener*>(handle->data); });
}

}  // namespace lictor
