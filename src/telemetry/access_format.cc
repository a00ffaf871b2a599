// The form of an access log line. The longest that a line may get is reckoned first, so that the
// writing is plain copying into room that is there.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <ctime>
#include <span>

#include "base/utf8.h"
#include "telemetry/access_log.h"

namespace lictor {
namespace {

constexpr size_t kLongestEscape = 6;  // of one byte: \u001b
constexpr size_t kRoomForRest = 768;  // names of all fields, numbers and time
constexpr std::string_view kHex = "0123456789abcdef";

using Text = std::string_view AccessRecord::*;

struct NamedText {
  std::string_view opening;  // what stands before the value
  Text text;
};

// In the order of SPEC and docs/access-log.md, around the numbers.
constexpr auto kFirst = std::to_array<NamedText>({
    {R"(,"request_id":")", &AccessRecord::request_id},
    {R"(,"client_ip":")", &AccessRecord::client_ip},
    {R"(,"user":")", &AccessRecord::user},
    {R"(,"method":")", &AccessRecord::method},
    {R"(,"host":")", &AccessRecord::host},
    {R"(,"path":")", &AccessRecord::path},
    {R"(,"query":")", &AccessRecord::query},
    {R"(,"protocol":")", &AccessRecord::protocol},
    {R"(,"listener":")", &AccessRecord::listener},
});
constexpr auto kRouted = std::to_array<NamedText>({
    {R"(,"route":")", &AccessRecord::route},
    {R"(,"service":")", &AccessRecord::service},
    {R"(,"instance":")", &AccessRecord::instance},
});
constexpr auto kAnswer = std::to_array<NamedText>({
    {R"(,"code":")", &AccessRecord::code},
    {R"(,"reason":")", &AccessRecord::reason},
});
constexpr auto kLast = std::to_array<NamedText>({
    {R"(,"user_agent":")", &AccessRecord::user_agent},
    {R"(,"referer":")", &AccessRecord::referer},
    {R"(,"trace_id":")", &AccessRecord::trace_id},
});

size_t longest_line(const AccessRecord& record) {
  size_t texts = 0;
  for (const auto& one : kAnswer) texts += (record.*one.text).size();
  for (const auto& one : kFirst) texts += (record.*one.text).size();
  for (const auto& one : kRouted) texts += (record.*one.text).size();
  for (const auto& one : kLast) texts += (record.*one.text).size();
  return texts * kLongestEscape + kRoomForRest;
}

// True when none of eight bytes needs a look: all are printable ASCII, no quote or backslash. The
// usual tests for a zero byte in a word; what a borrow adds comes above a byte that is found
// anyway.
bool all_plain(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHigh = 0x8080808080808080;
  const auto has = [](uint64_t in, uint8_t byte) {
    const uint64_t rest = in ^ (kOnes * byte);
    return (rest - kOnes) & ~rest;
  };
  const uint64_t below_blank = (word - kOnes * 0x20) & ~word;
  const uint64_t special = has(word, '"') | has(word, '\\') | has(word, 0x7f);
  return ((word | below_blank | special) & kHigh) == 0;
}

class LineWriter {
 public:
  explicit LineWriter(char* at, AccessFormat format)
      : at_(at), json_(format == AccessFormat::kJson) {}

  char* end() const { return at_; }

  void raw(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void raw(char c) { *at_++ = c; }

  void number(uint64_t value) { at_ = std::to_chars(at_, at_ + 20, value).ptr; }

  // Microseconds as milliseconds: 12.345
  void millis(uint64_t us) {
    number(us / 1000);
    raw('.');
    digits(us % 1000, 3);
  }

  void digits(uint64_t value, int count) {
    for (int i = count - 1; i >= 0; --i) {
      at_[i] = static_cast<char>('0' + value % 10);
      value /= 10;
    }
    at_ += count;
  }

  // Inside quotes.
  void escaped(std::string_view text) {
    while (!text.empty()) {
      uint64_t word = 0;
      if (text.size() >= sizeof word) {
        std::memcpy(&word, text.data(), sizeof word);
        if (all_plain(word)) {
          std::memcpy(at_, &word, sizeof word);
          at_ += sizeof word;
          text.remove_prefix(sizeof word);
          continue;
        }
      }
      text.remove_prefix(character(text));
    }
  }

  // Without quotes around it: blanks are escaped too.
  void word(std::string_view text) {
    while (!text.empty()) {
      const size_t blank = std::min(text.find(' '), text.size());
      escaped(text.substr(0, blank));
      if (blank == text.size()) return;
      hex_byte(' ');
      text.remove_prefix(blank + 1);
    }
  }

 private:
  // Writes the first character, returns how many bytes it was.
  size_t character(std::string_view text) {
    const auto byte = static_cast<uint8_t>(text[0]);
    if (byte == '"' || byte == '\\') {
      raw('\\');
      raw(text[0]);
      return 1;
    }
    if (byte >= 0x20 && byte < 0x7f) {
      raw(text[0]);
      return 1;
    }
    const Utf8Char found = first_utf8_char(text);
    // Control characters of ISO 6429 and the line and paragraph separators of Unicode.
    const bool breaks = found.code < 0xa0 || found.code == 0x2028 || found.code == 0x2029;
    if (found.length == 0) {
      json_ ? unicode(0xfffd) : hex_byte(byte);
      return 1;
    }
    const std::string_view bytes = text.substr(0, found.length);
    if (!breaks) {
      raw(bytes);
    } else if (json_) {
      unicode(found.code);
    } else {
      for (const char c : bytes) hex_byte(static_cast<uint8_t>(c));
    }
    return found.length;
  }

  void unicode(uint32_t code) {
    raw("\\u");
    for (int shift = 12; shift >= 0; shift -= 4) raw(kHex[code >> shift & 0xf]);
  }

  void hex_byte(uint8_t byte) {
    raw("\\x");
    raw(kHex[byte >> 4]);
    raw(kHex[byte & 0xf]);
  }

  char* at_;
  const bool json_;
};

// The text of a second is the same for thousands of lines.
struct SecondText {
  int64_t second = INT64_MIN;
  std::array<char, 40> text{};
  size_t size = 0;

  std::string_view of(int64_t wanted, const char* form) {
    if (wanted != second) {
      const auto time = static_cast<time_t>(wanted);
      std::tm parts{};
      gmtime_r(&time, &parts);
      size = std::strftime(text.data(), text.size(), form, &parts);
      second = wanted;
    }
    return {text.data(), size};
  }
};

struct Moment {
  int64_t second;
  uint64_t microsecond;
};
Moment split(int64_t time_us) {
  int64_t second = time_us / 1'000'000;
  int64_t rest = time_us % 1'000'000;
  if (rest < 0) {
    rest += 1'000'000;
    --second;
  }
  return {second, static_cast<uint64_t>(rest)};
}

void write_present(LineWriter& out, const AccessRecord& record, std::span<const NamedText> list) {
  for (const NamedText& one : list) {
    const std::string_view text = record.*one.text;
    if (text.empty()) continue;
    out.raw(one.opening);
    out.escaped(text);
    out.raw('"');
  }
}

// {"time":"2025-01-31T23:59:59.123456Z","request_id":...
void write_json(LineWriter& out, const AccessRecord& record) {
  thread_local SecondText second_text;
  const Moment moment = split(record.time_us);
  out.raw(R"({"time":")");
  out.raw(second_text.of(moment.second, "%Y-%m-%dT%H:%M:%S."));
  out.digits(moment.microsecond, 6);
  out.raw(R"(Z")");
  write_present(out, record, kFirst);
  out.raw(R"(,"status":)");
  out.number(record.status);
  write_present(out, record, kAnswer);
  out.raw(R"(,"bytes_in":)");
  out.number(record.bytes_in);
  out.raw(R"(,"bytes_out":)");
  out.number(record.bytes_out);
  out.raw(R"(,"duration_ms":)");
  out.millis(record.duration_us);
  if (record.upstream_us >= 0) {
    out.raw(R"(,"upstream_ms":)");
    out.millis(static_cast<uint64_t>(record.upstream_us));
  }
  write_present(out, record, kRouted);
  out.raw(R"(,"retries":)");
  out.number(record.retries);
  write_present(out, record, kLast);
  out.raw("}\n");
}

void write_word(LineWriter& out, std::string_view text) {
  if (text.empty()) {
    out.raw('-');
  } else {
    out.word(text);
  }
}

void write_quoted(LineWriter& out, std::string_view text) {
  out.raw(" \"");
  if (text.empty()) out.raw('-');
  out.escaped(text);
  out.raw('"');
}

// What the combined format of Apache and nginx has no place for.
void write_extras(LineWriter& out, const AccessRecord& record) {
  static constexpr auto kExtras = std::to_array<NamedText>({
      {R"( code=")", &AccessRecord::code},
      {R"( reason=")", &AccessRecord::reason},
      {R"( request_id=")", &AccessRecord::request_id},
      {R"( host=")", &AccessRecord::host},
      {R"( listener=")", &AccessRecord::listener},
      {R"( route=")", &AccessRecord::route},
      {R"( service=")", &AccessRecord::service},
      {R"( instance=")", &AccessRecord::instance},
      {R"( trace_id=")", &AccessRecord::trace_id},
  });
  out.raw(" bytes_in=");
  out.number(record.bytes_in);
  out.raw(" duration_ms=");
  out.millis(record.duration_us);
  if (record.upstream_us >= 0) {
    out.raw(" upstream_ms=");
    out.millis(static_cast<uint64_t>(record.upstream_us));
  }
  out.raw(" retries=");
  out.number(record.retries);
  write_present(out, record, kExtras);
}

// 10.0.0.1 - ann [31/Jan/2025:23:59:59 +0000] "GET /a?b HTTP/1.1" 200 12 "-" "curl/8" bytes_in=0...
void write_text(LineWriter& out, const AccessRecord& record) {
  thread_local SecondText second_text;
  write_word(out, record.client_ip);
  out.raw(" - ");
  write_word(out, record.user);
  out.raw(' ');
  out.raw(second_text.of(split(record.time_us).second, "[%d/%b/%Y:%H:%M:%S +0000]"));
  out.raw(" \"");
  out.escaped(record.method);
  out.raw(' ');
  out.escaped(record.path);
  if (!record.query.empty()) out.raw('?');
  out.escaped(record.query);
  out.raw(' ');
  out.escaped(record.protocol);
  out.raw("\" ");
  out.number(record.status);
  out.raw(' ');
  out.number(record.bytes_out);
  write_quoted(out, record.referer);
  write_quoted(out, record.user_agent);
  write_extras(out, record);
  out.raw('\n');
}

}  // namespace

void format_access_line(const AccessRecord& record, AccessFormat format, std::string& out) {
  const size_t before = out.size();
  out.resize_and_overwrite(before + longest_line(record), [&](char* data, size_t) {
    LineWriter writer(data + before, format);
    if (format == AccessFormat::kJson) {
      write_json(writer, record);
    } else {
      write_text(writer, record);
    }
    return static_cast<size_t>(writer.end() - data);
  });
}

}  // namespace lictor
