// The edges of all tries of a route table in one flat hash: (parent node, segment) -> child node.
// One probe finds a child among ten thousand; finding never allocates.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lictor {

class SegmentIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  uint32_t find(uint32_t parent, std::string_view segment) const;  // kNone when there is no child
  // The pair must not be there yet.
  void insert(uint32_t parent, std::string_view segment, uint32_t child);

 private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t parent = 0;
    uint32_t child = kNone;  // kNone = free
    uint32_t offset = 0;     // of the segment in text_
    uint32_t size = 0;
  };
  static uint64_t hash(uint32_t parent, std::string_view segment);
  void grow();
  void place(const Slot& slot);

  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t used_ = 0;
  std::string text_;
};

}  // namespace lictor
