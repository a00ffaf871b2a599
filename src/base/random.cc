#include "base/random.h"

#include <sys/random.h>

#include <stdexcept>

namespace lictor {

void fill_random(std::span<std::byte> out) {
  if (getrandom(out.data(), out.size(), 0) != static_cast<ssize_t>(out.size())) {
    throw std::runtime_error("the system has no random numbers (getrandom)");
  }
}

}  // namespace lictor
