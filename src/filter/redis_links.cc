#include "filter/redis_links.h"

#include <utility>

#include "io/tcp.h"

namespace lictor {

RedisLinks::RedisLinks() : RedisLinks(&Tcp::connect) {}
RedisLinks::RedisLinks(RedisLink::Connect connect) : connect_(std::move(connect)) {}
RedisLinks::~RedisLinks() = default;

RedisLink& RedisLinks::link(Loop& loop, const RedisTarget& target) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<RedisHealth> health;
  for (Entry& entry : entries_) {
    if (!(entry.target == target)) continue;
    if (entry.loop == &loop) return *entry.link;
    health = entry.health;
  }
  // A new one, so documents have changed: those of old ones that nobody asks any more go.
  std::erase_if(entries_,
                [&loop](const Entry& entry) { return entry.loop == &loop && entry.link->idle(); });
  if (health == nullptr) health = std::make_shared<RedisHealth>();
  auto link = std::make_unique<RedisLink>(loop, target, health, connect_);
  return *entries_.emplace_back(&loop, target, std::move(health), std::move(link)).link;
}

void RedisLinks::close(const Loop& loop) {
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [&loop](const Entry& entry) { return entry.loop == &loop; });
}

}  // namespace lictor
