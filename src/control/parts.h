// What the control plane takes from outside: time, HTTP, names, folders, and a
// thread for what blocks. The running gateway's come
// from libuv and libcurl; tests bring their own.
#pragma once

#include <memory>

#include "control/background.h"
#include "control/directory_source.h"
#include "control/doorbell.h"
#include "control/fetcher.h"
#include "control/resolver.h"
#include "control/scheduler.h"

namespace lictor {

struct ControlParts {
  std::unique_ptr<Scheduler> scheduler;
  std::unique_ptr<Fetcher> fetcher;         // null without a Consul
  std::unique_ptr<Fetcher> issuer_fetcher;  // of keys for tokens; null where none are fetched
  MakeDoorbell doorbell;
  Resolver::Lookup lookup;
  DirectorySource::WatchFolder watch_folder;
  Background background;
};

}  // namespace lictor
