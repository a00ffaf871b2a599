// The registry of one kind of cells. One entry a set of labels, with a cell for each worker; a
// worker's pointer to its cell holds the whole entry, so an entry that only the family holds is one
// whose route or instance went. Any thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lictor {

template <class Cells>
struct CellEntry {
  CellEntry(size_t workers, std::string_view a, std::string_view b)
      : first(a), second(b), cells(std::make_unique<Cells[]>(workers)) {}

  std::string first;  // labels: route, or service and instance
  std::string second;
  std::unique_ptr<Cells[]> cells;  // by worker
};

// All entries of one kind, sorted by their labels.
template <class Cells>
class CellFamily {
 public:
  using EntryPtr = std::shared_ptr<CellEntry<Cells>>;

  explicit CellFamily(size_t workers) : workers_(workers) {}

  std::shared_ptr<Cells> get(size_t worker, std::string_view first, std::string_view second) {
    std::string key = key_of(first, second);
    const std::lock_guard lock(mutex_);
    auto found = entries_.find(key);
    if (found == entries_.end()) {
      if (entries_.size() >= sweep_at_) sweep();
      found =
          entries_
              .emplace(std::move(key), std::make_shared<CellEntry<Cells>>(workers_, first, second))
              .first;
    }
    const EntryPtr& entry = found->second;
    return {entry, &entry->cells[worker]};
  }

  // All entries; those that nobody else holds are no longer the family's.
  std::vector<EntryPtr> take() {
    const std::lock_guard lock(mutex_);
    std::vector<EntryPtr> taken;
    taken.reserve(entries_.size());
    for (auto it = entries_.begin(); it != entries_.end();) {
      taken.push_back(it->second);
      // Letting go here orders what the last holder counted before what the caller will read.
      it = it->second.use_count() == 2 ? entries_.erase(it) : std::next(it);
    }
    return taken;
  }

  // Calls `visit` with each worker's cell, or not at all when there is no such entry.
  template <class Visit>
  void visit(std::string_view first, std::string_view second, Visit visit) const {
    const std::string key = key_of(first, second);
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    for (size_t worker = 0; worker < workers_; ++worker) visit(found->second->cells[worker]);
  }

 private:
  static constexpr size_t kLeastSweep = 1024;

  static std::string key_of(std::string_view first, std::string_view second) {
    std::string key;
    key.reserve(first.size() + 1 + second.size());
    key += first;
    key += '\0';
    key += second;
    return key;
  }

  // Instances come and go, and perhaps nobody scrapes: the dead must not pile up. Done whenever the
  // number of entries has doubled, so it costs each of them little.
  void sweep() {
    std::erase_if(entries_, [](const auto& item) { return item.second.use_count() == 1; });
    sweep_at_ = std::max(kLeastSweep, entries_.size() * 2);
  }

  const size_t workers_;
  mutable std::mutex mutex_;
  std::map<std::string, EntryPtr> entries_;
  size_t sweep_at_ = kLeastSweep;
};

}  // namespace lictor
