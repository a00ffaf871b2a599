// `mirror`: {"service": "shadow", "percent": 10}. A copy of the request, as it is at this place of
// the chain, goes to another service too; whatever comes of it, the client's own request neither
// waits for it nor hears of it.
#include <string>
#include <utility>
#include <vector>

#include "filter/makers.h"
#include "filter/subrequest.h"
#include "http/message.h"

namespace lictor {
namespace {

constexpr Millis kTimeout{10'000};

// The same request is mirrored by every lictor on its way, or by none; services and other filters
// that look at request ids see no pattern.
double dice(std::string_view request_id, std::string_view salt) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const std::string_view text : {request_id, salt}) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
  return static_cast<double>((hash ^ (hash >> 31)) >> 11) * 0x1p-53;
}

// Gathers the body of a request that is mirrored, until it is whole; in the call's arena.
class Copy final : public BodyTap {
 public:
  Copy(Call& call, Subrequest& request) : call_(call), request_(&request) {}

  void on_body(std::string_view bytes, bool end) override {
    if (request_ == nullptr) return;
    if (!request_->append(bytes)) {
      call_.count_mirror_dropped(MirrorDrop::kBody);
      give_up();
    } else if (end) {
      std::exchange(request_, nullptr)->send(kTimeout);
    }
  }
  void give_up() {
    if (request_ != nullptr) std::exchange(request_, nullptr)->cancel();
  }

 private:
  Call& call_;
  Subrequest* request_;  // null once it was sent or given up
};

class Mirror final : public Filter {
 public:
  std::string_view name() const override { return "mirror"; }
  std::vector<std::string> services() const override { return {service}; }
  Step on_request(Call& call) const override;
  void on_done(Call& call) const override {
    if (auto* copy = static_cast<Copy*>(call.state())) copy->give_up();
  }

  std::string service;
  double percent = 100;

 private:
  static void fill(const Head& request, Subrequest& copy);
};

Step Mirror::on_request(Call& call) const {
  const Head& request = call.request();
  if (dice(call.request_id(), service) * 100 >= percent) return Step::kNext;
  if (!request.upgrade.empty()) return Step::kNext;  // a tunnel has two ends
  if (request.body == BodyKind::kLength && request.length > Subrequest::kMaxBody) {
    call.count_mirror_dropped(MirrorDrop::kBody);
    return Step::kNext;
  }
  Subrequest* made = call.subrequest(service, nullptr);
  if (made == nullptr) {
    call.count_mirror_dropped(MirrorDrop::kBusy);
    return Step::kNext;
  }
  fill(request, *made);
  auto* copy = call.arena().make<Copy>(call, *made);
  call.state() = copy;
  call.tap_request(*copy);
  return Step::kNext;
}

void Mirror::fill(const Head& request, Subrequest& copy) {
  Arena& arena = copy.arena();
  Head& head = copy.head();
  head.method = request.method;
  head.method_name = arena.copy(request.method_name);
  head.target = arena.copy(request.target);
  head.authority = arena.copy(request.authority);
  head.body = request.body;
  for (const Field& field : request.fields) {
    // The body comes at once, whatever the copy's reader would say to Expect.
    if (field.id == FieldId::kExpect) continue;
    head.fields.add(arena, {arena.copy(field.name), arena.copy(field.value), field.id});
  }
  head.fields.set(arena, "X-Lictor-Mirror", "1");
}

}  // namespace

FilterPtr make_mirror(const JsonValue& config, const FilterContext&) {
  auto made = std::make_shared<Mirror>();
  config.read_object([&](JsonObject& object) {
    read_own_service(object, made->service);
    object.number("percent", made->percent, 0, 100);
  });
  return made;
}

}  // namespace lictor
