// The keys that a `jwt` filter checks with, shared by all workers: given by its document for ever,
// or fetched from a URI by the control plane, which puts newer ones here. A worker never waits for
// keys once there are any; it only says that it wants fresher ones.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "filter/jwk.h"
#include "io/loop.h"

namespace lictor {

using KeySetPtr = std::shared_ptr<const KeySet>;

// Of a worker's loop: told once when there are keys, or when the first fetch failed.
class KeyWaiter {
 public:
  virtual ~KeyWaiter() = default;
  virtual void on_keys() = 0;
};

class KeySource {
 public:
  static constexpr size_t kMaxWaiting = 1024;

  explicit KeySource(KeySet keys);
  explicit KeySource(std::string uri);

  // Any thread, all of these.
  const std::string& uri() const { return uri_; }  // empty = keys for ever
  // Grows with each set of keys that is put here; 0 = there are none yet.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }
  struct Current {
    KeySetPtr keys;  // null: none yet
    uint64_t version = 0;
  };
  Current current() const;
  enum class Wait : uint8_t { kWaits, kNow, kNever };
  // kNow: there are keys; kNever: the last fetch failed, or too many wait.
  Wait wait(Loop& loop, std::shared_ptr<KeyWaiter> waiter);
  void forget(const KeyWaiter* waiter);
  // A token named a key that is not there: rings once until the control plane has looked.
  void want_fresh();

  // Control plane.
  void set_bell(std::function<void()> bell);
  void set(KeySetPtr keys);  // the same object again changes nothing
  void fail();               // no keys can be had for now
  bool take_wanted() { return wanted_.exchange(false); }

 private:
  struct Waiting {
    Loop* loop;
    std::shared_ptr<KeyWaiter> waiter;
  };
  static void wake(std::vector<Waiting> waiting);

  const std::string uri_;
  std::atomic<uint64_t> version_{0};
  std::atomic<bool> wanted_{false};
  mutable std::mutex mutex_;
  KeySetPtr keys_;  // guarded by mutex_, as all below
  bool failed_ = false;
  std::vector<Waiting> waiting_;
  std::function<void()> bell_;
};

}  // namespace lictor
