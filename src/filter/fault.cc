// `fault`: {"delay": "200ms", "abort": 503, "percent": 5}. Makes that share of the requests slow,
// fail, or both in this order, to see how callers take it.
#include <new>

#include "base/random.h"
#include "filter/makers.h"
#include "io/loop.h"

namespace lictor {
namespace {

constexpr Millis kMostDelay{5 * 60 * 1000};

// SplitMix64, a thread's own; not for secrets.
uint64_t next_random() {
  thread_local uint64_t state = [] {
    uint64_t seed = 0;
    fill_random(std::as_writable_bytes(std::span(&seed, 1)));
    return seed;
  }();
  uint64_t mixed = state += 0x9e3779b97f4a7c15;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

class Fault : public Filter {
 public:
  std::string_view name() const override { return "fault"; }
  // No request gets past it.
  bool answers() const override { return status != 0 && percent >= 100; }
  Step on_request(Call& call) const override;
  void on_done(Call& call) const override;

  Millis delay{0};
  uint16_t status = 0;  // 0 = goes on
  double percent = 100;

 private:
  // A request that waits. In the call's arena, which ends nothing: on_done does.
  struct Delayed {
    Delayed(const Fault& its_fault, Call& its_call) : fault(its_fault), call(its_call) {
      timer.bind<&Delayed::go_on>(this);
    }
    void go_on() {
      if (fault.status != 0) fault.answer(call);
      call.resume();
    }
    const Fault& fault;
    Call& call;
    Timer timer;
  };

  bool hits() const { return static_cast<double>(next_random() >> 11) * 0x1p-53 * 100 < percent; }
  void answer(Call& call) const {
    Fields fields;
    fields.add(call.arena(), "Content-Type", "text/plain; charset=utf-8");
    call.reply(status, fields, "made to fail by the fault filter\n");
  }
};

Step Fault::on_request(Call& call) const {
  if (!hits()) return Step::kNext;
  if (delay.count() > 0) {
    void* memory = call.arena().allocate(sizeof(Delayed), alignof(Delayed));
    auto* delayed = new (memory) Delayed(*this, call);
    call.state() = delayed;
    call.loop().arm(delayed->timer, static_cast<uint64_t>(delay.count()));
    return Step::kWait;
  }
  answer(call);
  return Step::kStop;
}

void Fault::on_done(Call& call) const {
  if (delay.count() == 0) return;
  auto*& state = call.state();
  if (state != nullptr) static_cast<Delayed*>(state)->~Delayed();
  state = nullptr;
}

}  // namespace

FilterPtr make_fault(const JsonValue& config, const FilterContext&) {
  auto fault = std::make_shared<Fault>();
  config.read_object([&](JsonObject& object) {
    object.duration("delay", fault->delay, Millis{1}, kMostDelay);
    object.whole("abort", fault->status, 400, 599);
    object.number("percent", fault->percent, 0, 100);
    if (!object.has("delay") && !object.has("abort")) {
      object.fail("does nothing: give it a delay, an abort or both");
    }
  });
  return fault;
}

}  // namespace lictor
