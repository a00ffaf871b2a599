// The tries of a route table: nodes in one array, their edges in one flat hash of 8 bytes a slot.
// A node holds what a walk reads of it in one cache line, the segment that leads to it too, so that
// a step costs about two lines among ten thousand routes as among ten. Finding never allocates.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace lictor {

// Of candidates: from `first` up to, not including, `last`.
struct CandidateRange {
  uint32_t first = 0;
  uint32_t last = 0;
};

struct alignas(64) TrieNode {
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr size_t kInline = 24;

  int32_t best_priority = std::numeric_limits<int32_t>::min();  // of the candidates here and below
  uint32_t capture = kNone;                                     // the child behind a {capture}
  CandidateRange exact;                                         // those that end here
  CandidateRange rest;                                          // those with "/*" here
  uint32_t parent = kNone;
  // The literal segment that leads here from `parent`: in the node, or at `offset` of the text.
  uint32_t size = 0;
  uint32_t offset = 0;
  std::array<char, kInline> segment{};
};
static_assert(sizeof(TrieNode) == 64);

class RouteTrie {
 public:
  static constexpr uint32_t kNone = TrieNode::kNone;

  uint32_t add_root() { return add_node(kNone); }
  // The child of a node, made when it isn't there yet. Children come after their parents.
  uint32_t literal_child(uint32_t node, std::string_view segment);
  uint32_t capture_child(uint32_t node);
  // kNone when there is no child for this literal.
  uint32_t find(uint32_t node, std::string_view segment) const;

  const TrieNode& operator[](uint32_t node) const { return nodes_[node]; }
  TrieNode& operator[](uint32_t node) { return nodes_[node]; }
  size_t size() const { return nodes_.size(); }

 private:
  struct Slot {
    uint32_t tag = 0;
    uint32_t child = kNone;  // kNone = free
  };
  uint32_t add_node(uint32_t parent);
  void insert(uint64_t hash, uint32_t child);
  std::string_view segment_of(const TrieNode& node) const;

  std::vector<TrieNode> nodes_;
  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t used_ = 0;
  std::string text_;  // segments that are too long for their node
};

}  // namespace lictor
