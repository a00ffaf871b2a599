// One event loop: a libuv loop with a timer wheel, the read buffer that all its connections share,
// and what happens at the end of a turn (one callback from libuv): gathered writes go out, then the
// dead are buried. Everything but `post` belongs to the thread that calls `run`.
#pragma once

#include <uv.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/list.h"
#include "io/timer.h"

namespace lictor {

// Something with bytes to send when the turn ends.
class Flushable : public ListNode<Flushable> {
 public:
  virtual void flush() = 0;

 protected:
  ~Flushable() = default;
};

// Something that may still be on the call stack when it ends: `bury` it, and it is deleted after
// the turn.
class Mortal : public ListNode<Mortal> {
 public:
  virtual ~Mortal() = default;
};

// For durations; any thread.
inline uint64_t monotonic_ns() { return uv_hrtime(); }

class Loop {
 public:
  static constexpr size_t kReadBuffer = 65536;

  Loop();
  ~Loop();  // all handles must have been closed; their close callbacks are run here
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run();   // until stop()
  void stop();  // from the loop's own thread
  uv_loop_t* uv() { return &uv_; }

  // Monotonic, as of the start of the turn.
  uint64_t now_ms() const { return uv_now(&uv_); }

  void arm(Timer& timer, uint64_t delay_ms);
  static void cancel(Timer& timer) { TimerWheel::cancel(timer); }

  // Shared: what is in it is good until the read callback returns.
  std::span<char> read_buffer() { return {read_buffer_.get(), kReadBuffer}; }

  void flush_later(Flushable& flushable) {
    if (!flushable.linked()) dirty_.push_back(flushable);
  }
  void bury(Mortal* mortal) {
    if (!mortal->linked()) dead_.push_back(*mortal);
  }
  // Last thing in every callback from libuv.
  void end_turn();

  // Any thread: runs `task` on the loop's thread, in order. False after the loop has ended.
  bool post(std::function<void()> task);

 private:
  void on_timer();
  void on_wakeup();
  void schedule();

  uv_loop_t uv_;
  uv_timer_t timer_;
  uv_async_t wakeup_;
  std::unique_ptr<TimerWheel> wheel_;
  uint64_t timer_due_ms_ = TimerWheel::kNever;
  std::unique_ptr<char[]> read_buffer_;
  List<Flushable> dirty_;
  List<Mortal> dead_;

  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;  // guarded by mutex_
  bool ended_ = false;                        // guarded by mutex_
};

}  // namespace lictor
