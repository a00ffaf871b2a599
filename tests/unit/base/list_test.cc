#include "base/list.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>

using lictor::List;
using lictor::ListNode;

namespace {

struct Other;

struct Item : ListNode<Item>, ListNode<Other> {
  explicit Item(char its_name) : name(its_name) {}
  char name;
};

template <class Tag>
std::string names(List<Item, Tag>& list) {
  std::string all;
  list.for_each([&](Item& item) { all += item.name; });
  return all;
}

}  // namespace

TEST_CASE("elements come out as they were put in") {
  List<Item> list;
  Item a('a'), b('b'), c('c');
  CHECK(list.empty());
  CHECK(list.pop_front() == nullptr);
  list.push_back(b);
  list.push_back(c);
  list.push_front(a);
  CHECK(names(list) == "abc");
  CHECK(&list.front() == &a);
  CHECK(&list.back() == &c);
  CHECK(list.pop_front() == &a);
  CHECK_FALSE(a.ListNode<Item>::linked());
  CHECK(names(list) == "bc");
}

TEST_CASE("an element is in one list at a time and leaves it when it goes") {
  List<Item> first;
  List<Item> second;
  Item a('a');
  first.push_back(a);
  second.push_back(a);
  CHECK(first.empty());
  CHECK(names(second) == "a");
  second.push_back(a);
  CHECK(names(second) == "a");
  second.push_front(a);
  CHECK(names(second) == "a");
  {
    Item b('b');
    second.push_back(b);
    CHECK(names(second) == "ab");
  }
  CHECK(names(second) == "a");
  a.ListNode<Item>::unlink();
  a.ListNode<Item>::unlink();
  CHECK(second.empty());
}

TEST_CASE("lists of different tags know nothing of each other") {
  List<Item> list;
  List<Item, Other> other;
  Item a('a'), b('b');
  list.push_back(a);
  other.push_back(b);
  other.push_back(a);
  a.ListNode<Item>::unlink();
  CHECK(list.empty());
  CHECK(names(other) == "ba");
}

TEST_CASE("for_each lets its element go") {
  List<Item> list;
  std::string seen;
  auto a = std::make_unique<Item>('a');
  auto d = std::make_unique<Item>('d');
  Item b('b'), c('c');
  for (Item* item : {a.get(), &b, &c, d.get()}) list.push_back(*item);
  list.for_each([&](Item& item) {
    seen += item.name;
    if (&item == a.get()) {
      a.reset();
    } else if (&item == d.get()) {
      d.reset();
    } else if (&item == &b) {
      b.ListNode<Item>::unlink();
    }
  });
  CHECK(seen == "abcd");
  CHECK(names(list) == "c");
}

TEST_CASE("a list that goes lets its elements go") {
  Item a('a');
  {
    List<Item> list;
    list.push_back(a);
  }
  CHECK_FALSE(a.ListNode<Item>::linked());
}
