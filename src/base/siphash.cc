#include "base/siphash.h"

#include "base/random.h"

namespace lictor {

HashSeed random_seed() {
  HashSeed seed;
  fill_random(std::as_writable_bytes(std::span(&seed, 1)));
  return seed;
}

}  // namespace lictor
