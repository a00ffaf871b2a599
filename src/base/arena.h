// A bump allocator for what lives as long as one request. `reset` keeps the first block, so
// that a recycled arena serves an ordinary request without malloc. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace lictor {

class Arena {
 public:
  static constexpr size_t kFirstBlock = 4096;

  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Never null (throws std::bad_alloc as new does). Valid until reset.
  void* allocate(size_t size, size_t align = alignof(std::max_align_t)) {
    const auto at = (reinterpret_cast<uintptr_t>(next_) + align - 1) & ~(uintptr_t{align} - 1);
    if (next_ != nullptr && at + size <= reinterpret_cast<uintptr_t>(end_)) {
      next_ = reinterpret_cast<char*>(at + size);
      return reinterpret_cast<void*>(at);
    }
    return allocate_slow(size, align);
  }

  char* chars(size_t size) { return static_cast<char*>(allocate(size, 1)); }

  std::string_view copy(std::string_view text) {
    if (text.empty()) return {};
    char* out = chars(text.size());
    std::memcpy(out, text.data(), text.size());
    return {out, text.size()};
  }

  // `text` followed by `more`, in place when `text` was the last thing allocated and there is room.
  std::string_view extend(std::string_view text, std::string_view more);

  template <class... Parts>
  std::string_view concat(const Parts&... parts) {
    const std::string_view views[] = {std::string_view(parts)...};
    size_t size = 0;
    for (const auto view : views) size += view.size();
    char* const out = chars(size == 0 ? 1 : size);
    char* at = out;
    for (const auto view : views) {
      if (!view.empty()) std::memcpy(at, view.data(), view.size());
      at += view.size();
    }
    return {out, size};
  }

  // Destructors never run: only for what needs none.
  template <class T, class... Args>
  T* make(Args&&... args) {
    static_assert(std::is_trivially_destructible_v<T>);
    return new (allocate(sizeof(T), alignof(T))) T{std::forward<Args>(args)...};
  }

  template <class T>
  std::span<T> array(size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    auto* first = static_cast<T*>(allocate(sizeof(T) * count, alignof(T)));
    for (size_t i = 0; i < count; ++i) new (first + i) T{};
    return {first, count};
  }

  void reset();
  size_t allocated() const { return total_; }  // bytes of all blocks held

 private:
  struct Block {
    Block* previous;
    size_t size;
  };
  void* allocate_slow(size_t size, size_t align);

  char* next_ = nullptr;
  char* end_ = nullptr;
  Block* last_ = nullptr;  // newest first; the oldest is the one `reset` keeps
  size_t total_ = 0;
};

}  // namespace lictor
