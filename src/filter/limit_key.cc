#include "filter/limit_key.h"

#include <algorithm>

#include "http/rules.h"

namespace lictor {
namespace {

constexpr size_t kLongestName = 256;

constexpr std::string_view kWanted =
    R"(must be "client_ip", "user", "route", {"header": "..."} or {"claim": "..."})";

// The value of the header; empty when there is none, or more than one.
std::string_view only_value(const Fields& fields, std::string_view name) {
  std::string_view value;
  bool found = false;
  for (const Field& field : fields) {
    if (!equals_ignore_case(field.name, name)) continue;
    if (found) return {};
    found = true;
    value = field.value;
  }
  return value;
}

}  // namespace

void LimitKey::read(JsonObject& object) {
  const auto at = object.find("key");
  if (!at) return;
  if (at->is_text()) {
    std::string word;
    at->read_text(word);
    if (word == "client_ip") {
      kind_ = Kind::kClientIp;
    } else if (word == "user") {
      kind_ = Kind::kUser;
    } else if (word == "route") {
      kind_ = Kind::kRoute;
    } else {
      at->fail(std::string(kWanted) + did_you_mean(word, {"client_ip", "user", "route"}));
    }
    return;
  }
  if (!at->is_object()) return at->fail(std::string(kWanted));
  at->read_object([this](JsonObject& one) {
    int kinds = 0;
    if (one.text("header", name_)) {
      ++kinds;
      kind_ = Kind::kHeader;
      if (!is_token(name_)) one.fail("header", in_quotes(name_) + " is not a header name");
      for (char& c : name_) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
    if (one.text("claim", name_)) {
      ++kinds;
      kind_ = Kind::kClaim;
      if (name_.empty()) one.fail("claim", "must not be empty");
    }
    if (name_.size() > kLongestName) one.fail("is a name of more than 256 bytes");
    if (kinds != 1) one.fail(std::string(kWanted));
  });
}

LimitKey::Value LimitKey::of(const Call& call, const Fields& fields) const {
  Value value;
  switch (kind_) {
    case Kind::kUser:
      value.text_ = call.user();
      break;
    case Kind::kRoute:
      value.text_ = call.route();
      break;
    case Kind::kHeader:
      value.text_ = only_value(fields, name_);
      break;
    case Kind::kClaim:
      value.text_ = call.claim(name_);
      break;
    case Kind::kClientIp:
      break;
  }
  if (!value.text_.empty()) {
    value.kind_ = kind_;
    return value;
  }
  const IpAddress& ip = call.client_ip();
  value.address_ = ip.bytes();
  if (!ip.is_v4()) std::fill(value.address_.begin() + 8, value.address_.end(), uint8_t{0});
  return value;
}

std::string_view LimitKey::kind_name() const {
  static constexpr std::array<std::string_view, 5> kNames{"client_ip", "user", "route", "header",
                                                          "claim"};
  return kNames[static_cast<size_t>(kind_)];
}

std::string LimitKey::to_string() const {
  std::string out(kind_name());
  if (!name_.empty()) out.append(":").append(name_);
  return out;
}

Hash128 limit_identity(std::string_view owner, std::string_view path, std::string_view what) {
  std::string text(owner);
  text.append(1, '\0').append(path).append(1, '\0').append(what);
  return SipHash(HashSeed{}).finish(text);
}

}  // namespace lictor
