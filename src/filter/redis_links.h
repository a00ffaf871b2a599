// The links of all workers to all Redis that limits are counted in.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "filter/redis_link.h"

namespace lictor {

class RedisLinks {
 public:
  RedisLinks();  // by Tcp
  explicit RedisLinks(RedisLink::Connect connect);
  ~RedisLinks();

  // The one of this loop, on whose thread it is asked for; good until the loop's `close`.
  RedisLink& link(Loop& loop, const RedisTarget& target);
  // The worker ends: on its thread, when none of its requests is left.
  void close(const Loop& loop);

  // Requests that this gateway counted alone, though their limit is a fleet's.
  void count_alone() { alone_.fetch_add(1, std::memory_order_relaxed); }
  uint64_t counted_alone() const { return alone_.load(std::memory_order_relaxed); }

 private:
  struct Entry {
    const Loop* loop;
    RedisTarget target;
    std::shared_ptr<RedisHealth> health;
    std::unique_ptr<RedisLink> link;
  };

  const RedisLink::Connect connect_;
  std::mutex mutex_;
  std::vector<Entry> entries_;  // guarded by mutex_; a link is its own thread's
  std::atomic<uint64_t> alone_{0};
};

}  // namespace lictor
