#include "filter/in_use.h"

#include <algorithm>
#include <utility>

namespace lictor {

InUse::InUse() : shards_(std::make_unique<Shard[]>(kShards)) {}
InUse::~InUse() = default;

bool InUse::enter(const Hash128& key, uint32_t most) {
  Shard& its = shard(key);
  const std::lock_guard lock(its.mutex);
  if (its.used * 2 >= its.places.size()) grow(its);
  Place& place = its.places[find(its.places, key)];
  if (place.count >= most) return false;
  if (place.count == 0) {
    if (its.used >= kMostKeys) return false;
    place.key = key;
    ++its.used;
  }
  ++place.count;
  return true;
}

void InUse::leave(const Hash128& key) {
  Shard& its = shard(key);
  const std::lock_guard lock(its.mutex);
  const size_t at = find(its.places, key);
  if (--its.places[at].count == 0) erase(its, at);
}

size_t InUse::keys() const {
  size_t total = 0;
  for (size_t i = 0; i < kShards; ++i) {
    const std::lock_guard lock(shards_[i].mutex);
    total += shards_[i].used;
  }
  return total;
}

// Where the key is, or the free place where it would be.
size_t InUse::find(const std::vector<Place>& places, const Hash128& key) {
  const size_t mask = places.size() - 1;
  size_t at = key.low & mask;
  while (places[at].count != 0 && !(places[at].key == key)) at = (at + 1) & mask;
  return at;
}

void InUse::grow(Shard& shard) {
  std::vector<Place> places(std::max(kLeastPlaces, shard.places.size() * 2));
  for (const Place& place : shard.places) {
    if (place.count != 0) places[find(places, place.key)] = place;
  }
  shard.places = std::move(places);
}

// What stands behind it moves up, so that no key loses its way.
void InUse::erase(Shard& shard, size_t at) {
  auto& places = shard.places;
  const size_t mask = places.size() - 1;
  for (size_t next = (at + 1) & mask; places[next].count != 0; next = (next + 1) & mask) {
    const size_t home = places[next].key.low & mask;
    if (((next - home) & mask) < ((next - at) & mask)) continue;
    places[at] = places[next];
    at = next;
  }
  places[at].count = 0;
  --shard.used;
}

}  // namespace lictor
