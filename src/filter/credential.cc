#include "filter/credential.h"

#include <array>
#include <utility>

#include "http/pairs.h"
#include "http/rules.h"

namespace lictor {
namespace {

constexpr size_t kMaxName = 256;

// Of "Bearer abc" with the scheme "Bearer": "abc". Nothing when the scheme is another.
Credential behind_scheme(std::string_view value, std::string_view scheme) {
  const size_t end = std::min(value.find(' '), value.size());
  if (!equals_ignore_case(value.substr(0, end), scheme)) return {};
  value.remove_prefix(end);
  while (value.starts_with(' ')) value.remove_prefix(1);
  return {Shown::kOne, value};
}

void add(Credential& found, std::string_view value) {
  found.shown = found.shown == Shown::kNothing ? Shown::kOne : Shown::kRepeated;
  found.value = value;
}

void add_pairs(Credential& found, std::string_view text, char separator, std::string_view name) {
  PairReader reader(text, separator);
  for (Pair pair; reader.next(pair);) {
    if (pair.name == name) add(found, pair.value);
  }
}

}  // namespace

Credential CredentialPlace::find(const Head& request) const {
  Credential found;
  if (in == In::kQuery) {
    const size_t mark = request.target.find('?');
    if (mark != std::string_view::npos) {
      add_pairs(found, request.target.substr(mark + 1), '&', name);
    }
    return found;
  }
  for (const Field& field : request.fields) {
    if (in == In::kCookie) {
      if (field.id == FieldId::kCookie) add_pairs(found, field.value, ';', name);
    } else if (field.id == id && (id != FieldId::kOther || equals_ignore_case(field.name, name))) {
      add(found, field.value);
    }
  }
  if (found.shown == Shown::kOne && !scheme.empty()) return behind_scheme(found.value, scheme);
  return found;
}

void read_credential_place(const JsonValue& at, bool schemes, CredentialPlace& place) {
  using In = CredentialPlace::In;
  at.read_object([&](JsonObject& object) {
    int places = 0;
    for (const auto& [key, in] :
         {std::pair{"header", In::kHeader}, std::pair{"cookie", In::kCookie},
          std::pair{"query", In::kQuery}}) {
      if (!object.text(key, place.name)) continue;
      ++places;
      place.in = in;
      const bool token = in == In::kQuery ? !place.name.empty() : is_token(place.name);
      if (!token || place.name.size() > kMaxName) {
        object.fail(key, in_quotes(place.name) + " is not the name of a " + key);
      }
    }
    if (places != 1) object.fail("must have one of header, cookie and query");
    place.id = place.in == In::kHeader ? field_id(place.name) : FieldId::kOther;
    if (place.id == FieldId::kAuthorization && schemes) place.scheme = "Bearer";
    if (!schemes || !object.text("scheme", place.scheme)) return;
    if (place.in != In::kHeader) object.fail("scheme", "is for a header alone");
    if (!is_token(place.scheme)) object.fail("scheme", R"(must be a word such as "Bearer")");
  });
}

}  // namespace lictor
