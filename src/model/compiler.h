// Compiles documents to a snapshot, document by document: a bad one is quarantined and its last
// good version stays in force (SPEC 3). Control thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/snapshot.h"

namespace lictor {

struct Document {
  std::string key;   // below the prefix: "gateway", "routes/users", "upstreams/web"
  std::string text;  // JSON
  uint64_t modify_index = 0;
};

enum class DocumentState : uint8_t { kActive, kStale, kRejected };
std::string_view document_state_name(DocumentState state);

struct DocumentStatus {
  std::string key;
  DocumentState state = DocumentState::kActive;
  std::string error;    // "$.json.path: message"; empty when active
  std::string warning;  // valid, but something a person should know
  uint64_t modify_index = 0;
};

// A document as a restart needs it.
struct DocumentVersions {
  std::string key;
  std::optional<std::string> text;  // as it is; none: deleted, but still in force for others
  std::optional<std::string> good;  // the last good one, where that is not `text`
  uint64_t modify_index = 0;
};

class Compiler {
 public:
  struct Outcome {
    SnapshotPtr snapshot;                   // never null
    std::vector<DocumentStatus> documents;  // sorted by key
    std::vector<std::string> changed;       // keys added, changed or removed since the last call
    std::vector<std::string>
        newly_bad;  // keys whose error is new or other than before: log these once
  };

  Compiler();
  ~Compiler();

  // `documents` is the whole current set. The same set again gives the same snapshot object
  // (and an empty `changed`). The revision is 1 + the last one whenever anything took effect.
  Outcome compile(const std::vector<Document>& documents);

  // The next compile() reads documents that name files (of certificates) as if they had changed.
  void reread_files();

  // Everything that compile() builds on, sorted by key; and a fresh compiler brought there: what
  // was stale is so again, with its last good version in force.
  std::vector<DocumentVersions> versions() const;
  Outcome restore(const std::vector<DocumentVersions>& versions);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lictor
