#include "filter/rate_table.h"

#include <algorithm>

namespace lictor {

RateVerdict rate_verdict(const RateLimit& limit, bool allowed, int64_t full_ns) {
  RateVerdict out;
  out.allowed = allowed;
  out.full_ns = full_ns;
  out.remaining = std::max<int64_t>(0, limit.window_ns - full_ns) / limit.interval_ns;
  out.retry_ns = std::max<int64_t>(0, full_ns + limit.interval_ns - limit.window_ns);
  return out;
}

RateTable::RateTable() : shards_(std::make_unique<Shard[]>(kShards)) {}
RateTable::~RateTable() = default;

RateVerdict RateTable::take(const Hash128& key, const RateLimit& limit, int64_t now_ns) {
  Shard& its = shard(key);
  const std::lock_guard lock(its.mutex);
  int64_t& full_at_ns = bucket(its, key, now_ns);
  const int64_t before = std::max(full_at_ns, now_ns);
  const bool allowed = before + limit.interval_ns - now_ns <= limit.window_ns;
  full_at_ns = allowed ? before + limit.interval_ns : before;
  return rate_verdict(limit, allowed, full_at_ns - now_ns);
}

void RateTable::put(const Hash128& key, int64_t full_at_ns, int64_t now_ns) {
  Shard& its = shard(key);
  const std::lock_guard lock(its.mutex);
  bucket(its, key, now_ns) = full_at_ns;
}

size_t RateTable::bytes() const {
  size_t total = 0;
  for (size_t i = 0; i < kShards; ++i) {
    const std::lock_guard lock(shards_[i].mutex);
    total += shards_[i].count * sizeof(Set);
  }
  return total;
}

// --- places, under the shard's lock --------------------------------------------------------------

int64_t* RateTable::find(Set& set, const Hash128& key) {
  for (size_t i = 0; i < kWays; ++i) {
    if (set.low[i] == key.low && set.high[i] == key.high && set.full_at_ns[i] != 0) {
      return &set.full_at_ns[i];
    }
  }
  return nullptr;
}

// The key's, a new one if need be. Good until the lock goes.
int64_t& RateTable::bucket(Shard& shard, const Hash128& key, int64_t now_ns) {
  if (shard.count == 0) {
    shard.sets = std::make_unique<Set[]>(1);
    shard.count = 1;
  }
  while (true) {
    Set& its = set(shard, key);
    if (int64_t* found = find(its, key)) return *found;
    const auto* first = std::min_element(its.full_at_ns.begin(), its.full_at_ns.end());
    const auto at = static_cast<size_t>(first - its.full_at_ns.begin());
    if (*first > now_ns && shard.count < kMostSets) {
      grow(shard, now_ns);
      continue;
    }
    its.low[at] = key.low;
    its.high[at] = key.high;
    its.full_at_ns[at] = now_ns;
    return its.full_at_ns[at];
  }
}

// Each set becomes two, by one more bit of the keys; buckets that are full stay behind.
void RateTable::grow(Shard& shard, int64_t now_ns) {
  const size_t count = shard.count * 2;
  auto sets = std::make_unique<Set[]>(count);
  for (size_t from = 0; from < shard.count; ++from) {
    const Set& old = shard.sets[from];
    std::array<size_t, 2> used{};
    for (size_t i = 0; i < kWays; ++i) {
      if (old.full_at_ns[i] <= now_ns) continue;
      const size_t to = old.low[i] & (count - 1);
      const size_t at = used[to == from ? 0 : 1]++;
      sets[to].low[at] = old.low[i];
      sets[to].high[at] = old.high[i];
      sets[to].full_at_ns[at] = old.full_at_ns[i];
    }
  }
  shard.sets = std::move(sets);
  shard.count = count;
}

}  // namespace lictor
