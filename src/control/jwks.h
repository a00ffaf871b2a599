// The issuers' keys that `jwt` filters name by a URI: fetched here, on the control plane, and put
// into the filters' key sources. One entry a URI, however many filters name it; the last good keys
// stay in use whatever the issuer does. A URI that no filter names any more is forgotten.
//
// When it is asked: at once for a new URI; again as Cache-Control says, from a minute to an hour;
// after a failure with growing pauses; for a token whose key is not there at once, but for that
// reason at most once in ten seconds, whoever sends such tokens.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/control.h"
#include "control/doorbell.h"
#include "control/fetcher.h"
#include "control/scheduler.h"
#include "model/snapshot.h"

namespace lictor {

class Jwks {
 public:
  static constexpr Millis kTimeout{5'000};
  static constexpr Millis kLeastAge{60'000};
  static constexpr Millis kMostAge{3'600'000};
  static constexpr Millis kUsualAge{600'000};  // without a max-age
  static constexpr Millis kLongestPause{60'000};
  static constexpr Millis kBetweenWishes{10'000};
  static constexpr size_t kMaxBytes = 256 << 10;

  // `on_answered`: the first answer of some URI, or the first failure, has come.
  Jwks(Scheduler& scheduler, Fetcher& fetcher, const MakeDoorbell& doorbell,
       std::function<void()> on_answered);
  ~Jwks();
  Jwks(const Jwks&) = delete;
  Jwks& operator=(const Jwks&) = delete;

  // Before the snapshot is published: its key sources get the keys that are known, and what is not
  // is asked for.
  void prepare(const Snapshot& snapshot);
  bool all_answered(const Snapshot& snapshot) const;
  void keep_only(const Snapshot& snapshot);

  std::vector<JwksStatus> status() const;
  void stop();  // no fetch and no timer is left

 private:
  class Entry;
  void on_bell();

  Scheduler& scheduler_;
  Fetcher& fetcher_;
  const std::function<void()> on_answered_;
  std::shared_ptr<Doorbell> bell_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;  // by URI
};

// How long an answer may be used, within the bounds above.
Millis jwks_age(std::string_view cache_control);

}  // namespace lictor
