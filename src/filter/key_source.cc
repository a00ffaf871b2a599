#include "filter/key_source.h"

#include <utility>

namespace lictor {

KeySource::KeySource(KeySet keys) { set(std::make_shared<const KeySet>(std::move(keys))); }
KeySource::KeySource(std::string uri) : uri_(std::move(uri)) {}

KeySource::Current KeySource::current() const {
  const std::lock_guard lock(mutex_);
  return {keys_, version_.load(std::memory_order_relaxed)};
}

KeySource::Wait KeySource::wait(Loop& loop, std::shared_ptr<KeyWaiter> waiter) {
  const std::lock_guard lock(mutex_);
  if (keys_) return Wait::kNow;
  if (failed_ || waiting_.size() >= kMaxWaiting) return Wait::kNever;
  waiting_.push_back({&loop, std::move(waiter)});
  return Wait::kWaits;
}

void KeySource::forget(const KeyWaiter* waiter) {
  const std::lock_guard lock(mutex_);
  std::erase_if(waiting_, [waiter](const Waiting& one) { return one.waiter.get() == waiter; });
}

void KeySource::want_fresh() {
  if (uri_.empty() || wanted_.exchange(true)) return;
  const std::lock_guard lock(mutex_);
  if (bell_) bell_();
}

void KeySource::set_bell(std::function<void()> bell) {
  const std::lock_guard lock(mutex_);
  bell_ = std::move(bell);
}

void KeySource::set(KeySetPtr keys) {
  std::vector<Waiting> waiting;
  {
    const std::lock_guard lock(mutex_);
    if (keys == keys_) return;
    keys_ = std::move(keys);
    version_.fetch_add(1, std::memory_order_release);
    waiting.swap(waiting_);
  }
  wake(std::move(waiting));
}

void KeySource::fail() {
  std::vector<Waiting> waiting;
  {
    const std::lock_guard lock(mutex_);
    failed_ = true;
    waiting.swap(waiting_);
  }
  wake(std::move(waiting));
}

void KeySource::wake(std::vector<Waiting> waiting) {
  for (auto& one : waiting) {
    one.loop->post([waiter = std::move(one.waiter)] { waiter->on_keys(); });
  }
}

}  // namespace lictor
