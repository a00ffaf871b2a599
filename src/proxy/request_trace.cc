#include "proxy/request_trace.h"

#include <optional>

#include "proxy/context.h"

namespace lictor {
namespace {

// The one traceparent that counts: of two, neither does.
std::optional<TraceParent> incoming(const Fields& fields, std::string_view& text) {
  const Field* found = nullptr;
  for (const Field& field : fields) {
    if (field.id != FieldId::kTraceparent) continue;
    if (found != nullptr) return std::nullopt;
    found = &field;
  }
  if (found == nullptr) return std::nullopt;
  text = found->value;
  return parse_traceparent(found->value);
}

// All of it; several fields are one list.
std::string_view joined_state(const Fields& fields, Arena& arena) {
  std::string_view joined;
  for (const Field& field : fields) {
    if (field.id != FieldId::kTracestate) continue;
    joined = joined.empty() ? field.value : arena.concat(joined, ",", field.value);
  }
  return joined;
}

bool drawn(double ratio, Random& random) {
  return ratio > 0 && static_cast<double>(random.next() >> 11) * 0x1p-53 < ratio;
}

std::string_view span_id(Random& random, Arena& arena) {
  char* out = arena.chars(16);
  write_hex64(random.next() | 1, out);  // never all zero
  return {out, 16};
}

}  // namespace

void RequestTrace::begin(const Fields& request, std::string_view own_id, const Options& options,
                         Random& random, Arena& arena) {
  std::string_view text;
  const auto parent = incoming(request, text);
  bool sampled = false;
  known_ = parent || options.spans != nullptr;
  if (parent) {
    trace_id_ = parent->trace_id;
    parent_id_ = parent->parent_id;
    sampled = parent->sampled;
    state_ = joined_state(request, arena);
    keeps_state_ = is_tracestate(state_);
    if (!keeps_state_) state_ = {};
  } else {
    trace_id_ = own_id.empty() ? random.id(arena) : own_id;
    sampled = options.spans != nullptr && drawn(options.sample_ratio, random);
  }
  spans_ = sampled ? options.spans : nullptr;
  const bool as_it_came = parent && spans_ == nullptr;
  if (as_it_came && text.size() == TraceParent::kSize && text.starts_with("00")) {
    traceparent_ = text;
    return;
  }
  span_id_ = as_it_came ? parent_id_ : span_id(random, arena);
  traceparent_ = arena.concat("00-", trace_id_, "-", span_id_, sampled ? "-01" : "-00");
  current_id_ = const_cast<char*>(traceparent_.data()) + 36;  // in the arena: ours to change
}

void RequestTrace::begin_try(Random& random) { write_hex64(random.next() | 1, current_id_); }

}  // namespace lictor
