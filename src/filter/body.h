// The chains of what filters put in a body's way; each belongs to one request and owns nothing.
#pragma once

#include <string_view>
#include <utility>

#include "base/buffer.h"
#include "filter/filter.h"

namespace lictor {

class BodyTaps {
 public:
  void add(BodyTap& tap) {
    tap.next = nullptr;
    BodyTap** end = &first_;
    while (*end != nullptr) end = &(*end)->next;
    *end = &tap;
  }
  void tell(std::string_view bytes, bool end) {
    for (BodyTap* tap = first_; tap != nullptr; tap = tap->next) tap->on_body(bytes, end);
  }

 private:
  BodyTap* first_ = nullptr;
};

class BodyTransforms {
 public:
  bool empty() const { return first_ == nullptr; }
  void add(BodyTransform& transform) {
    transform.next = nullptr;
    BodyTransform** end = &first_;
    while (*end != nullptr) end = &(*end)->next;
    *end = &transform;
  }
  // What `bytes` become behind all of them. False when one of them can't go on.
  bool run(std::string_view bytes, bool end, Buffer& out) {
    if (!first_->transform(bytes, end, out)) return false;
    for (BodyTransform* at = first_->next; at != nullptr; at = at->next) {
      if (!pass(*at, end, out)) return false;
    }
    return true;
  }
  // What they hold back.
  bool flush(Buffer& out) {
    if (!first_->flush(out)) return false;
    for (BodyTransform* at = first_->next; at != nullptr; at = at->next) {
      if ((!out.empty() && !pass(*at, false, out)) || !at->flush(out)) return false;
    }
    return true;
  }

 private:
  // Replaces what is in `passed` by what it becomes.
  static bool pass(BodyTransform& transform, bool end, Buffer& passed) {
    Buffer changed;
    while (passed.size() > passed.front().size()) {
      if (!transform.transform(passed.front(), false, changed)) return false;
      passed.consume(passed.front().size());
    }
    if (!transform.transform(passed.front(), end, changed)) return false;
    passed = std::move(changed);
    return true;
  }

  BodyTransform* first_ = nullptr;
};

}  // namespace lictor
