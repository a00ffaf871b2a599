// The certificates of all listeners under TLS: read at start, and again on SIGHUP and when their
// files change, whichever way people and tools change files (written over, renamed over, symlinks
// swapped). What can't be used is logged, and what was in force stays. Main thread.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/json.h"
#include "io/loop.h"
#include "io/tls_context.h"
#include "model/bootstrap.h"
#include "telemetry/metrics.h"

namespace lictor {

class ListenerTls {
 public:
  static constexpr uint64_t kPauseMs = 200;      // a certificate and its key change one by one
  static constexpr uint64_t kRescanMs = 10'000;  // where inotify sees nothing

  ListenerTls();

  // All or nothing; once. The paths of the problems are those of the bootstrap file.
  Problems load(const std::vector<ListenerConfig>& listeners);
  // Looks at the files from now on; `changed` follows when there are other servers().
  void watch(Loop& loop, std::function<void()> changed);
  // What the bootstrap file says now. Which listeners are under TLS stays as it was at start.
  void reload(const std::vector<ListenerConfig>& listeners);

  // By listener; null: plaintext.
  std::vector<TlsServerPtr> servers() const;
  std::vector<CertificateGauge> certificates() const;

 private:
  // Device, inode, size, time of change: another one means another content.
  using Stamp = std::tuple<uint64_t, uint64_t, int64_t, int64_t>;
  struct Entry {
    std::string name;
    std::optional<ListenerTlsConfig> config;
    std::vector<CertificatePtr> certificates;  // as in config
    TlsServerPtr server;

    CertificatePtr find(const CertificateFiles& files) const;
  };

  std::expected<TlsServerPtr, std::string> make_server(const Entry& entry) const;
  bool renew(Entry& entry, const ListenerTlsConfig& config);
  std::vector<std::string> files() const;
  std::vector<Stamp> stamps() const;
  void watch_folders();
  void on_event();
  void look();
  void rescan();

  std::vector<Entry> entries_;  // by listener
  std::shared_ptr<TicketKeys> tickets_;
  Loop* loop_ = nullptr;
  std::function<void()> changed_;
  std::vector<Stamp> read_;                               // of the files as they were read last
  std::vector<Stamp> seen_;                               // and as they were seen last
  std::map<std::string, std::shared_ptr<void>> watches_;  // by folder
  uint64_t rotated_ms_ = 0;
  Timer pause_;
  Timer rescan_;
};

}  // namespace lictor
