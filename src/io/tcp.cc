#include "io/tcp.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <new>

namespace lictor {
namespace {

// From this size on a write goes straight to the socket; below it is cheaper to copy and gather.
constexpr size_t kDirectWrite = 4096;
constexpr size_t kVectors = 16;

// Nothing that the other side did.
bool is_ours(int status) {
  return status == UV_EMFILE || status == UV_ENFILE || status == UV_EADDRNOTAVAIL ||
         status == UV_ENOBUFS || status == UV_ENOMEM;
}

}  // namespace

struct Tcp::PendingWrite {
  uv_write_t request;
  size_t size = 0;
};

void Tcp::PendingWriteDeleter::operator()(PendingWrite* pending) const { delete pending; }

Tcp::Tcp(Loop& loop) {
  uv_tcp_init(loop.uv(), &handle_);
  handle_.data = this;
}

TransportPtr Tcp::adopt(Loop& loop, int fd, const SocketAddress& peer) {
  TransportPtr made(new Tcp(loop));
  auto* tcp = static_cast<Tcp*>(made.get());
  if (uv_tcp_open(&tcp->handle_, fd) != 0) {
    ::close(fd);
    return nullptr;
  }
  tcp->peer_ = peer;
  return made;  // TCP_NODELAY and keep-alive come from the listening socket
}

TransportPtr Tcp::connect(Loop& loop, const SocketAddress& address, TransportUser* user) {
  TransportPtr made(new Tcp(loop));
  auto* tcp = static_cast<Tcp*>(made.get());
  tcp->user_ = user;
  tcp->peer_ = address;
  tcp->state_ = State::kConnecting;
  auto* request = new uv_connect_t;
  request->data = tcp;
  const int status =
      uv_tcp_connect(request, &tcp->handle_, address.raw(), [](uv_connect_t* done, int result) {
        auto* self = static_cast<Tcp*>(done->data);
        delete done;
        self->on_connected(result);
      });
  if (status != 0) {
    delete request;
    tcp->fail(status, Failure::kConnectRefused);
  }
  return made;
}

void Tcp::on_connected(int status) {
  if (state_ == State::kClosing) return;
  if (status != 0) {
    fail(status, Failure::kConnectRefused);
  } else {
    state_ = State::kOpen;
    uv_tcp_nodelay(&handle_, 1);
    uv_tcp_keepalive(&handle_, 1, kKeepAliveSeconds);
    if (reading_) {
      reading_ = false;
      resume();
    }
    if (!output_.empty()) loop().flush_later(*this);
    user_->on_connect();
  }
  loop().end_turn();
}

void Tcp::resume() {
  if (reading_ || state_ == State::kClosing || state_ == State::kBroken) return;
  reading_ = true;
  if (state_ == State::kConnecting) return;
  uv_read_start(
      reinterpret_cast<uv_stream_t*>(&handle_),
      [](uv_handle_t* handle, size_t, uv_buf_t* buffer) {
        const auto space = static_cast<Tcp*>(handle->data)->loop().read_buffer();
        *buffer = uv_buf_init(space.data(), static_cast<unsigned>(space.size()));
      },
      [](uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
        static_cast<Tcp*>(stream->data)->on_read(count, buffer);
      });
}

void Tcp::pause() {
  if (!reading_) return;
  reading_ = false;
  if (state_ == State::kOpen) uv_read_stop(reinterpret_cast<uv_stream_t*>(&handle_));
}

void Tcp::on_read(ssize_t count, const uv_buf_t* buffer) {
  if (count == 0 || state_ == State::kClosing) return;
  if (count > 0) {
    user_->on_read({buffer->base, static_cast<size_t>(count)});
  } else {
    pause();
    const int status = count == UV_EOF ? pending_error() : static_cast<int>(count);
    if (status == 0) {
      user_->on_eof();
    } else {
      fail(status, Failure::kUpstreamReset);
    }
  }
  loop().end_turn();
}

// libuv calls a hang-up behind bytes an end without asking what it was; a reset is none.
int Tcp::pending_error() const {
  uv_os_fd_t fd = -1;
  int code = 0;
  socklen_t size = sizeof(code);
  if (uv_fileno(reinterpret_cast<const uv_handle_t*>(&handle_), &fd) != 0) return 0;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) == 0 ? -code : 0;
}

Buffer& Tcp::output() {
  if (!writing_) loop().flush_later(*this);
  return output_;
}

size_t Tcp::unsent() const {
  uv_os_fd_t fd = -1;
  int held = 0;
  const bool known = uv_fileno(reinterpret_cast<const uv_handle_t*>(&handle_), &fd) == 0 &&
                     ::ioctl(fd, SIOCOUTQ, &held) == 0;
  return output_.size() + (known ? static_cast<size_t>(held) : 0);
}

bool Tcp::write(std::string_view bytes) {
  if (state_ == State::kBroken || state_ == State::kClosing) return true;
  if (bytes.size() >= kDirectWrite && !writing_ && state_ == State::kOpen) {
    send(bytes);
  } else {
    output().append(bytes);
  }
  if (output_.size() < kHighMark) return true;
  want_drain_ = true;
  return false;
}

void Tcp::send(std::string_view extra) {
  std::array<uv_buf_t, kVectors> vectors;
  std::array<iovec, kVectors - 1> queued;
  const size_t filled = output_.vectors(queued.data(), queued.size());
  size_t covered = 0;
  for (size_t i = 0; i < filled; ++i) {
    vectors[i] = uv_buf_init(static_cast<char*>(queued[i].iov_base),
                             static_cast<unsigned>(queued[i].iov_len));
    covered += queued[i].iov_len;
  }
  size_t count = filled;
  if (!extra.empty() && covered == output_.size()) {
    vectors[count++] =
        uv_buf_init(const_cast<char*>(extra.data()), static_cast<unsigned>(extra.size()));
  }
  const int sent = uv_try_write(reinterpret_cast<uv_stream_t*>(&handle_), vectors.data(),
                                static_cast<unsigned>(count));
  if (sent < 0 && sent != UV_EAGAIN) {
    fail(sent, Failure::kUpstreamReset);
    return;
  }
  size_t taken = sent < 0 ? 0 : static_cast<size_t>(sent);
  const size_t from_queue = std::min(taken, output_.size());
  output_.consume(from_queue);
  taken -= from_queue;
  if (taken < extra.size()) output_.append(extra.substr(taken));
  if (!output_.empty()) wait_writable();
}

void Tcp::wait_writable() {
  if (pending_ == nullptr) pending_.reset(new PendingWrite);
  std::array<uv_buf_t, kVectors> vectors;
  std::array<iovec, kVectors> queued;
  const size_t filled = output_.vectors(queued.data(), queued.size());
  pending_->size = 0;
  for (size_t i = 0; i < filled; ++i) {
    vectors[i] = uv_buf_init(static_cast<char*>(queued[i].iov_base),
                             static_cast<unsigned>(queued[i].iov_len));
    pending_->size += queued[i].iov_len;
  }
  pending_->request.data = this;
  const int status =
      uv_write(&pending_->request, reinterpret_cast<uv_stream_t*>(&handle_), vectors.data(),
               static_cast<unsigned>(filled), [](uv_write_t* request, int result) {
                 static_cast<Tcp*>(request->data)->on_written(result);
               });
  if (status != 0) {
    fail(status, Failure::kUpstreamReset);
    return;
  }
  writing_ = true;
}

void Tcp::on_written(int status) {
  writing_ = false;
  if (state_ == State::kClosing) return;
  if (status != 0) {
    fail(status, Failure::kUpstreamReset);
  } else {
    output_.consume(pending_->size);
    if (!output_.empty()) send({});
    notify_drained();
  }
  loop().end_turn();
}

void Tcp::flush() {
  if (state_ == State::kBroken) {
    if (user_ != nullptr) user_->on_error({failure_, false, uv_strerror(status_)});
    return;
  }
  if (state_ != State::kOpen || writing_) return;
  if (!output_.empty()) send({});
  notify_drained();
}

void Tcp::notify_drained() {
  if (state_ != State::kOpen) return;
  if (want_shutdown_ && output_.empty()) finish_shutdown();
  if (want_drain_ && output_.size() <= kLowMark) {
    want_drain_ = false;
    if (user_ != nullptr) user_->on_drain();
  }
}

void Tcp::shutdown() {
  if (state_ == State::kBroken || state_ == State::kClosing) return;
  want_shutdown_ = true;
  if (!writing_) loop().flush_later(*this);
}

void Tcp::finish_shutdown() {
  want_shutdown_ = false;
  uv_os_fd_t fd = -1;
  if (uv_fileno(reinterpret_cast<uv_handle_t*>(&handle_), &fd) == 0) ::shutdown(fd, SHUT_WR);
}

// The user hears of it at the end of the turn.
void Tcp::fail(int status, Failure failure) {
  if (state_ == State::kBroken || state_ == State::kClosing) return;
  pause();
  state_ = State::kBroken;
  status_ = status;
  failure_ = is_ours(status) ? Failure::kNoResources : failure;
  output_.clear();
  loop().flush_later(*this);
}

void Tcp::close() {
  if (state_ == State::kClosing) return;
  begin_close();
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_),
           [](uv_handle_t* handle) { delete static_cast<Tcp*>(handle->data); });
}

void Tcp::abort() {
  if (state_ == State::kClosing) return;
  begin_close();
  const auto done = [](uv_handle_t* handle) { delete static_cast<Tcp*>(handle->data); };
  // Refused while a shutdown is under way; then a plain close must do.
  if (uv_tcp_close_reset(&handle_, done) != 0) {
    uv_close(reinterpret_cast<uv_handle_t*>(&handle_), done);
  }
}

void Tcp::begin_close() {
  state_ = State::kClosing;
  user_ = nullptr;
  unlink();
}

}  // namespace lictor
