#include "model/condition.h"

#include <algorithm>
#include <array>

#include "http/pairs.h"
#include "http/rules.h"

namespace lictor {
namespace {

constexpr size_t kMaxConditions = 32;
constexpr size_t kMaxText = 4096;
constexpr size_t kShortValue = 1024;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// `f(decoded)` for a part of a query. Escapes are whole there (parse_target saw to it); others
// stay.
template <class F>
bool with_decoded(std::string_view text, F f) {
  if (text.find_first_of("%+") == std::string_view::npos) return f(text);
  std::array<char, kShortValue> near;
  std::string far;
  if (text.size() > near.size()) far.resize(text.size());
  char* const out = far.empty() ? near.data() : far.data();
  size_t size = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size();
    const int high = escape ? hex_digit(text[i + 1]) : -1;
    const int low = escape ? hex_digit(text[i + 2]) : -1;
    if (high >= 0 && low >= 0) {
      out[size++] = static_cast<char>(high << 4 | low);
      i += 2;
    } else {
      out[size++] = text[i] == '+' ? ' ' : text[i];
    }
  }
  return f(std::string_view(out, size));
}

bool fits(const Condition& condition, std::string_view value) {
  switch (condition.kind) {
    case Condition::Kind::kPresent:
      return true;
    case Condition::Kind::kExact:
      return value == condition.text;
    case Condition::Kind::kPrefix:
      return value.starts_with(condition.text);
    case Condition::Kind::kSuffix:
      return value.ends_with(condition.text);
    case Condition::Kind::kRegex:
      break;
  }
  return condition.regex->matches(value);
}

// Whether `f` is true for any value that the request has under the condition's name.
template <class F>
bool any_value(const Condition& condition, const RequestData& request, F f) {
  if (condition.source == Condition::Source::kQuery) {
    PairReader reader(request.query, '&');
    for (Pair pair; reader.next(pair);) {
      const bool named = with_decoded(
          pair.name, [&condition](std::string_view name) { return name == condition.name; });
      if (named && with_decoded(pair.value, f)) return true;
    }
    return false;
  }
  if (request.fields == nullptr) return false;
  for (const Field& field : *request.fields) {
    if (condition.source == Condition::Source::kHeader) {
      const bool named =
          field.id == condition.field &&
          (field.id != FieldId::kOther || equals_ignore_case(field.name, condition.name));
      if (named && f(field.value)) return true;
    } else if (field.id == FieldId::kCookie) {
      PairReader reader(field.value, ';');
      for (Pair pair; reader.next(pair);) {
        if (pair.name == condition.name && f(pair.value)) return true;
      }
    }
  }
  return false;
}

std::string_view source_name(Condition::Source source) {
  switch (source) {
    case Condition::Source::kHeader:
      return "header";
    case Condition::Source::kQuery:
      return "query parameter";
    case Condition::Source::kCookie:
      break;
  }
  return "cookie";
}

std::string wanted(const Condition& condition) {
  std::string text = in_quotes(condition.text);
  switch (condition.kind) {
    case Condition::Kind::kPresent:
      return "present";
    case Condition::Kind::kExact:
      return text;
    case Condition::Kind::kPrefix:
      return text + " in front";
    case Condition::Kind::kSuffix:
      return text + " at its end";
    case Condition::Kind::kRegex:
      break;
  }
  return "like " + text;
}

}  // namespace

bool Condition::holds(const RequestData& request) const {
  const bool any =
      any_value(*this, request, [this](std::string_view value) { return fits(*this, value); });
  return any != negated;
}

std::string Condition::why_not(const RequestData& request) const {
  std::string what = std::string(source_name(source)) + " " + name;
  std::string found;
  const bool there = any_value(*this, request, [&found](std::string_view value) {
    found = value;
    return true;
  });
  if (negated) return what + (kind == Kind::kPresent ? " is present" : " is " + wanted(*this));
  if (!there) return what + " is absent";
  return what + " is " + in_quotes(found) + ", not " + wanted(*this);
}

bool Condition::goes_with(const Condition& other) const {
  if (source != other.source || field != other.field) return true;
  const bool same_name =
      source == Source::kHeader ? equals_ignore_case(name, other.name) : name == other.name;
  if (!same_name) return true;
  // One wants what the other one forbids.
  if (negated != other.negated) {
    const Condition& forbidding = negated ? *this : other;
    if (forbidding.kind == Kind::kPresent) return false;
    return kind != other.kind || text != other.text;
  }
  return negated || kind != Kind::kExact || other.kind != Kind::kExact || text == other.text;
}

bool Condition::operator==(const Condition& other) const {
  return source == other.source && kind == other.kind && negated == other.negated &&
         field == other.field && name == other.name && text == other.text;
}

bool all_hold(const Conditions& conditions, const RequestData& request) {
  return std::all_of(conditions.begin(), conditions.end(),
                     [&request](const Condition& one) { return one.holds(request); });
}

// --- reading -------------------------------------------------------------------------------------

namespace {

using Source = Condition::Source;
using Kind = Condition::Kind;

void take_text(JsonObject& object, std::string_view key, Kind kind, Condition& condition) {
  const auto at = object.find(key);
  if (!at) return;
  condition.kind = kind;
  if (!at->read_text(condition.text)) return;
  if (condition.text.size() > kMaxText) at->fail("has more than 4096 bytes");
  if (kind != Kind::kRegex) {
    if (kind != Kind::kExact && condition.text.empty()) at->fail("must not be empty");
    return;
  }
  auto regex = Regex::compile(condition.text);
  if (regex) {
    condition.regex = std::move(*regex);
  } else {
    at->fail(regex.error());
  }
}

void read_matcher(JsonObject& object, Condition& condition) {
  size_t given = 0;
  for (const char* key : {"exact", "prefix", "suffix", "regex", "present"}) {
    given += object.has(key) ? 1 : 0;
  }
  take_text(object, "exact", Kind::kExact, condition);
  take_text(object, "prefix", Kind::kPrefix, condition);
  take_text(object, "suffix", Kind::kSuffix, condition);
  take_text(object, "regex", Kind::kRegex, condition);
  bool present = true;
  if (object.flag("present", present)) condition.kind = Kind::kPresent;
  bool negated = false;
  object.flag("not", negated);
  condition.negated = negated == present;
  if (given != 1) {
    object.fail("must have one of exact, prefix, suffix, regex and present");
  }
}

std::string check_condition_name(Source source, std::string_view name) {
  if (name.empty() || name.size() > 256) return "a name has 1 to 256 bytes";
  if (source == Source::kQuery) return {};
  if (!is_token(name)) {
    return in_quotes(name) + (source == Source::kHeader ? " is not a header name such as \"x-env\""
                                                        : " is not a cookie's name");
  }
  if (source == Source::kCookie) return {};
  const FieldId id = field_id(name);
  if (id == FieldId::kHost) return "the host is matched with \"hosts\"";
  if (id == FieldId::kCookie) return "cookies are matched with \"cookies\"";
  if (is_hop_by_hop(id) || id == FieldId::kContentLength) {
    return in_quotes(name) + " belongs to one connection: routes can't go by it";
  }
  return {};
}

void read_some(JsonObject& object, std::string_view key, Source source, Conditions& out) {
  object.map(key, kMaxConditions, [&](const std::string& name, const JsonValue& value) {
    Condition condition;
    condition.source = source;
    condition.name = name;
    if (source == Source::kHeader) condition.field = field_id(name);
    std::string wrong = check_condition_name(source, name);
    if (!wrong.empty()) return value.fail(std::move(wrong));
    const bool twice = std::any_of(out.begin(), out.end(), [&](const Condition& other) {
      return source == Source::kHeader && other.source == source &&
             equals_ignore_case(other.name, name);
    });
    if (twice) return value.fail(in_quotes(name) + " is there twice: case doesn't matter");
    if (value.is_text()) {
      condition.kind = Kind::kExact;
      value.read_text(condition.text);
    } else if (!value.is_object()) {
      return value.fail(R"(must be a string, or an object such as {"prefix": "v"})");
    } else {
      value.read_object([&condition](JsonObject& matcher) { read_matcher(matcher, condition); });
    }
    out.push_back(std::move(condition));
  });
}

}  // namespace

void read_conditions(JsonObject& object, Conditions& out) {
  read_some(object, "headers", Source::kHeader, out);
  read_some(object, "query", Source::kQuery, out);
  read_some(object, "cookies", Source::kCookie, out);
}

}  // namespace lictor
