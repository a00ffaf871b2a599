#include "filter/jwk.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "filter/base64.h"
#include "filter/jws_openssl.h"

namespace lictor {
namespace {

using Algorithm = JwsAlgorithm;

constexpr std::array<std::string_view, kJwsAlgorithms> kNames = {
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"};

constexpr int kLeastRsaBits = 2048;
constexpr int kMostRsaBits = 8192;  // more costs a loop milliseconds
constexpr size_t kMaxKid = 256;

// The named members of a key that are texts; others are of no use here.
using Members = std::map<std::string, std::string, std::less<>>;

struct Curve {
  std::string_view name;
  const char* group;
  size_t half;
  Algorithm algorithm;
};
constexpr std::array<Curve, 3> kCurves = {{
    {"P-256", "prime256v1", 32, Algorithm::kEs256},
    {"P-384", "secp384r1", 48, Algorithm::kEs384},
    {"P-521", "secp521r1", 66, Algorithm::kEs512},
}};

struct EdCurve {
  std::string_view name;
  int type;
  size_t size;
};
constexpr std::array<EdCurve, 2> kEdCurves = {{
    {"Ed25519", EVP_PKEY_ED25519, 32},
    {"Ed448", EVP_PKEY_ED448, 57},
}};

// A member's bytes; a problem when it is absent or not base64url.
bool read_bytes(const JsonValue& at, const Members& members, std::string_view name,
                std::string& out) {
  const auto found = members.find(name);
  if (found == members.end() || found->second.empty()) {
    at.fail("has no " + in_quotes(name));
    return false;
  }
  if (decode_base64url(found->second, out)) return true;
  at.fail(in_quotes(name) + " is not base64url without padding");
  return false;
}

ossl::Key make_key(const char* type, OSSL_PARAM_BLD* builder) {
  const ossl::Params params(OSSL_PARAM_BLD_to_param(builder));
  const ossl::KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* made = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  return ossl::Key(made);
}

ossl::Key read_rsa(const JsonValue& at, const Members& members) {
  std::string n;
  std::string e;
  if (!read_bytes(at, members, "n", n) || !read_bytes(at, members, "e", e)) return nullptr;
  const ossl::Number modulus = ossl::number(n);
  const ossl::Number exponent = ossl::number(e);
  const int bits = BN_num_bits(modulus.get());
  if (bits < kLeastRsaBits || bits > kMostRsaBits || !BN_is_odd(modulus.get())) {
    at.fail("is an RSA key of " + std::to_string(bits) + " bits: must have 2048 to 8192");
    return nullptr;
  }
  if (BN_num_bits(exponent.get()) > 32 || !BN_is_odd(exponent.get()) || BN_is_one(exponent.get())) {
    at.fail(R"(has an exponent "e" that no RSA key has: most have 65537, "AQAB")");
    return nullptr;
  }
  const ossl::ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  ossl::Key key = make_key("RSA", builder.get());
  if (!key) at.fail("is not an RSA key");
  return key;
}

ossl::Key read_ec(const JsonValue& at, const Members& members, const Curve& curve) {
  std::string x;
  std::string y;
  if (!read_bytes(at, members, "x", x) || !read_bytes(at, members, "y", y)) return nullptr;
  if (x.size() != curve.half || y.size() != curve.half) {
    at.fail(R"("x" and "y" of )" + std::string(curve.name) + " have " + std::to_string(curve.half) +
            " bytes each");
    return nullptr;
  }
  const std::string point = "\x04" + x + y;
  const ossl::ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.group, 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                   point.size());
  ossl::Key key = make_key("EC", builder.get());
  const ossl::KeyContext check(key ? EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr)
                                   : nullptr);
  if (!check || EVP_PKEY_public_check(check.get()) != 1) {
    ERR_clear_error();
    at.fail("is not a point on " + std::string(curve.name));
    return nullptr;
  }
  return key;
}

ossl::Key read_okp(const JsonValue& at, const Members& members, const EdCurve& curve) {
  std::string x;
  if (!read_bytes(at, members, "x", x)) return nullptr;
  ossl::Key key(EVP_PKEY_new_raw_public_key(
      curve.type, nullptr, reinterpret_cast<const unsigned char*>(x.data()), x.size()));
  if (x.size() == curve.size && key) return key;
  ERR_clear_error();
  at.fail(R"("x" of )" + std::string(curve.name) + " has " + std::to_string(curve.size) + " bytes");
  return nullptr;
}

template <class Curves>
auto find_curve(const JsonValue& at, const Members& members, const Curves& curves) -> const
    typename Curves::value_type* {
  const auto named = members.find("crv");
  const std::string_view name = named == members.end() ? std::string_view{} : named->second;
  for (const auto& curve : curves) {
    if (curve.name == name) return &curve;
  }
  std::string known;
  for (const auto& curve : curves) known.append(known.empty() ? "" : ", ").append(curve.name);
  at.fail("curve " + in_quotes(name) + " is not one of " + known);
  return nullptr;
}

// False when the key is not for signatures, or for one of an algorithm that is not known here.
bool narrow(const Members& members, bool verifies, JwsAlgorithms& algorithms) {
  const auto use = members.find("use");
  if (!verifies || (use != members.end() && use->second != "sig")) return false;
  const auto named = members.find("alg");
  if (named == members.end()) return true;
  const auto algorithm = parse_jws_algorithm(named->second);
  if (!algorithm || !algorithms.has(*algorithm)) return false;
  algorithms = {*algorithm};
  return true;
}

}  // namespace

std::string_view jws_algorithm_name(JwsAlgorithm algorithm) {
  return kNames[std::to_underlying(algorithm)];
}

std::optional<JwsAlgorithm> parse_jws_algorithm(std::string_view name) {
  const auto* const found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<JwsAlgorithm>(found - kNames.begin());
}

std::vector<std::string_view> jws_algorithm_names() { return {kNames.begin(), kNames.end()}; }

Jwk Jwk::secret(std::string bytes) {
  Jwk key;
  key.secret_ = std::move(bytes);
  key.algorithms_ = kHmacAlgorithms;
  return key;
}

std::optional<Jwk> Jwk::read(const JsonValue& at) {
  Members members;
  bool verifies = true;
  const bool read = at.read_map(64, [&](const std::string& name, const JsonValue& value) {
    if (name == "key_ops" && value.is_array()) {
      verifies = false;
      value.read_array(0, 64, [&verifies](const JsonValue& item) {
        std::string operation;
        if (item.is_text() && item.read_text(operation)) verifies |= operation == "verify";
      });
    }
    if (value.is_text()) value.read_text(members[name]);
  });
  if (!read) return std::nullopt;

  const std::string& type = members["kty"];
  Jwk key;
  ossl::Key made;
  const auto reject = [&at](std::string why) {
    at.fail(std::move(why));
    return std::nullopt;
  };
  if (type == "oct") return reject("is a secret: those are for secret_file, never in a list");
  if (members.contains("d")) return reject(R"(has its private part ("d"): leave that out)");
  if (type == "RSA") {
    key.algorithms_ = {Algorithm::kRs256, Algorithm::kRs384, Algorithm::kRs512,
                       Algorithm::kPs256, Algorithm::kPs384, Algorithm::kPs512};
    if (!narrow(members, verifies, key.algorithms_)) return std::nullopt;
    made = read_rsa(at, members);
  } else if (type == "EC") {
    const Curve* curve = find_curve(at, members, kCurves);
    if (curve == nullptr) return std::nullopt;
    key.algorithms_ = {curve->algorithm};
    key.half_ = curve->half;
    if (!narrow(members, verifies, key.algorithms_)) return std::nullopt;
    made = read_ec(at, members, *curve);
  } else if (type == "OKP") {
    key.algorithms_ = {Algorithm::kEdDsa};
    if (!narrow(members, verifies, key.algorithms_)) return std::nullopt;
    if (const EdCurve* curve = find_curve(at, members, kEdCurves)) {
      made = read_okp(at, members, *curve);
    }
  } else {
    return reject("has a \"kty\" that is not RSA, EC or OKP");
  }
  if (!made) return std::nullopt;
  key.kid_ = members["kid"];
  if (key.kid_.size() > kMaxKid) return reject(R"("kid" is longer than 256 bytes)");
  key.key_ = std::move(made);
  return key;
}

KeySet read_key_set(const JsonValue& at) {
  KeySet set;
  bool listed = false;
  at.read_map(64, [&](const std::string& name, const JsonValue& value) {
    if (name != "keys") return;
    listed = true;
    value.read_array(0, KeySet::kMaxKeys, [&set](const JsonValue& item) {
      if (auto key = Jwk::read(item)) set.keys.push_back(std::move(*key));
    });
  });
  if (at.is_object() && !listed) at.fail(R"(has no "keys")");
  return set;
}

}  // namespace lictor
