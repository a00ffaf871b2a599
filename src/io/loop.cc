#include "io/loop.h"

#include <stdexcept>
#include <utility>

namespace lictor {

Loop::Loop() : read_buffer_(std::make_unique_for_overwrite<char[]>(kReadBuffer)) {
  if (uv_loop_init(&uv_) != 0) throw std::runtime_error("cannot make an event loop");
  uv_.data = this;
  uv_timer_init(&uv_, &timer_);
  timer_.data = this;
  uv_async_init(&uv_, &wakeup_,
                [](uv_async_t* async) { static_cast<Loop*>(async->data)->on_wakeup(); });
  wakeup_.data = this;
  uv_update_time(&uv_);
  wheel_ = std::make_unique<TimerWheel>(uv_now(&uv_));
}

Loop::~Loop() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    tasks_.clear();
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&timer_), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&wakeup_), nullptr);
  end_turn();
  // A stop() after the last run ends the next one at once, with handles still to be closed.
  while (uv_run(&uv_, UV_RUN_DEFAULT) != 0) continue;
  end_turn();
  uv_loop_close(&uv_);
}

void Loop::run() { uv_run(&uv_, UV_RUN_DEFAULT); }
void Loop::stop() { uv_stop(&uv_); }

void Loop::arm(Timer& timer, uint64_t delay_ms) {
  const uint64_t now = now_ms();
  wheel_->arm(timer, now, delay_ms);
  if (now + delay_ms < timer_due_ms_) schedule();
}

void Loop::schedule() {
  const uint64_t next = wheel_->next_ms();
  if (next >= timer_due_ms_) return;
  timer_due_ms_ = next;
  const uint64_t now = now_ms();
  uv_timer_start(
      &timer_, [](uv_timer_t* timer) { static_cast<Loop*>(timer->data)->on_timer(); },
      next > now ? next - now : 0, 0);
}

void Loop::on_timer() {
  timer_due_ms_ = TimerWheel::kNever;
  wheel_->advance(now_ms());
  schedule();
  end_turn();
}

void Loop::end_turn() {
  // A flush may find a broken connection, whose end may make others dirty or dead.
  while (Flushable* flushable = dirty_.pop_front()) flushable->flush();
  while (Mortal* mortal = dead_.pop_front()) delete mortal;
}

bool Loop::post(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  if (ended_) return false;
  tasks_.push_back(std::move(task));
  return uv_async_send(&wakeup_) == 0;
}

void Loop::on_wakeup() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
  }
  for (auto& task : tasks) {
    task();
    end_turn();
  }
}

}  // namespace lictor
