#include "base/buffer.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>

namespace lictor {

struct Buffer::Chunk {
  static constexpr size_t kSize = 16384;

  Chunk* next;
  uint32_t begin;
  uint32_t end;
  char data[kSize - sizeof(Chunk*) - 2 * sizeof(uint32_t)];

  size_t room() const { return sizeof(data) - end; }
};

// Keeps up to 1 MiB of chunks for reuse by its thread.
struct ChunkPool {
  static constexpr size_t kMost = 64;

  Buffer::Chunk* free = nullptr;
  size_t count = 0;

  ~ChunkPool() {
    while (free != nullptr) delete std::exchange(free, free->next);
  }
  Buffer::Chunk* take() {
    if (free == nullptr) return new Buffer::Chunk;
    --count;
    return std::exchange(free, free->next);
  }
  void give(Buffer::Chunk* chunk) {
    if (count == kMost) {
      delete chunk;
      return;
    }
    chunk->next = free;
    free = chunk;
    ++count;
  }
};

namespace {
thread_local ChunkPool pool;
}

void Buffer::add_chunk() {
  Chunk* chunk = pool.take();
  chunk->next = nullptr;
  chunk->begin = chunk->end = 0;
  (last_ == nullptr ? first_ : last_->next) = chunk;
  last_ = chunk;
}

void Buffer::append(std::string_view bytes) {
  while (!bytes.empty()) {
    if (last_ == nullptr || last_->room() == 0) add_chunk();
    const size_t part = std::min(bytes.size(), last_->room());
    std::memcpy(last_->data + last_->end, bytes.data(), part);
    last_->end += static_cast<uint32_t>(part);
    size_ += part;
    bytes.remove_prefix(part);
  }
}

char* Buffer::reserve(size_t size) {
  if (last_ == nullptr || last_->room() < size) add_chunk();
  return last_->data + last_->end;
}

void Buffer::commit(size_t size) {
  last_->end += static_cast<uint32_t>(size);
  size_ += size;
}

std::string_view Buffer::front() const {
  for (const Chunk* chunk = first_; chunk != nullptr; chunk = chunk->next) {
    if (chunk->begin != chunk->end) {
      return {chunk->data + chunk->begin, chunk->end - chunk->begin};
    }
  }
  return {};
}

void Buffer::consume(size_t size) {
  size_ -= size;
  while (first_ != nullptr) {
    const size_t part = std::min<size_t>(size, first_->end - first_->begin);
    first_->begin += static_cast<uint32_t>(part);
    size -= part;
    if (first_->begin != first_->end) return;
    if (first_->next == nullptr && size_ != 0) return;
    Chunk* done = std::exchange(first_, first_->next);
    if (first_ == nullptr) last_ = nullptr;
    pool.give(done);
  }
}

size_t Buffer::vectors(iovec* out, size_t count) const {
  size_t filled = 0;
  for (Chunk* chunk = first_; chunk != nullptr && filled < count; chunk = chunk->next) {
    if (chunk->begin == chunk->end) continue;
    out[filled++] = {chunk->data + chunk->begin, chunk->end - chunk->begin};
  }
  return filled;
}

}  // namespace lictor
