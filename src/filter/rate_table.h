// Who has used how much of which limit: the token buckets of all rate_limit filters, for all
// workers. A bucket is one number (GCRA, the generic cell rate algorithm): when it will be full
// again. One that is full says nothing, so forgetting it costs nothing; that is what keeps the
// table small.
//
// How it works: shards, each a lock and sets of 16 places. A key may be in the places of one set. A
// new one takes a place that is full again; when there is none the shard doubles, up to its share
// of 2 Mi places (48 MiB in all); then the bucket that will be full first gives way, which is the
// one whose loss gives its owner least. Keys are seeded hashes, so nobody can fill one set on
// purpose, and a flood of keys costs no more memory than 1 Mi of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "base/siphash.h"

namespace lictor {

// `burst` requests at once, and one more each `interval_ns`.
struct RateLimit {
  int64_t interval_ns = 1;
  int64_t window_ns = 1;  // burst x interval: from empty to full

  int64_t burst() const { return window_ns / interval_ns; }
};

struct RateVerdict {
  bool allowed = true;
  int64_t remaining = 0;  // requests that would be allowed now
  int64_t full_ns = 0;    // until the bucket is full
  int64_t retry_ns = 0;   // until the next request is allowed; 0 when it is now
};

// What a bucket that will be full in `full_ns` says.
RateVerdict rate_verdict(const RateLimit& limit, bool allowed, int64_t full_ns);

// Any thread. `now_ns` is monotonic.
class RateTable {
 public:
  static constexpr size_t kMostPlaces = size_t{2} << 20;

  RateTable();
  ~RateTable();

  // Takes one token of the key's bucket, if there is one.
  RateVerdict take(const Hash128& key, const RateLimit& limit, int64_t now_ns);
  // What somebody who knows better says: the bucket will be full at `full_at_ns`.
  void put(const Hash128& key, int64_t full_at_ns, int64_t now_ns);

  size_t bytes() const;  // of the places it has now

 private:
  static constexpr size_t kShards = 256;
  static constexpr size_t kWays = 16;
  static constexpr size_t kMostSets = kMostPlaces / kShards / kWays;

  // Apart, so that looking for a key reads two lines of cache.
  struct alignas(64) Set {
    std::array<uint64_t, kWays> low;
    std::array<uint64_t, kWays> high;
    std::array<int64_t, kWays> full_at_ns;  // 0 = free
  };
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::unique_ptr<Set[]> sets;
    size_t count = 0;  // of the sets, a power of two
  };

  Shard& shard(const Hash128& key) { return shards_[key.high % kShards]; }
  static Set& set(Shard& shard, const Hash128& key) {
    return shard.sets[key.low & (shard.count - 1)];
  }
  static int64_t& bucket(Shard& shard, const Hash128& key, int64_t now_ns);
  static int64_t* find(Set& set, const Hash128& key);
  static void grow(Shard& shard, int64_t now_ns);

  const std::unique_ptr<Shard[]> shards_;
};

}  // namespace lictor
