// A queue of bytes in 16 KiB chunks: append at the back, consume from the front, nothing is ever
// moved. Chunks come from a free list of the calling thread, so that a buffer must stay on one
// thread. An empty buffer holds no memory. Bytes stay where they are until consumed, also while
// more are appended.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

namespace lictor {

class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { clear(); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  void append(std::string_view bytes);
  void append(std::span<const char> bytes) { append(std::string_view(bytes.data(), bytes.size())); }

  // At least `size` (at most kMaxReserve) contiguous bytes to write into; commit what was written.
  static constexpr size_t kMaxReserve = 4096;
  char* reserve(size_t size);
  void commit(size_t size);

  std::string_view front() const;  // the first contiguous piece; empty only when the buffer is
  void consume(size_t size);
  void clear() { consume(size_); }

  // Fills up to `count` vectors from the front, returns how many.
  size_t vectors(iovec* out, size_t count) const;

  void swap(Buffer& other) noexcept {
    std::swap(first_, other.first_);
    std::swap(last_, other.last_);
    std::swap(size_, other.size_);
  }

 private:
  struct Chunk;
  friend struct ChunkPool;
  void add_chunk();

  Chunk* first_ = nullptr;
  Chunk* last_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lictor
