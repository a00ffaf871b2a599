#include "model/segment_index.h"

#include <functional>

namespace lictor {

uint64_t SegmentIndex::hash(uint32_t parent, std::string_view segment) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
  uint64_t mixed = std::hash<std::string_view>{}(segment) ^ (parent + kGolden) * kGolden;
  mixed ^= mixed >> 32;
  return mixed * kGolden;
}

uint32_t SegmentIndex::find(uint32_t parent, std::string_view segment) const {
  if (slots_.empty()) return kNone;
  const uint64_t wanted = hash(parent, segment);
  const size_t mask = slots_.size() - 1;
  for (size_t at = wanted & mask; slots_[at].child != kNone; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.hash == wanted && slot.parent == parent &&
        std::string_view(text_).substr(slot.offset, slot.size) == segment) {
      return slot.child;
    }
  }
  return kNone;
}

void SegmentIndex::insert(uint32_t parent, std::string_view segment, uint32_t child) {
  if ((used_ + 1) * 2 > slots_.size()) grow();
  ++used_;
  const auto offset = static_cast<uint32_t>(text_.size());
  text_ += segment;
  place({hash(parent, segment), parent, child, offset, static_cast<uint32_t>(segment.size())});
}

void SegmentIndex::grow() {
  std::vector<Slot> old(slots_.empty() ? 16 : slots_.size() * 2);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.child != kNone) place(slot);
  }
}

void SegmentIndex::place(const Slot& slot) {
  const size_t mask = slots_.size() - 1;
  size_t at = slot.hash & mask;
  while (slots_[at].child != kNone) at = (at + 1) & mask;
  slots_[at] = slot;
}

}  // namespace lictor
