// RFC 8878, by libzstd, with a window that every decoder takes (RFC 9659).
#include <zstd.h>

#include "filter/encoder.h"

namespace lictor {
namespace {

constexpr int kLevel = 3;
constexpr int kWindow = 18;  // bits

class Zstd final : public Encoder {
 public:
  Zstd() : context_(ZSTD_createCCtx()) {
    if (context_ == nullptr) return;
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, kLevel);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_windowLog, kWindow);
  }
  ~Zstd() override { ZSTD_freeCCtx(context_); }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;
  bool good() const { return context_ != nullptr; }

  bool reset() override {
    return ZSTD_isError(ZSTD_CCtx_reset(context_, ZSTD_reset_session_only)) == 0;
  }

  bool encode(std::string_view bytes, Until until, Buffer& out) override {
    const ZSTD_EndDirective directive = until == Until::kEnd     ? ZSTD_e_end
                                        : until == Until::kFlush ? ZSTD_e_flush
                                                                 : ZSTD_e_continue;
    ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
    while (true) {
      ZSTD_outBuffer output{out.reserve(Buffer::kMaxReserve), Buffer::kMaxReserve, 0};
      const size_t left = ZSTD_compressStream2(context_, &output, &input, directive);
      if (ZSTD_isError(left) != 0) return false;
      out.commit(output.pos);
      const bool done = until == Until::kMore ? input.pos == input.size : left == 0;
      if (done) return true;
    }
  }

 private:
  ZSTD_CCtx* context_;
};

}  // namespace

std::unique_ptr<Encoder> make_zstd_encoder() {
  auto made = std::make_unique<Zstd>();
  if (!made->good()) return nullptr;
  return made;
}

}  // namespace lictor
