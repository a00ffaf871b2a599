// Work that takes long, away from the loop: on libuv's small pool of threads, which the process
// shares with look-ups of names and the snapshot file.
#pragma once

#include <memory>

namespace lictor {

class Loop;

class OffloadedWork {
 public:
  virtual ~OffloadedWork() = default;
  virtual void work() = 0;  // on a thread of the pool: nothing of the loop's may be touched
  virtual void done() = 0;  // then, on the loop's thread; the object dies after it
};

// From the loop's thread. Work can't be taken back: what it was for may be gone by the time it is
// done. Its loop waits for it before it dies.
void offload(Loop& loop, std::unique_ptr<OffloadedWork> work);

}  // namespace lictor
