// Random bytes of the system's, good enough for secrets.
#pragma once

#include <cstddef>
#include <span>

namespace lictor {

// At most 256 bytes; throws std::runtime_error when the system has none.
void fill_random(std::span<std::byte> out);

}  // namespace lictor
