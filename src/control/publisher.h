// From a set of documents to a configuration in force:
//   set() > a quiet time, with a longest time > compile > prepare the services it newly names,
//   until all are known or kWarmUp has passed > adopt, publish.
// So a burst of writes becomes one snapshot, and a route that moves to a new service doesn't meet a
// service without instances only because nobody has asked yet. Keeps what /v1/config shows: the
// state of each document and the last changes.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/control.h"
#include "control/scheduler.h"
#include "control/source.h"
#include "model/compiler.h"

namespace lictor {

class Publisher {
 public:
  static constexpr Millis kQuiet{20};
  static constexpr Millis kLongest{200};
  static constexpr Millis kWarmUp{500};
  static constexpr size_t kHistory = 100;

  class User {
   public:
    // Called once for every compiled snapshot, ahead of warm().
    virtual void prepare(const Snapshot& snapshot) = 0;
    virtual bool warm(const Snapshot& snapshot) = 0;
    virtual void publish(SnapshotPtr snapshot) = 0;

   protected:
    ~User() = default;
  };

  // `prefix` stands before keys where people see them.
  Publisher(Scheduler& scheduler, std::string prefix, User& user);

  void set(DocumentSet documents);
  // What files say that documents name may have changed.
  void reread_files();
  // Ahead of the first set(): puts what was saved in force at once.
  void restore(const std::vector<DocumentVersions>& versions);
  std::vector<DocumentVersions> versions() const { return compiler_.versions(); }
  // Something that warm() depends on has changed. Publishes later, never inside this.
  void poke();
  void stop();

  SnapshotPtr snapshot() const { return snapshot_; }  // published last; null before
  const std::vector<DocumentStatus>& documents() const { return documents_; }
  const std::deque<ConfigChange>& history() const { return history_; }

 private:
  struct Staged {
    SnapshotPtr snapshot;
    std::vector<DocumentStatus> documents;
  };
  void compile();
  void stage(Compiler::Outcome outcome);
  void add_unreadable(std::vector<DocumentStatus>& statuses, std::vector<std::string>& newly_bad);
  void log_bad(const std::vector<DocumentStatus>& statuses,
               const std::vector<std::string>& newly_bad) const;
  void advance();
  void publish();
  void record();

  Scheduler& scheduler_;
  const std::string prefix_;
  User& user_;
  Compiler compiler_;

  DocumentSet set_;
  bool has_set_ = false;
  std::map<std::string, std::string> unreadable_;  // errors that the log has
  std::optional<Millis> first_change_;             // of those not compiled yet
  std::unique_ptr<ScheduledCall> quiet_;

  std::optional<Staged> staged_;
  std::vector<std::string> changed_;    // keys since the last publication
  std::optional<Millis> staged_since_;  // the first of those that were not published yet
  std::unique_ptr<ScheduledCall> warm_up_;

  SnapshotPtr snapshot_;
  std::vector<DocumentStatus> documents_;
  std::deque<ConfigChange> history_;
};

}  // namespace lictor
