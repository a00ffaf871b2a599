// What was found out at some cost about texts that come again: tokens, passwords. Bounded in
// entries and bytes; what was used longest ago goes first. Any thread: the texts are spread over
// shards, each with a mutex that is held for a look-up alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/siphash.h"

namespace lictor {

template <class Value>
class VerdictCache {
 public:
  VerdictCache(size_t max_entries, size_t max_bytes)
      : max_entries_(max_entries / kShards), max_bytes_(max_bytes / kShards) {}

  // A copy; none when it is unknown, or was good only until `now` (of the caller's clock).
  std::optional<Value> find(std::string_view key, int64_t now) {
    const uint64_t hash = hash_of(key);
    Shard& shard = shards_[hash % kShards];
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.index.find(Key{hash, key});
    if (found == shard.index.end()) return std::nullopt;
    const auto entry = found->second;
    if (entry->until <= now) {
      shard.drop(entry);
      return std::nullopt;
    }
    shard.entries.splice(shard.entries.begin(), shard.entries, entry);
    return entry->value;
  }

  // `bytes`: what the value keeps beside itself.
  void put(std::string_view key, Value value, size_t bytes, int64_t until) {
    bytes += key.size() + kOverhead;
    if (bytes > max_bytes_) return;
    std::list<Entry> made;
    made.push_back({std::string(key), hash_of(key), std::move(value), bytes, until});
    Shard& shard = shards_[made.front().hash % kShards];
    const std::lock_guard lock(shard.mutex);
    const auto known = shard.index.find(made.front().as_key());
    if (known != shard.index.end()) shard.drop(known->second);
    while (!shard.entries.empty() &&
           (shard.entries.size() >= max_entries_ || shard.bytes + bytes > max_bytes_)) {
      shard.drop(std::prev(shard.entries.end()));
    }
    shard.entries.splice(shard.entries.begin(), made);
    shard.index.emplace(shard.entries.front().as_key(), shard.entries.begin());
    shard.bytes += bytes;
  }

  size_t size() const {
    size_t total = 0;
    for (size_t i = 0; i < kShards; ++i) {
      const std::lock_guard lock(shards_[i].mutex);
      total += shards_[i].entries.size();
    }
    return total;
  }

 private:
  static constexpr size_t kShards = 16;
  static constexpr size_t kHashed = 64;
  static constexpr size_t kOverhead = 128;  // of an entry and its place in the index

  struct Key {
    uint64_t hash;
    std::string_view text;  // the whole of it: a hash alone decides nothing
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const { return key.hash / kShards; }
  };
  struct Entry {
    std::string key;
    uint64_t hash;
    Value value;
    size_t bytes;
    int64_t until;
    Key as_key() const { return {hash, key}; }
  };
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::list<Entry> entries;  // used last first
    std::unordered_map<Key, typename std::list<Entry>::iterator, KeyHash> index;
    size_t bytes = 0;

    void drop(typename std::list<Entry>::iterator entry) {
      bytes -= entry->bytes;
      index.erase(entry->as_key());
      entries.erase(entry);
    }
  };

  // Of its end alone: a token's is its signature, and a digest is no longer than that. Both are as
  // good as random, and what merely ends alike is told apart by all of its bytes.
  uint64_t hash_of(std::string_view key) const {
    return SipHash(seed_).finish(key.substr(key.size() - std::min(key.size(), kHashed))).low;
  }

  const HashSeed seed_ = random_seed();
  const size_t max_entries_;
  const size_t max_bytes_;
  const std::unique_ptr<Shard[]> shards_ = std::make_unique<Shard[]>(kShards);
};

}  // namespace lictor
