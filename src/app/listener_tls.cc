#include "app/listener_tls.h"

#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "control/uv_watch_folder.h"

namespace lictor {
namespace {

std::string format_day(int64_t seconds) {
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return {text, strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

void tell(const std::string& listener, const Certificate& certificate) {
  const std::string day = format_day(certificate.not_after());
  if (certificate.not_after() < time(nullptr)) {
    log::warn("listener {}: certificate {} has expired on {}", listener, certificate.title(), day);
  } else {
    log::info("listener {}: certificate {} is good until {}", listener, certificate.title(), day);
  }
}

}  // namespace

ListenerTls::ListenerTls() : tickets_(std::make_shared<TicketKeys>()) {
  pause_.bind<&ListenerTls::look>(this);
  rescan_.bind<&ListenerTls::rescan>(this);
}

CertificatePtr ListenerTls::Entry::find(const CertificateFiles& files) const {
  if (!config) return nullptr;
  const auto& all = config->certificates;
  const auto at = std::find(all.begin(), all.end(), files);
  return at == all.end() ? nullptr : certificates[static_cast<size_t>(at - all.begin())];
}

std::expected<TlsServerPtr, std::string> ListenerTls::make_server(const Entry& entry) const {
  return TlsServer::make({entry.certificates, entry.config->min_version, entry.config->client_cert,
                          entry.config->client_ca},
                         tickets_);
}

// --- at start ------------------------------------------------------------------------------------

Problems ListenerTls::load(const std::vector<ListenerConfig>& listeners) {
  Problems problems;
  for (const auto& listener : listeners) {
    const std::string path = child_path(child_path("$", "listeners"), entries_.size()) + ".tls";
    Entry& entry = entries_.emplace_back(Entry{listener.name, listener.tls, {}, nullptr});
    if (!entry.config) continue;
    const size_t before = problems.size();
    for (const auto& files : entry.config->certificates) {
      auto loaded = Certificate::load(files.cert, files.key);
      const std::string at =
          child_path(child_path(path, "certificates"), entry.certificates.size());
      if (!loaded) problems.push_back({at, loaded.error()});
      entry.certificates.push_back(loaded ? std::move(*loaded) : nullptr);
    }
    if (problems.size() != before) continue;
    auto server = make_server(entry);
    if (server) {
      entry.server = std::move(*server);
    } else {
      problems.push_back({child_path(path, "client_ca"), server.error()});
    }
  }
  read_ = seen_ = stamps();
  return problems;
}

std::vector<TlsServerPtr> ListenerTls::servers() const {
  std::vector<TlsServerPtr> servers;
  servers.reserve(entries_.size());
  for (const auto& entry : entries_) servers.push_back(entry.server);
  return servers;
}

std::vector<CertificateGauge> ListenerTls::certificates() const {
  std::vector<CertificateGauge> gauges;
  for (const auto& entry : entries_) {
    for (const auto& one : entry.certificates) {
      gauges.push_back({entry.name, one->title(), one->not_after()});
    }
  }
  return gauges;
}

// --- changes -------------------------------------------------------------------------------------

// False when all stays as it was.
bool ListenerTls::renew(Entry& entry, const ListenerTlsConfig& config) {
  Entry next{entry.name, config, {}, nullptr};
  for (const auto& files : config.certificates) {
    const CertificatePtr old = entry.find(files);
    auto loaded = Certificate::load(files.cert, files.key);
    if (!loaded) {
      log::error("listener {}: {}; the old {} in force", entry.name, loaded.error(),
                 old ? "certificate stays" : "certificates stay");
      if (!old) return false;
    } else if (!old || (*loaded)->fingerprint() != old->fingerprint()) {
      tell(entry.name, **loaded);
    }
    next.certificates.push_back(loaded ? *loaded : old);
  }
  auto server = make_server(next);
  if (!server) {
    log::error("listener {}: {}; the old certificates stay in force", entry.name, server.error());
    return false;
  }
  next.server = std::move(*server);
  entry = std::move(next);
  return true;
}

void ListenerTls::reload(const std::vector<ListenerConfig>& listeners) {
  for (Entry& entry : entries_) {
    const auto found = std::find_if(listeners.begin(), listeners.end(),
                                    [&](const auto& one) { return one.name == entry.name; });
    if (found == listeners.end()) continue;
    if (found->tls.has_value() != entry.config.has_value()) {
      log::warn("listener {}: tls comes and goes by a restart alone", entry.name);
    } else if (entry.config) {
      renew(entry, *found->tls);
    }
  }
  read_ = seen_ = stamps();
  if (loop_ != nullptr) watch_folders();
}

void ListenerTls::watch(Loop& loop, std::function<void()> changed) {
  for (const auto& entry : entries_) {
    for (const auto& certificate : entry.certificates) tell(entry.name, *certificate);
  }
  if (files().empty()) return;
  loop_ = &loop;
  changed_ = std::move(changed);
  rotated_ms_ = loop.now_ms();
  watch_folders();
  loop.arm(rescan_, kRescanMs);
}

std::vector<std::string> ListenerTls::files() const {
  std::vector<std::string> files;
  for (const auto& entry : entries_) {
    if (!entry.config) continue;
    for (const auto& [cert, key] : entry.config->certificates) {
      files.push_back(cert);
      files.push_back(key);
    }
    if (!entry.config->client_ca.empty()) files.push_back(entry.config->client_ca);
  }
  return files;
}

std::vector<ListenerTls::Stamp> ListenerTls::stamps() const {
  std::vector<Stamp> stamps;
  for (const auto& file : files()) {
    struct stat info{};
    if (::stat(file.c_str(), &info) != 0) info = {};
    const int64_t nanos = int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
    stamps.emplace_back(info.st_dev, info.st_ino, info.st_size, nanos);
  }
  return stamps;
}

// Where the files are, and where their symlinks lead to. A folder that was replaced is another one
// to inotify: all are watched anew.
void ListenerTls::watch_folders() {
  namespace fs = std::filesystem;
  std::set<std::string> folders;
  for (const auto& file : files()) {
    std::error_code ignored;
    const fs::path path(file);
    folders.insert(path.has_parent_path() ? path.parent_path().string() : ".");
    const fs::path real = fs::canonical(path, ignored);
    if (!ignored) folders.insert(real.parent_path().string());
  }
  watches_.clear();
  const auto watch = uv_watch_folder(loop_->uv());
  for (const auto& folder : folders) watches_[folder] = watch(folder, [this] { on_event(); });
}

void ListenerTls::on_event() {
  if (!pause_.armed()) loop_->arm(pause_, kPauseMs);
}

// Reads the files once they stay as they are for a pause: a pair that is half written is no pair.
void ListenerTls::look() {
  auto now = stamps();
  if (now != seen_) {
    seen_ = std::move(now);
    loop_->arm(pause_, kPauseMs);
    return;
  }
  if (now == read_) return;
  read_ = std::move(now);
  watch_folders();
  bool any = false;
  for (Entry& entry : entries_) {
    if (entry.config) any = renew(entry, ListenerTlsConfig(*entry.config)) || any;
  }
  if (any) changed_();
}

void ListenerTls::rescan() {
  const uint64_t now = loop_->now_ms();
  if (now - rotated_ms_ >= TicketKeys::kPeriodSeconds * uint64_t{1000}) {
    rotated_ms_ = now;
    tickets_->rotate();
  }
  watch_folders();
  look();
  loop_->arm(rescan_, kRescanMs);
}

}  // namespace lictor
