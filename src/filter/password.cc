#include "filter/password.h"

#include <crypt.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

namespace lictor {
namespace {

constexpr size_t kMaxHash = 256;
constexpr unsigned kMostRounds = 1'000'000;  // of SHA-crypt
constexpr unsigned kLeastRounds = 1'000;
constexpr unsigned kMostCost = 14;  // of bcrypt: 2^14 rounds
constexpr unsigned kLeastCost = 4;

constexpr const char* kKinds =
    "must be a hash of bcrypt ($2b$), SHA-crypt ($5$, $6$) or yescrypt ($y$), as made by: "
    "mkpasswd -m yescrypt";

bool is_digits(std::string_view text, size_t least, size_t most) {
  return text.size() >= least && text.size() <= most &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '/';
         });
}

std::optional<unsigned> whole(std::string_view text) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// What is before the next '$', which goes with it; the rest when there is none.
std::string_view take(std::string_view& text) {
  const size_t end = std::min(text.find('$'), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

std::string check_bcrypt(std::string_view rest) {
  const auto cost = whole(take(rest));
  if (!cost || !is_digits(rest, 53, 53)) return "is not a whole hash of bcrypt";
  if (*cost >= kLeastCost && *cost <= kMostCost) return {};
  return "has a cost of " + std::to_string(*cost) + ": must be from 4 to 14";
}

std::string check_sha_crypt(std::string_view rest, size_t digits) {
  constexpr std::string_view kRounds = "rounds=";
  if (rest.starts_with(kRounds)) {
    const auto rounds = whole(take(rest).substr(kRounds.size()));
    if (!rounds || *rounds < kLeastRounds || *rounds > kMostRounds) {
      return "has rounds out of bounds: must be from 1000 to 1000000";
    }
  }
  const std::string_view salt = take(rest);
  return is_digits(salt, 1, 16) && is_digits(rest, digits, digits)
             ? std::string()
             : "is not a whole hash of SHA-crypt";
}

// The parameters are those that crypt_gensalt makes: "j", log2 of N, r. "jBT" takes 64 MiB.
std::string check_yescrypt(std::string_view rest) {
  const std::string_view parameters = take(rest);
  const std::string_view salt = take(rest);
  if (!is_digits(salt, 1, 86) || !is_digits(rest, 43, 43)) return "is not a whole hash of yescrypt";
  constexpr std::string_view kSizes = "56789AB";
  const bool known = parameters.size() == 3 && parameters[0] == 'j' &&
                     kSizes.find(parameters[1]) != std::string_view::npos &&
                     (parameters[2] == 'T' || parameters[2] == '5');
  return known ? std::string() : "costs too much: at most $y$jBT$ (64 MiB)";
}

}  // namespace

std::string check_password_hash(std::string_view hash) {
  if (hash.size() > kMaxHash || !hash.starts_with('$')) return kKinds;
  std::string_view rest = hash.substr(1);
  const std::string_view kind = take(rest);
  if (kind == "2a" || kind == "2b" || kind == "2y") return check_bcrypt(rest);
  if (kind == "5") return check_sha_crypt(rest, 43);
  if (kind == "6") return check_sha_crypt(rest, 86);
  if (kind == "y") return check_yescrypt(rest);
  return kKinds;
}

bool verify_password(const std::string& password, const std::string& hash) {
  const auto data = std::make_unique<crypt_data>();
  const char* made = crypt_r(password.c_str(), hash.c_str(), data.get());
  if (made == nullptr) return false;
  // As long whatever the first difference.
  const std::string_view found(made);
  unsigned different = found.size() == hash.size() ? 0 : 1;
  for (size_t i = 0; i < std::min(found.size(), hash.size()); ++i) {
    different |= static_cast<unsigned char>(found[i] ^ hash[i]);
  }
  return different == 0;
}

}  // namespace lictor
