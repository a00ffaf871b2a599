// Requests of one connection. The first byte chooses the limits: small ones are met more often.
#include "messages.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lictor;
  if (size < 2) return 0;
  H1Limits limits;
  if (data[0] % 2 == 1) limits = {.header_bytes = 60, .header_count = 5, .uri_bytes = 30};
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  fuzz::check_pieces(H1Codec::Kind::kRequest, bytes, limits);
  return 0;
}
