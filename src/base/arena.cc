#include "base/arena.h"

#include <algorithm>
#include <cstdlib>

namespace lictor {

Arena::~Arena() {
  while (last_ != nullptr) {
    Block* previous = last_->previous;
    std::free(last_);
    last_ = previous;
  }
}

void* Arena::allocate_slow(size_t size, size_t align) {
  const size_t want = std::max(kFirstBlock, sizeof(Block) + size + align);
  auto* block = static_cast<Block*>(std::malloc(want));
  if (block == nullptr) throw std::bad_alloc();
  block->previous = last_;
  block->size = want;
  last_ = block;
  total_ += want;
  next_ = reinterpret_cast<char*>(block + 1);
  end_ = reinterpret_cast<char*>(block) + want;
  return allocate(size, align);
}

std::string_view Arena::extend(std::string_view text, std::string_view more) {
  if (more.empty()) return text;
  if (text.data() != nullptr && text.data() + text.size() == next_ &&
      more.size() <= static_cast<size_t>(end_ - next_)) {
    std::memcpy(next_, more.data(), more.size());
    next_ += more.size();
    return {text.data(), text.size() + more.size()};
  }
  return concat(text, more);
}

void Arena::reset() {
  if (last_ == nullptr) return;
  while (last_->previous != nullptr) {
    Block* previous = last_->previous;
    total_ -= last_->size;
    std::free(last_);
    last_ = previous;
  }
  next_ = reinterpret_cast<char*>(last_ + 1);
  end_ = reinterpret_cast<char*>(last_) + last_->size;
}

}  // namespace lictor
