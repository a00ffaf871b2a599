// Responses of one connection, up to its end. The first byte chooses what was asked, and the
// limits.
#include "messages.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lictor;
  if (size < 2) return 0;
  H1Limits limits;
  if (data[0] % 2 == 1) limits = {.header_bytes = 60, .header_count = 5, .uri_bytes = 30};
  std::vector<Method> asked;
  if (data[0] % 4 >= 2) asked = {Method::kHead};
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  fuzz::check_pieces(H1Codec::Kind::kResponse, bytes, limits, asked);
  return 0;
}
