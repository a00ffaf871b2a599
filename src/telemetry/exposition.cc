#include "telemetry/exposition.h"

#include <array>
#include <charconv>
#include <cmath>

#include "base/utf8.h"

namespace lictor {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

// The format asks for \\, \" and \n. Other control characters are legal in it, but split lines in
// many a reader.
void append_label_value(std::string& out, std::string_view value) {
  while (!value.empty()) {
    const auto byte = static_cast<uint8_t>(value[0]);
    size_t length = 1;
    if (byte == '\n') {
      out += "\\n";
    } else if (byte == '"' || byte == '\\') {
      out += '\\';
      out += value[0];
    } else if (byte >= 0x20 && byte < 0x7f) {
      out += value[0];
    } else {
      const Utf8Char found = first_utf8_char(value);
      if (found.code < 0xa0) {  // not UTF-8, or a control character
        out += kReplacement;
        length = found.length == 0 ? 1 : found.length;
      } else {
        length = found.length;
        out += value.substr(0, length);
      }
    }
    value.remove_prefix(length);
  }
}

// Decimal, without trailing zeros.
std::string_view seconds_text(uint64_t microseconds, std::array<char, 32>& buffer) {
  char* end = std::to_chars(buffer.data(), buffer.data() + 24, microseconds / 1'000'000).ptr;
  uint64_t fraction = microseconds % 1'000'000;
  if (fraction != 0) {
    *end++ = '.';
    for (uint64_t unit = 100'000; fraction != 0; unit /= 10) {
      *end++ = static_cast<char>('0' + fraction / unit);
      fraction %= unit;
    }
  }
  return {buffer.data(), static_cast<size_t>(end - buffer.data())};
}

}  // namespace

void Exposition::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  out_ += "# HELP ";
  out_ += name;
  out_ += ' ';
  out_ += help;
  out_ += "\n# TYPE ";
  out_ += name;
  out_ += ' ';
  out_ += type;
  out_ += '\n';
}

void Exposition::render_labels(Labels labels) {
  labels_.clear();
  for (const Label& label : labels) {
    if (!labels_.empty()) labels_ += ',';
    labels_ += label.name;
    labels_ += "=\"";
    append_label_value(labels_, label.value);
    labels_ += '"';
  }
}

void Exposition::begin(std::string_view suffix, std::string_view labels, std::string_view le) {
  out_ += name_;
  out_ += suffix;
  if (!labels.empty() || !le.empty()) {
    out_ += '{';
    out_ += labels;
    if (!le.empty()) {
      if (!labels.empty()) out_ += ',';
      out_ += "le=\"";
      out_ += le;
      out_ += '"';
    }
    out_ += '}';
  }
  out_ += ' ';
}

void Exposition::number(uint64_t value) {
  std::array<char, 24> buffer;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  out_.append(buffer.data(), result.ptr);
  out_ += '\n';
}

void Exposition::seconds(uint64_t microseconds) {
  std::array<char, 32> buffer;
  out_ += seconds_text(microseconds, buffer);
  out_ += '\n';
}

void Exposition::sample(Labels labels, uint64_t value) {
  render_labels(labels);
  begin({}, labels_);
  number(value);
}

void Exposition::sample(Labels labels, double value) {
  render_labels(labels);
  begin({}, labels_);
  std::array<char, 400> buffer;  // the longest double has 309 digits before its point
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(),
                                    std::isfinite(value) ? value : 0.0, std::chars_format::fixed);
  out_.append(buffer.data(), result.ptr);
  out_ += '\n';
}

void Exposition::sample_seconds(Labels labels, uint64_t microseconds) {
  render_labels(labels);
  begin({}, labels_);
  seconds(microseconds);
}

void Exposition::sample_histogram(Labels labels, std::span<const uint32_t> bounds_us,
                                  std::span<const uint64_t> buckets, uint64_t sum_us) {
  render_labels(labels);
  std::array<char, 32> buffer;
  uint64_t count = 0;
  for (size_t i = 0; i < bounds_us.size(); ++i) {
    count += buckets[i];
    begin("_bucket", labels_, seconds_text(bounds_us[i], buffer));
    number(count);
  }
  count += buckets[bounds_us.size()];
  begin("_bucket", labels_, "+Inf");
  number(count);
  begin("_sum", labels_);
  seconds(sum_us);
  begin("_count", labels_);
  number(count);
}

}  // namespace lictor
