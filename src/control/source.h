// Where documents come from. A source hands over the whole set each time it changed.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/compiler.h"

namespace lictor {

// A document that is there but can't be read; its last text, if it had one, is in the set.
struct Unreadable {
  std::string key;
  std::string error;
  bool operator==(const Unreadable&) const = default;
};

struct DocumentSet {
  std::vector<Document> documents;  // sorted by key, unique
  std::vector<Unreadable> unreadable;
};

class Source {
 public:
  using Sink = std::function<void(DocumentSet)>;

  virtual ~Source() = default;
  virtual void start() = 0;
  // Before start(): what was known in an earlier life, until the source itself has been read.
  virtual void restore(const std::vector<Document>&) {}
  virtual std::string_view name() const = 0;  // as in /v1/status
  // What comes before a document's key in /v1/config: "lictor/".
  virtual std::string prefix() const = 0;
  virtual std::string describe() const = 0;  // for people: "Consul KV at lictor/"
};

}  // namespace lictor
