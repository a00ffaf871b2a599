// Consistent hashing: candidates have points on a ring, in proportion to their weights, and a hash
// belongs to the next point (Karger et al., 1997; ketama). When one of n candidates goes, about 1/n
// of the hashes move. Load is bounded (Mirrokni, Thorup, Zadimoghaddam, 2016): a candidate that has
// more than 1.25 times its share of the requests in flight is passed over, unless the hash is that
// of a session.
#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "proxy/balancer.h"

namespace lictor {
namespace {

class RingHash final : public Balancer {
 public:
  explicit RingHash(uint64_t seed) : chance_(seed) {}

  void set(std::span<const Entry> entries) override;
  Candidate* pick(const Hint& hint) override;

 private:
  static constexpr double kMostPointsEach = 256;  // the heaviest has more than half of them
  static constexpr double kMostPoints = 1 << 17;
  static constexpr double kBound = 1.25;

  struct Point {
    uint64_t hash;
    uint32_t entry;
  };
  double points_per_weight() const;
  bool has_room(const Entry& entry, uint64_t active) const;
  uint64_t active() const;

  std::vector<Entry> entries_;
  std::vector<Point> ring_;  // sorted by hash
  uint64_t weights_ = 0;
  // By entry: the pick that found it full. Its other points need no second look.
  std::vector<uint64_t> full_;
  uint64_t picks_ = 0;
  Chance chance_;
};

// In powers of two, from what seldom changes: if everybody's points grew or shrank whenever one
// comes or goes, keys would move between those that stay.
double RingHash::points_per_weight() const {
  uint64_t heaviest = 1;
  for (const Entry& entry : entries_) heaviest = std::max<uint64_t>(heaviest, entry.weight);
  double points = kMostPointsEach / static_cast<double>(std::bit_ceil(heaviest));
  while (points * static_cast<double>(weights_) > kMostPoints) points /= 2;
  return points;
}

void RingHash::set(std::span<const Entry> entries) {
  entries_.assign(entries.begin(), entries.end());
  ring_.clear();
  full_.assign(entries.size(), 0);
  weights_ = 0;
  for (const Entry& entry : entries_) weights_ += entry.weight;
  const double points = points_per_weight();
  for (uint32_t i = 0; i < entries_.size(); ++i) {
    const auto count = std::max<int64_t>(1, std::llround(points * entries_[i].weight));
    Chance places(stable_hash(entries_[i].candidate->key));
    for (int64_t point = 0; point < count; ++point) ring_.push_back({places.next(), i});
  }
  std::sort(ring_.begin(), ring_.end(), [](const Point& a, const Point& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.entry < b.entry;
  });
}

uint64_t RingHash::active() const {
  uint64_t sum = 0;
  for (const Entry& entry : entries_) sum += entry.candidate->active;
  return sum;
}

bool RingHash::has_room(const Entry& entry, uint64_t active) const {
  const double share = static_cast<double>(entry.weight) / static_cast<double>(weights_);
  const double most = std::ceil(kBound * static_cast<double>(active + 1) * share);
  return static_cast<double>(entry.candidate->active + 1) <= most;
}

Candidate* RingHash::pick(const Hint& hint) {
  if (ring_.empty()) return nullptr;
  const uint64_t hash = hint.hash.value_or(chance_.next());
  auto at =
      std::lower_bound(ring_.begin(), ring_.end(), hash,
                       [](const Point& point, uint64_t wanted) { return point.hash < wanted; });
  Candidate* allowed = nullptr;  // the nearest that is not excluded, full or not
  uint64_t active_now = 0;
  ++picks_;
  for (size_t i = 0; i < ring_.size(); ++i, ++at) {
    if (at == ring_.end()) at = ring_.begin();
    const Entry& entry = entries_[at->entry];
    if (is_excluded(hint, entry.candidate)) continue;
    if (allowed == nullptr) allowed = entry.candidate;
    if (hint.sticky || entry.candidate->active == 0) return entry.candidate;
    if (full_[at->entry] == picks_) continue;
    if (active_now == 0) active_now = active();
    if (has_room(entry, active_now)) return entry.candidate;
    full_[at->entry] = picks_;
  }
  return allowed != nullptr ? allowed : entries_[ring_.front().entry].candidate;
}

}  // namespace

std::unique_ptr<Balancer> make_ring_hash(uint64_t seed) { return std::make_unique<RingHash>(seed); }

}  // namespace lictor
