// How other threads call the control plane: a bell that any of them may ring, answered on its loop.
// Rings that come together are one.
#pragma once

#include <functional>
#include <memory>

namespace lictor {

class Doorbell {
 public:
  virtual ~Doorbell() = default;
  virtual void ring() = 0;   // any thread; nothing after close()
  virtual void close() = 0;  // the loop's thread; idempotent
};

using MakeDoorbell = std::function<std::shared_ptr<Doorbell>(std::function<void()> answer)>;

}  // namespace lictor
