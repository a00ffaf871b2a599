// Content codings (RFC 9110, section 8.4.1), each a file with its library: a body is encoded piece
// by piece, in memory that does not grow with it.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/buffer.h"

namespace lictor {

class Encoder {
 public:
  enum class Until : uint8_t {
    kMore,   // as much may be held back as the coding likes
    kFlush,  // whoever decodes gets all that was given
    kEnd,
  };

  virtual ~Encoder() = default;
  // For another body: as new. False: it can't be used again.
  virtual bool reset() = 0;
  // Appends what `bytes` become. False: the library has failed.
  virtual bool encode(std::string_view bytes, Until until, Buffer& out) = 0;
};

// Null when there is no memory.
std::unique_ptr<Encoder> make_brotli_encoder();
std::unique_ptr<Encoder> make_gzip_encoder();
std::unique_ptr<Encoder> make_zstd_encoder();

}  // namespace lictor
