#include "control/publisher.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace lictor {
namespace {

constexpr size_t kKeysInLog = 8;

}  // namespace

Publisher::Publisher(Scheduler& scheduler, std::string prefix, User& user)
    : scheduler_(scheduler),
      prefix_(std::move(prefix)),
      user_(user),
      quiet_(scheduler.timer([this] { compile(); })),
      warm_up_(scheduler.timer([this] { advance(); })) {}

void Publisher::set(DocumentSet documents) {
  set_ = std::move(documents);
  has_set_ = true;
  const Millis now = scheduler_.now();
  if (!first_change_) first_change_ = now;
  const Millis left = *first_change_ + kLongest - now;
  quiet_->start(std::clamp(left, Millis(0), kQuiet));
}

void Publisher::reread_files() {
  compiler_.reread_files();
  if (has_set_) quiet_->start(Millis(0));
}

void Publisher::compile() {
  first_change_.reset();
  auto outcome = compiler_.compile(set_.documents);
  add_unreadable(outcome.documents, outcome.newly_bad);
  stage(std::move(outcome));
  advance();
}

void Publisher::restore(const std::vector<DocumentVersions>& versions) {
  stage(compiler_.restore(versions));
  publish();
}

void Publisher::stage(Compiler::Outcome outcome) {
  log_bad(outcome.documents, outcome.newly_bad);
  for (auto& key : outcome.changed) {
    if (std::find(changed_.begin(), changed_.end(), key) == changed_.end()) {
      changed_.push_back(std::move(key));
    }
  }
  staged_ = Staged{std::move(outcome.snapshot), std::move(outcome.documents)};
  if (!staged_since_) staged_since_ = scheduler_.now();
  // Held: the user may call back.
  const SnapshotPtr snapshot = staged_->snapshot;
  user_.prepare(*snapshot);
}

void Publisher::add_unreadable(std::vector<DocumentStatus>& statuses,
                               std::vector<std::string>& newly_bad) {
  std::map<std::string, std::string> errors;
  for (const auto& [key, error] : set_.unreadable) {
    errors.emplace(key, error);
    const auto known = unreadable_.find(key);
    if (known == unreadable_.end() || known->second != error) newly_bad.push_back(key);
    const auto at = std::lower_bound(
        statuses.begin(), statuses.end(), key,
        [](const DocumentStatus& status, const std::string& k) { return status.key < k; });
    if (at != statuses.end() && at->key == key) {
      if (at->state == DocumentState::kActive) at->state = DocumentState::kStale;
      at->error = error;
    } else {
      DocumentStatus status;
      status.key = key;
      status.state = DocumentState::kRejected;
      status.error = error;
      statuses.insert(at, std::move(status));
    }
  }
  unreadable_ = std::move(errors);
}

void Publisher::log_bad(const std::vector<DocumentStatus>& statuses,
                        const std::vector<std::string>& newly_bad) const {
  for (const auto& status : statuses) {
    if (std::find(newly_bad.begin(), newly_bad.end(), status.key) == newly_bad.end()) continue;
    log::warn("config: {}{}: {} ({})", prefix_, status.key, status.error,
              status.state == DocumentState::kRejected ? "left out"
                                                       : "its last good version stays in force");
  }
}

void Publisher::poke() {
  if (staged_) warm_up_->start(Millis(0));
}

// Publishes what is staged, or waits for its services: poke() or the timer brings it back here.
void Publisher::advance() {
  if (!staged_) return;
  const Millis left = *staged_since_ + kWarmUp - scheduler_.now();
  if (left > Millis(0) && staged_->snapshot != snapshot_ && !user_.warm(*staged_->snapshot)) {
    warm_up_->start(left);
    return;
  }
  publish();
}

void Publisher::publish() {
  warm_up_->stop();
  staged_since_.reset();
  documents_ = std::move(staged_->documents);
  for (auto& status : documents_) status.key.insert(0, prefix_);
  const SnapshotPtr next = std::move(staged_->snapshot);
  staged_.reset();
  if (next == snapshot_) {
    changed_.clear();
    return;
  }
  const bool moved = !snapshot_ || snapshot_->revision != next->revision;
  snapshot_ = next;
  if (moved) record();
  user_.publish(next);
}

void Publisher::record() {
  ConfigChange change;
  change.revision = snapshot_->revision;
  change.time_ms = scheduler_.wall_ms();
  std::string list;
  for (size_t i = 0; i < changed_.size(); ++i) {
    change.changed.push_back(prefix_ + changed_[i]);
    if (i < kKeysInLog) list += (i == 0 ? ": " : ", ") + change.changed.back();
  }
  if (changed_.size() > kKeysInLog) {
    list += " and " + std::to_string(changed_.size() - kKeysInLog) + " more";
  }
  changed_.clear();
  std::sort(change.changed.begin(), change.changed.end());
  log::info("config: revision {} in force{}", change.revision, list);
  history_.push_back(std::move(change));
  if (history_.size() > kHistory) history_.pop_front();
}

void Publisher::stop() {
  quiet_->stop();
  warm_up_->stop();
  staged_.reset();
}

}  // namespace lictor
