#include "telemetry/trace.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/utf8.h"
#include "http/message.h"
#include "http/rules.h"

namespace lictor {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool all_zero(std::string_view text) {
  return text.find_first_not_of('0') == std::string_view::npos;
}

unsigned hex_digit(char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); }

bool is_state_key(std::string_view key) {
  if (key.empty() || key.size() > 256) return false;
  return std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*' ||
           c == '/' || c == '@';
  });
}

bool is_state_value(std::string_view value) {
  if (value.empty() || value.size() > 256) return false;
  return std::all_of(value.begin(), value.end(),
                     [](char c) { return c >= ' ' && c <= '~' && c != ',' && c != '='; });
}

}  // namespace

// --- W3C Trace Context ---------------------------------------------------------------------------

std::optional<TraceParent> parse_traceparent(std::string_view text) {
  if (text.size() < TraceParent::kSize) return std::nullopt;
  const std::string_view version = text.substr(0, 2);
  if (!is_hex(version) || version == "ff") return std::nullopt;
  if (text.size() > TraceParent::kSize && (version == "00" || text[TraceParent::kSize] != '-')) {
    return std::nullopt;
  }
  if (text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  TraceParent parent{text.substr(3, 32), text.substr(36, 16), false};
  const std::string_view flags = text.substr(53, 2);
  if (!is_hex(parent.trace_id) || !is_hex(parent.parent_id) || !is_hex(flags)) return std::nullopt;
  if (all_zero(parent.trace_id) || all_zero(parent.parent_id)) return std::nullopt;
  parent.sampled = (hex_digit(flags[1]) & 1) != 0;
  return parent;
}

bool is_tracestate(std::string_view text) {
  constexpr size_t kMaxMembers = 32;
  constexpr size_t kMaxState = 8192;
  if (text.size() > kMaxState) return false;
  size_t members = 0;
  bool good = true;
  for_each_element(text, [&](std::string_view member) {
    const size_t equals = member.find('=');
    good = equals != std::string_view::npos && is_state_key(member.substr(0, equals)) &&
           is_state_value(member.substr(equals + 1)) && ++members <= kMaxMembers;
    return good;
  });
  return good && members > 0;
}

void write_hex64(uint64_t bits, char* out) {
  for (int i = 15; i >= 0; --i, bits >>= 4) out[i] = kHex[bits & 15];
}

// --- the queue -----------------------------------------------------------------------------------

void SpanQueue::add(std::string span) {
  const std::lock_guard lock(mutex_);
  if (bytes_ + span.size() > kMaxBytes) {
    ++dropped_;
    return;
  }
  bytes_ += span.size();
  spans_.push_back(std::move(span));
}

SpanQueue::Batch SpanQueue::take(size_t bytes) {
  std::deque<std::string> taken;
  {
    const std::lock_guard lock(mutex_);
    size_t size = 0;
    while (!spans_.empty() && size < bytes) {
      size += spans_.front().size();
      taken.push_back(std::move(spans_.front()));
      spans_.pop_front();
    }
    bytes_ -= size;
  }
  Batch batch;
  batch.count = taken.size();
  for (const std::string& span : taken) {
    if (!batch.spans.empty()) batch.spans += ',';
    batch.spans += span;
  }
  return batch;
}

size_t SpanQueue::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

void SpanQueue::count_dropped(uint64_t spans) {
  const std::lock_guard lock(mutex_);
  dropped_ += spans;
}

uint64_t SpanQueue::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

// --- a span --------------------------------------------------------------------------------------

SpanWriter::SpanWriter(const Ids& ids, SpanKind kind, std::string_view name, int64_t start_ns,
                       int64_t end_ns) {
  constexpr size_t kUsual = 1024;
  out_.reserve(kUsual);
  out_ += R"({"traceId":")";
  out_ += ids.trace_id;
  out_ += R"(","spanId":")";
  out_ += ids.span_id;
  if (!ids.parent_id.empty()) {
    out_ += R"(","parentSpanId":")";
    out_ += ids.parent_id;
  }
  out_ += '"';
  if (!ids.state.empty()) {
    out_ += R"(,"traceState":)";
    quoted(ids.state);
  }
  out_ += R"(,"flags":1,"name":)";
  quoted(name);
  out_ += R"(,"kind":)";
  out_ += std::to_string(std::to_underlying(kind));
  // 64-bit numbers are strings in protobuf's JSON.
  out_ += R"(,"startTimeUnixNano":")" + std::to_string(start_ns);
  out_ += R"(","endTimeUnixNano":")" + std::to_string(std::max(start_ns, end_ns));
  out_ += R"(","attributes":[)";
}

void SpanWriter::key(std::string_view key) {
  if (!std::exchange(first_, false)) out_ += ',';
  out_ += R"({"key":")";
  out_ += key;
  out_ += R"(","value":{)";
}

void SpanWriter::text(std::string_view name, std::string_view value) {
  if (value.empty()) return;
  key(name);
  out_ += R"("stringValue":)";
  quoted(value);
  out_ += "}}";
}

void SpanWriter::number(std::string_view name, int64_t value) {
  key(name);
  out_ += R"("intValue":")" + std::to_string(value) + "\"}}";
}

std::string SpanWriter::finish(std::string_view error) {
  text("error.type", error);
  out_ += ']';
  if (!error.empty()) out_ += R"(,"status":{"code":2})";
  out_ += '}';
  return std::move(out_);
}

void SpanWriter::quoted(std::string_view value) {
  value = value.substr(0, kMaxText);
  out_ += '"';
  while (!value.empty()) {
    const auto byte = static_cast<unsigned char>(value.front());
    if (byte < 0x20 || byte == 0x7f) {
      out_ += R"(\u00)";
      out_ += kHex[byte >> 4];
      out_ += kHex[byte & 15];
      value.remove_prefix(1);
      continue;
    }
    const size_t length = byte < 0x80 ? 1 : first_utf8_char(value).length;
    if (byte == '"' || byte == '\\') out_ += '\\';
    out_ += length == 0 ? std::string_view("\\ufffd") : value.substr(0, length);
    value.remove_prefix(std::max<size_t>(length, 1));
  }
  out_ += '"';
}

std::string redact_query(std::string_view query) {
  constexpr auto kSecret =
      std::to_array<std::string_view>({"AWSAccessKeyId", "Signature", "X-Amz-Signature",
                                       "X-Goog-Signature", "access_token", "sig"});
  std::string out;
  out.reserve(query.size());
  while (true) {
    const size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    const std::string_view name = pair.substr(0, pair.find('='));
    const bool secret = std::any_of(kSecret.begin(), kSecret.end(), [name](std::string_view one) {
      return equals_ignore_case(name, one);
    });
    if (secret && name.size() < pair.size()) {
      out += name;
      out += "=REDACTED";
    } else {
      out += pair;
    }
    if (end == std::string_view::npos) return out;
    out += '&';
    query.remove_prefix(end + 1);
  }
}

}  // namespace lictor
