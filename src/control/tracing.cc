#include "control/tracing.h"

#include <array>
#include <random>
#include <string>

namespace lictor {
namespace {

// A random UUID (RFC 9562, section 5.4): each start is another instance of the service.
std::string new_instance_id() {
  std::random_device device;
  std::array<char, 32> digits{};
  for (size_t half = 0; half < 2; ++half) {
    const uint64_t bits = (uint64_t{device()} << 32) | device();
    write_hex64(bits, digits.data() + half * 16);
  }
  digits[12] = '4';
  digits[16] = "89ab"[device() & 3];
  std::string id(digits.data(), digits.size());
  for (const size_t at : {8, 13, 18, 23}) id.insert(at, 1, '-');
  return id;
}

}  // namespace

Tracing::Tracing(uv_loop_t* loop, const TracingConfig& config)
    : scheduler_(loop),
      http_(loop, HttpClientOptions{.max_connections = 1}),
      exporter_({config.otlp_url, config.service_name, new_instance_id()}, spans_, http_,
                scheduler_) {}

}  // namespace lictor
