#include "model/route_trie.h"

#include <algorithm>
#include <functional>

namespace lictor {
namespace {

uint64_t hash_of(uint32_t parent, std::string_view segment) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
  uint64_t mixed = std::hash<std::string_view>{}(segment) ^ (parent + kGolden) * kGolden;
  mixed ^= mixed >> 32;
  return mixed * kGolden;
}

// The slot comes from the low bits, the tag from the high ones.
uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

}  // namespace

uint32_t RouteTrie::add_node(uint32_t parent) {
  nodes_.emplace_back().parent = parent;
  return static_cast<uint32_t>(nodes_.size() - 1);
}

uint32_t RouteTrie::literal_child(uint32_t node, std::string_view segment) {
  uint32_t child = find(node, segment);
  if (child != kNone) return child;
  child = add_node(node);
  TrieNode& made = nodes_[child];
  made.size = static_cast<uint32_t>(segment.size());
  if (segment.size() <= TrieNode::kInline) {
    std::copy(segment.begin(), segment.end(), made.segment.begin());
  } else {
    made.offset = static_cast<uint32_t>(text_.size());
    text_ += segment;
  }
  insert(hash_of(node, segment), child);
  return child;
}

uint32_t RouteTrie::capture_child(uint32_t node) {
  if (nodes_[node].capture == kNone) {
    const uint32_t child = add_node(node);
    nodes_[node].capture = child;
  }
  return nodes_[node].capture;
}

uint32_t RouteTrie::find(uint32_t node, std::string_view segment) const {
  if (slots_.empty()) return kNone;
  const uint64_t hash = hash_of(node, segment);
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask; slots_[at].child != kNone; at = (at + 1) & mask) {
    if (slots_[at].tag != tag_of(hash)) continue;
    const TrieNode& child = nodes_[slots_[at].child];
    if (child.parent == node && segment_of(child) == segment) return slots_[at].child;
  }
  return kNone;
}

void RouteTrie::insert(uint64_t hash, uint32_t child) {
  if ((used_ + 1) * 2 > slots_.size()) {
    std::vector<Slot> old(slots_.empty() ? 16 : slots_.size() * 2);
    old.swap(slots_);
    used_ = 0;
    for (const Slot& slot : old) {
      if (slot.child == kNone) continue;
      const TrieNode& node = nodes_[slot.child];
      insert(hash_of(node.parent, segment_of(node)), slot.child);
    }
  }
  ++used_;
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  while (slots_[at].child != kNone) at = (at + 1) & mask;
  slots_[at] = {tag_of(hash), child};
}

std::string_view RouteTrie::segment_of(const TrieNode& node) const {
  if (node.size <= TrieNode::kInline) return {node.segment.data(), node.size};
  return std::string_view(text_).substr(node.offset, node.size);
}

}  // namespace lictor
