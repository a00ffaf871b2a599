#include "control/monitor.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace lictor {

ConsulMonitor::ConsulMonitor(Scheduler& scheduler, std::string address)
    : scheduler_(scheduler), address_(std::move(address)), started_(scheduler.now()) {}

void ConsulMonitor::failed(const void* watch, const std::string& what, Fault fault,
                           const std::string& error) {
  ++errors_total_;
  last_error_ = what + ": " + error;
  auto [at, fresh] = troubles_.try_emplace(watch, Trouble{fault, scheduler_.now(), {}});
  Trouble& trouble = at->second;
  if (fresh) {
    agent_faults_ += fault == Fault::kAgent ? 1 : 0;
  } else if (trouble.fault != fault) {
    fault == Fault::kAgent ? ++agent_faults_ : --agent_faults_;
    trouble.fault = fault;
  }
  if (fault == Fault::kQuery && trouble.logged != error) {
    log::warn("consul: {}: {}; keeping what is known", what, error);
    trouble.logged = error;
  }
  if (fault == Fault::kAgent && !std::exchange(said_lost_, true)) {
    log::warn("consul: {} {}: {}; {}", ever_connected_ ? "lost" : "no answer from", address_,
              last_error_, ever_connected_ ? "going on with what is known" : "asking on");
  }
}

void ConsulMonitor::succeeded(const void* watch, const std::string& what,
                              const ConsulAnswer& answer) {
  last_contact_ = answer.last_contact;
  if (const auto at = troubles_.find(watch); at != troubles_.end()) {
    if (!at->second.logged.empty()) log::info("consul: {}: answered well again", what);
    erase(at);
  }
  note_connection();
}

void ConsulMonitor::gone(const void* watch) {
  if (const auto at = troubles_.find(watch); at != troubles_.end()) erase(at);
}

void ConsulMonitor::erase(std::map<const void*, Trouble>::iterator trouble) {
  if (trouble->second.fault == Fault::kAgent) --agent_faults_;
  troubles_.erase(trouble);
}

void ConsulMonitor::note_connection() {
  if (agent_faults_ != 0) return;
  const bool first = !std::exchange(ever_connected_, true);
  if (std::exchange(said_lost_, false) && !first) {
    log::info("consul: {} is back", address_);
  } else if (first) {
    log::info("consul: connected to {}", address_);
  }
}

Millis ConsulMonitor::staleness() const {
  if (!ever_connected_ && troubles_.empty()) return scheduler_.now() - started_;
  Millis oldest{0};
  for (const auto& [watch, trouble] : troubles_) {
    oldest = std::max(oldest, scheduler_.now() - (ever_connected_ ? trouble.since : started_));
  }
  return oldest + last_contact_;
}

}  // namespace lictor
