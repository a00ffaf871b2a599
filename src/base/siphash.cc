#include "base/siphash.h"

#include <sys/random.h>

#include <stdexcept>

namespace lictor {

HashSeed random_seed() {
  HashSeed seed;
  if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
    throw std::runtime_error("the system has no random numbers (getrandom)");
  }
  return seed;
}

}  // namespace lictor
