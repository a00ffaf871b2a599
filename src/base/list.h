// An intrusive doubly linked list: no allocation, O(1) removal by the element itself. An element is
// in at most one list per Tag and leaves it when it is destroyed.
#pragma once

#include <cstddef>

namespace lictor {

template <class Tag>
class ListNode {
 public:
  ListNode() = default;
  ~ListNode() { unlink(); }
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;

  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (next_ == nullptr) return;
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = nullptr;
  }

 private:
  template <class T, class U>
  friend class List;
  ListNode* next_ = nullptr;
  ListNode* previous_ = nullptr;
};

// T derives from ListNode<Tag>. The list owns nothing; it must be empty or outlive its elements.
template <class T, class Tag = T>
class List {
  using Node = ListNode<Tag>;

 public:
  List() { ends_.next_ = ends_.previous_ = &ends_; }
  ~List() {
    while (!empty()) front().Node::unlink();
    ends_.next_ = ends_.previous_ = nullptr;
  }
  List(const List&) = delete;
  List& operator=(const List&) = delete;

  bool empty() const { return ends_.next_ == &ends_; }
  T& front() {
    // The analyzer loses sight of which element is the first once one was deleted.
    // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDelete)
    return *static_cast<T*>(ends_.next_);
  }
  T& back() { return *static_cast<T*>(ends_.previous_); }
  // An element that is in a list, this one or another, leaves its place first.
  void push_front(T& element) {
    element.Node::unlink();
    insert(element, &ends_, ends_.next_);
  }
  void push_back(T& element) {
    element.Node::unlink();
    insert(element, ends_.previous_, &ends_);
  }
  T* pop_front() {
    if (empty()) return nullptr;
    T& first = front();
    first.Node::unlink();
    return &first;
  }

  // Calls f for each; f may unlink or destroy the element it is given, but no other.
  template <class F>
  void for_each(F f) {
    for (Node* at = ends_.next_; at != &ends_;) {
      Node* next = at->next_;
      f(*static_cast<T*>(at));
      at = next;
    }
  }

 private:
  static void insert(Node& element, Node* before, Node* after) {
    element.previous_ = before;
    element.next_ = after;
    before->next_ = &element;
    after->previous_ = &element;
  }

  Node ends_;
};

}  // namespace lictor
