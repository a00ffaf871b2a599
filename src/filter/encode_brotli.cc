// RFC 7932, by libbrotlienc. Its encoders can't be used again: each body has a new one.
#include <brotli/encode.h>

#include "filter/encoder.h"

namespace lictor {
namespace {

constexpr uint32_t kQuality = 4;  // of 11: smaller than gzip, and no slower
constexpr uint32_t kWindow = 18;  // bits

class Brotli final : public Encoder {
 public:
  Brotli() : state_(BrotliEncoderCreateInstance(nullptr, nullptr, nullptr)) {
    if (state_ == nullptr) return;
    BrotliEncoderSetParameter(state_, BROTLI_PARAM_QUALITY, kQuality);
    BrotliEncoderSetParameter(state_, BROTLI_PARAM_LGWIN, kWindow);
  }
  ~Brotli() override { BrotliEncoderDestroyInstance(state_); }
  Brotli(const Brotli&) = delete;
  Brotli& operator=(const Brotli&) = delete;
  bool good() const { return state_ != nullptr; }

  bool reset() override { return false; }

  bool encode(std::string_view bytes, Until until, Buffer& out) override {
    const BrotliEncoderOperation operation = until == Until::kEnd     ? BROTLI_OPERATION_FINISH
                                             : until == Until::kFlush ? BROTLI_OPERATION_FLUSH
                                                                      : BROTLI_OPERATION_PROCESS;
    size_t left = bytes.size();
    const auto* next = reinterpret_cast<const uint8_t*>(bytes.data());
    do {
      size_t room = Buffer::kMaxReserve;
      auto* to = reinterpret_cast<uint8_t*>(out.reserve(room));
      if (BrotliEncoderCompressStream(state_, operation, &left, &next, &room, &to, nullptr) ==
          BROTLI_FALSE) {
        return false;
      }
      out.commit(Buffer::kMaxReserve - room);
    } while (left > 0 || BrotliEncoderHasMoreOutput(state_) == BROTLI_TRUE);
    return true;
  }

 private:
  BrotliEncoderState* state_;
};

}  // namespace

std::unique_ptr<Encoder> make_brotli_encoder() {
  auto made = std::make_unique<Brotli>();
  if (!made->good()) return nullptr;
  return made;
}

}  // namespace lictor
