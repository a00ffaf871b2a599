#include "proxy/context.h"

#include <time.h>

#include <bit>
#include <new>

#include "base/random.h"
#include "proxy/exchange.h"

namespace lictor {

Random::Random() {
  fill_random(std::as_writable_bytes(std::span(state_)));
  state_[0] |= 1;  // never all zero
}

uint64_t Random::next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

std::string_view Random::id(Arena& arena) {
  constexpr std::string_view kHex = "0123456789abcdef";
  char* out = arena.chars(32);
  for (int word = 0; word < 2; ++word) {
    uint64_t bits = next();
    for (int i = 0; i < 16; ++i, bits >>= 4) out[word * 16 + i] = kHex[bits & 15];
  }
  return {out, 32};
}

ProxyContext::ProxyContext(Loop& event_loop, AccessLog& log, WorkerCells& worker,
                           FilterShared& shared, std::shared_ptr<RouteCells> no_route)
    : loop(event_loop),
      access_log(log),
      cells(worker),
      filter_shared(shared),
      unrouted(std::move(no_route)),
      subrequests(event_loop) {}

ProxyContext::~ProxyContext() {
  for (void* memory : free_) ::operator delete(memory, std::align_val_t(alignof(Exchange)));
}

Exchange* ProxyContext::start(ServerStream& downstream) {
  void* memory = nullptr;
  if (free_.empty()) {
    memory = ::operator new(sizeof(Exchange), std::align_val_t(alignof(Exchange)));
  } else {
    memory = free_.back();
    free_.pop_back();
  }
  return new (memory) Exchange(*this, downstream);
}

void ProxyContext::end(Exchange* exchange) {
  exchange->~Exchange();
  if (free_.size() < kKept) {
    free_.push_back(exchange);
  } else {
    ::operator delete(static_cast<void*>(exchange), std::align_val_t(alignof(Exchange)));
  }
}

std::string_view ProxyContext::http_date() {
  const int64_t now = time(nullptr);
  if (now != date_second_) {
    date_second_ = now;
    tm parts{};
    gmtime_r(&date_second_, &parts);
    char text[32];
    date_.assign(text, strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts));
  }
  return date_;
}

}  // namespace lictor
