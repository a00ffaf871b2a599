// Lines wait in shards, each a buffer under a mutex of its own. A thread always uses the same
// shard, so with no more threads than shards no mutex is ever contended. The writer takes a shard's
// whole buffer and leaves it an empty one, then writes without any lock.
//
// The writer sleeps only when there is nothing to write; while lines come it looks every kBatch.
// So threads that log wake it at most once a batch, not once a line.
#include "telemetry/access_log.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/log.h"
#include "telemetry/log_sink.h"

namespace lictor {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kBatchMs = 10;
constexpr size_t kMaxShards = 16;
constexpr size_t kOrdinaryLine = 4 << 10;
// More than most batches: no line allocates.
constexpr size_t kFirstBuffer = 256 << 10;

size_t thread_number() {
  static std::atomic<size_t> next{0};
  thread_local const size_t mine = next.fetch_add(1, std::memory_order_relaxed);
  return mine;
}

// xorshift64*: good enough to choose lines by, and it costs two nanoseconds.
uint64_t random_number() {
  thread_local uint64_t state = 0x9e3779b97f4a7c15 * (thread_number() + 1);
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545f4914f6cdd1d;
}

std::string with_room(size_t size) {
  std::string made;
  made.reserve(size);
  return made;
}

uint64_t sample_limit(double share) {
  return static_cast<uint64_t>(std::clamp(share, 0.0, 1.0) * 0x1p63);
}

}  // namespace

struct AccessLog::Impl {
  struct alignas(64) Shard {
    std::mutex mutex;
    std::string lines;
    bool used = false;
    std::atomic<uint64_t> dropped{0};  // written under the mutex
  };

  explicit Impl(Options given);
  ~Impl() {
    if (wake_fd >= 0) close(wake_fd);
  }

  void push(std::string_view line);
  void wake();
  void run();
  bool drain();
  void pause(int timeout_ms);
  bool nothing_queued();
  LogSink::Interrupt check();

  const Options options;
  const uint64_t sample_below;
  const bool sample_all;
  std::unique_ptr<LogSink> sink;  // null when the log is off
  int wake_fd = -1;

  std::vector<Shard> shards;
  std::atomic<size_t> used_shards{0};
  std::atomic<bool> idle{false};  // the writer sleeps until it is woken
  std::atomic<bool> reopen_wanted{false};
  std::atomic<bool> stopping{false};
  Clock::time_point give_up_at;  // set before `stopping`

  std::string batch;  // of the writer
  std::atomic<uint64_t> lost_by_writer{0};

  std::thread thread;
  std::mutex done_mutex;
  std::condition_variable done_changed;
  bool done = false;
};

AccessLog::Impl::Impl(Options given)
    : options(std::move(given)),
      sample_below(sample_limit(options.sample)),
      sample_all(options.sample >= 1.0) {
  if (options.path == "off") return;
  sink = std::make_unique<LogSink>(options.path);
  wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0) throw std::runtime_error("access log: no eventfd");
  const size_t count = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, kMaxShards);
  shards = std::vector<Shard>(count);
  for (Shard& shard : shards) shard.lines.reserve(kFirstBuffer);
  batch.reserve(kFirstBuffer);
}

// --- threads that log ----------------------------------------------------------------------------

AccessLog::AccessLog(Options options) : impl_(std::make_shared<Impl>(std::move(options))) {
  if (!enabled()) return;
  // The thread must take no signal that is meant for the gateway, nor die of a SIGPIPE.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  impl_->thread = std::thread([impl = impl_] { impl->run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

AccessLog::~AccessLog() {
  if (!enabled()) return;
  impl_->give_up_at = Clock::now() + impl_->options.close_timeout;
  impl_->stopping.store(true);
  impl_->wake();
  std::unique_lock lock(impl_->done_mutex);
  // The writer gives up by itself, unless the kernel holds it in a write.
  const auto limit = impl_->give_up_at + std::chrono::milliseconds(500);
  if (impl_->done_changed.wait_until(lock, limit, [this] { return impl_->done; })) {
    lock.unlock();
    impl_->thread.join();
  } else {
    lock.unlock();
    log::error("access log: {} hangs; its last lines are lost", impl_->options.path);
    impl_->thread.detach();
  }
}

bool AccessLog::enabled() const { return impl_->sink != nullptr; }

void AccessLog::write(const AccessRecord& record) {
  if (!enabled()) return;
  const bool kept =
      impl_->sample_all || record.status >= 500 || (random_number() >> 1) < impl_->sample_below;
  if (!kept) return;
  thread_local std::string line = with_room(kOrdinaryLine);
  line.clear();
  format_access_line(record, impl_->options.format, line);
  impl_->push(line);
}

void AccessLog::reopen() {
  if (!enabled()) return;
  impl_->reopen_wanted.store(true);
  impl_->wake();
}

uint64_t AccessLog::dropped() const {
  uint64_t total = impl_->lost_by_writer.load(std::memory_order_relaxed);
  for (const auto& shard : impl_->shards) total += shard.dropped.load(std::memory_order_relaxed);
  return total;
}

void AccessLog::Impl::push(std::string_view line) {
  Shard& shard = shards[thread_number() % shards.size()];
  bool half_full = false;
  {
    const std::lock_guard lock(shard.mutex);
    if (!shard.used) {
      shard.used = true;
      used_shards.fetch_add(1);
    }
    // Each used shard may fill its share of the queue.
    const size_t sharers = used_shards.load(std::memory_order_relaxed);
    const size_t before = shard.lines.size() * sharers;
    const size_t after = before + line.size() * sharers;
    if (after > options.queue_bytes) {
      shard.dropped.store(shard.dropped.load(std::memory_order_relaxed) + 1,
                          std::memory_order_relaxed);
      return;
    }
    shard.lines += line;
    half_full = before < options.queue_bytes / 2 && after >= options.queue_bytes / 2;
  }
  // The writer says that it is idle before it looks at the shards a last time. Whoever locks second
  // sees the other: either it finds this line, or its word is seen here.
  if (half_full || (idle.load(std::memory_order_relaxed) && idle.exchange(false))) wake();
}

void AccessLog::Impl::wake() {
  const uint64_t one = 1;
  // It fails only when the counter is full, and then the writer is awake.
  [[maybe_unused]] const ssize_t written = ::write(wake_fd, &one, sizeof one);
}

// --- the writer's thread -------------------------------------------------------------------------

void AccessLog::Impl::run() {
  while (true) {
    const bool last = stopping.load();  // before draining, so that nothing queued earlier is missed
    if (reopen_wanted.exchange(false)) sink->reopen();
    const bool wrote = drain();
    if (last) break;
    if (wrote) {
      pause(kBatchMs);
      continue;
    }
    idle.store(true);
    if (nothing_queued()) pause(-1);
    idle.store(false);
  }
  const std::lock_guard lock(done_mutex);
  done = true;
  done_changed.notify_all();
}

// Sleeps until woken, or as long as given.
void AccessLog::Impl::pause(int timeout_ms) {
  pollfd wanted{.fd = wake_fd, .events = POLLIN, .revents = 0};
  poll(&wanted, 1, timeout_ms);
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(wake_fd, &count, sizeof count);
}

bool AccessLog::Impl::nothing_queued() {
  return std::all_of(shards.begin(), shards.end(), [](Shard& shard) {
    const std::lock_guard lock(shard.mutex);
    return shard.lines.empty();
  });
}

bool AccessLog::Impl::drain() {
  bool found = false;
  for (Shard& shard : shards) {
    batch.clear();
    {
      const std::lock_guard lock(shard.mutex);
      shard.lines.swap(batch);
    }
    if (batch.empty()) continue;
    found = true;
    const uint64_t lost = sink->write(batch, [this] { return check(); });
    lost_by_writer.fetch_add(lost, std::memory_order_relaxed);
  }
  return found;
}

LogSink::Interrupt AccessLog::Impl::check() {
  if (reopen_wanted.exchange(false)) return LogSink::Interrupt::kReopen;
  if (stopping.load() && Clock::now() >= give_up_at) return LogSink::Interrupt::kGiveUp;
  return LogSink::Interrupt::kNone;
}

}  // namespace lictor
