#include "proxy/balancer.h"

#include <algorithm>

namespace lictor {
namespace {

constexpr uint64_t mix(uint64_t bits) {
  bits ^= bits >> 33;
  bits *= 0xff51afd7ed558ccdULL;
  bits ^= bits >> 33;
  bits *= 0xc4ceb9fe1a85ec53ULL;
  return bits ^ (bits >> 33);
}

}  // namespace

std::unique_ptr<Balancer> make_balancer(Balance kind, uint64_t seed) {
  switch (kind) {
    case Balance::kRandom:
      return make_random(seed);
    case Balance::kLeastRequest:
      return make_least_request(seed);
    case Balance::kRingHash:
      return make_ring_hash(seed);
    case Balance::kWeightedRoundRobin:
    case Balance::kRoundRobin:
      break;
  }
  return make_round_robin(seed);
}

bool Balancer::is_excluded(const Hint& hint, const Candidate* candidate) {
  return std::find(hint.excluded.begin(), hint.excluded.end(), candidate) != hint.excluded.end();
}

uint64_t Chance::next() {
  state_ += 0x9e3779b97f4a7c15ULL;
  uint64_t bits = state_;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9ULL;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebULL;
  return bits ^ (bits >> 31);
}

uint64_t Chance::below(uint64_t bound) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
}

void WeightedChoice::set(std::span<const Balancer::Entry> entries) {
  entries_.assign(entries.begin(), entries.end());
  sums_.clear();
  uint64_t sum = 0;
  for (const auto& entry : entries_) sums_.push_back(sum += entry.weight);
}

Candidate* WeightedChoice::pick(Chance& chance) const {
  const uint64_t ticket = chance.below(sums_.back());
  const auto found = std::upper_bound(sums_.begin(), sums_.end(), ticket);
  return entries_[static_cast<size_t>(found - sums_.begin())].candidate;
}

Candidate* WeightedChoice::pick_other(Chance& chance, std::span<Candidate* const> excluded) const {
  const auto allowed = [&](const Balancer::Entry& entry) {
    return std::find(excluded.begin(), excluded.end(), entry.candidate) == excluded.end();
  };
  uint64_t sum = 0;
  for (const auto& entry : entries_) sum += allowed(entry) ? entry.weight : 0;
  if (sum == 0) return nullptr;
  uint64_t ticket = chance.below(sum);
  for (const auto& entry : entries_) {
    if (!allowed(entry)) continue;
    if (ticket < entry.weight) return entry.candidate;
    ticket -= entry.weight;
  }
  return nullptr;
}

uint64_t stable_hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  return mix(hash);
}

}  // namespace lictor
