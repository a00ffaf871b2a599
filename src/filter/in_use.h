// How many requests are on their way under each key of the concurrency limits, over all workers. A
// key is here while at least one is, so the table is as large as the traffic, and at most 1 Mi
// keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/siphash.h"

namespace lictor {

// Any thread. Keys are seeded hashes.
class InUse {
 public:
  InUse();
  ~InUse();

  // One more, unless there are `most` already, or no room for another key.
  bool enter(const Hash128& key, uint32_t most);
  // One that had entered is done.
  void leave(const Hash128& key);

  size_t keys() const;

 private:
  static constexpr size_t kShards = 64;
  static constexpr size_t kMostKeys = (size_t{1} << 20) / kShards;  // in a shard
  static constexpr size_t kLeastPlaces = 16;

  struct Place {
    Hash128 key;
    uint32_t count = 0;  // 0 = free
  };
  // A hash table with open addressing: a key is behind its place with no free one between.
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::vector<Place> places;  // a power of two of them, at most half used
    size_t used = 0;
  };

  Shard& shard(const Hash128& key) { return shards_[key.high % kShards]; }
  static size_t find(const std::vector<Place>& places, const Hash128& key);
  static void grow(Shard& shard);
  static void erase(Shard& shard, size_t at);

  const std::unique_ptr<Shard[]> shards_;
};

}  // namespace lictor
