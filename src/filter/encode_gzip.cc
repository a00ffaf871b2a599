// RFC 1952, by zlib: 270 KB a body.
#include <zlib.h>

#include "filter/encoder.h"

namespace lictor {
namespace {

constexpr int kLevel = 5;  // of 9: nearly as small as 6, a third faster
constexpr int kGzipWindow = 15 + 16;
constexpr int kMemLevel = 8;

class Gzip final : public Encoder {
 public:
  Gzip() {
    good_ = deflateInit2(&stream_, kLevel, Z_DEFLATED, kGzipWindow, kMemLevel,
                         Z_DEFAULT_STRATEGY) == Z_OK;
  }
  ~Gzip() override { deflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;
  bool good() const { return good_; }

  bool reset() override { return deflateReset(&stream_) == Z_OK; }

  bool encode(std::string_view bytes, Until until, Buffer& out) override {
    // zlib only reads there; its interface is older than const.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    const int flush = until == Until::kEnd     ? Z_FINISH
                      : until == Until::kFlush ? Z_SYNC_FLUSH
                                               : Z_NO_FLUSH;
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(out.reserve(Buffer::kMaxReserve));
      stream_.avail_out = Buffer::kMaxReserve;
      const int result = deflate(&stream_, flush);
      if (result == Z_STREAM_ERROR) return false;
      out.commit(Buffer::kMaxReserve - stream_.avail_out);
    } while (stream_.avail_out == 0);
    return true;
  }

 private:
  z_stream stream_{};
  bool good_ = false;
};

}  // namespace

std::unique_ptr<Encoder> make_gzip_encoder() {
  auto made = std::make_unique<Gzip>();
  if (!made->good()) return nullptr;
  return made;
}

}  // namespace lictor
