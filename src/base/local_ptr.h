// Shared ownership within one thread: a plain count in the object, no atomics.
#pragma once

#include <cstdint>
#include <utility>

namespace lictor {

template <class T>
class LocalPtr;

// Base of what is held by LocalPtr; deleted with its last pointer.
class LocalCounted {
 public:
  LocalCounted() = default;
  LocalCounted(const LocalCounted&) = delete;
  LocalCounted& operator=(const LocalCounted&) = delete;

 protected:
  ~LocalCounted() = default;

 private:
  template <class T>
  friend class LocalPtr;
  uint32_t references_ = 0;
};

template <class T>
class LocalPtr {
 public:
  LocalPtr() = default;
  explicit LocalPtr(T* object) : object_(object) { acquire(); }
  LocalPtr(const LocalPtr& other) : object_(other.object_) { acquire(); }
  LocalPtr(LocalPtr&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  LocalPtr& operator=(LocalPtr other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~LocalPtr() { reset(); }

  void reset() {
    T* object = std::exchange(object_, nullptr);
    if (object != nullptr && --object->references_ == 0) delete object;
  }
  T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  void acquire() {
    if (object_ != nullptr) ++object_->references_;
  }

  T* object_ = nullptr;
};

template <class T, class... Args>
LocalPtr<T> make_local(Args&&... args) {
  return LocalPtr<T>(new T(std::forward<Args>(args)...));
}

}  // namespace lictor
