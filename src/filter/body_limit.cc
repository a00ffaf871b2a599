// `body_limit`: "10MiB". A longer body of a request gets 413, or is cut off once it shows. The
// least of all limits counts, `limits.body_bytes` of the bootstrap file among them: a filter can't
// raise it.
#include "filter/makers.h"

namespace lictor {
namespace {

class BodyLimit : public Filter {
 public:
  explicit BodyLimit(uint64_t bytes) : bytes_(bytes) {}
  std::string_view name() const override { return "body_limit"; }
  bool rehearsable() const override { return true; }
  Step on_request(Call& call) const override {
    call.limit_body(bytes_);
    return Step::kNext;
  }

 private:
  const uint64_t bytes_;
};

}  // namespace

FilterPtr make_body_limit(const JsonValue& config, const FilterContext&) {
  uint64_t bytes = 0;
  config.read_size(bytes, 1, UINT64_MAX - 1);
  return std::make_shared<BodyLimit>(bytes);
}

}  // namespace lictor
