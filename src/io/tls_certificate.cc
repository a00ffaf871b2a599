#include "io/tls_certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/small_file.h"

namespace lictor {
namespace {

constexpr size_t kMaxFile = 1 << 20;
constexpr size_t kMaxChain = 32;
constexpr size_t kMaxForwarded = 4096;  // of X-Forwarded-Client-Cert

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using BioPtr = std::unique_ptr<BIO, Free>;
using X509Ptr = std::unique_ptr<X509, Free>;

BioPtr open_text(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Nobody is there to be asked; without this OpenSSL would try.
int no_password(char*, int, int, void*) { return -1; }

X509Ptr next_certificate(BIO* text) {
  return X509Ptr(PEM_read_bio_X509(text, nullptr, no_password, nullptr));
}

// True when the last read ended at the end of the text, and not at something broken.
bool at_end() {
  const auto code = ERR_peek_last_error();
  const bool end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  return end;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return out;
}

// Printable ASCII without blanks: what a name or a URI can be made of, and a header may carry.
bool is_plain(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

// The SANs of one kind (GEN_DNS, GEN_URI); those that are no such thing are left out.
std::vector<std::string> alternative_names(const X509* certificate, int kind) {
  std::vector<std::string> found;
  const std::unique_ptr<GENERAL_NAMES, Free> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != kind) continue;
    const ASN1_IA5STRING* text = name->d.ia5;
    const std::string_view value(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                                 static_cast<size_t>(ASN1_STRING_length(text)));
    if (is_plain(value)) found.emplace_back(value);
  }
  return found;
}

bool has_alternative_names(const X509* certificate) {
  return X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1) >= 0;
}

// Control characters and what is not ASCII are escaped.
std::string subject_of(const X509* certificate) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<size_t>(std::max(0L, size))};
}

std::string common_name(const X509* certificate) {
  char text[256];
  const int size = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                             text, sizeof(text));
  const std::string_view name(text, static_cast<size_t>(std::max(0, size)));
  return is_plain(name) ? std::string(name) : std::string();
}

int64_t seconds(const ASN1_TIME* time) {
  tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? static_cast<int64_t>(timegm(&parts)) : 0;
}

std::string reason() {
  const char* text = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return text == nullptr ? "unknown error" : text;
}

std::string fingerprint_of(const X509* certificate) {
  constexpr std::string_view kHex = "0123456789abcdef";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  std::string hex;
  if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1) return hex;
  for (unsigned i = 0; i < size; ++i) {
    hex += kHex[digest[i] >> 4];
    hex += kHex[digest[i] & 15];
  }
  return hex;
}

// Values with any of Envoy's separators are quoted.
void add_element(std::string& out, std::string_view key, std::string_view value, bool quoted) {
  quoted = quoted || value.find_first_of(",;=\"") != std::string_view::npos;
  std::string element(out.empty() ? "" : ";");
  element += key;
  element += '=';
  if (quoted) element += '"';
  for (const char c : value) {
    if (quoted && (c == '"' || c == '\\')) element += '\\';
    element += c;
  }
  if (quoted) element += '"';
  if (out.size() + element.size() <= kMaxForwarded) out += element;
}

}  // namespace

std::expected<std::string, std::string> read_pem_file(const std::string& path) {
  const auto failed = [&path](std::string_view why) {
    return std::unexpected(path + ": " + std::string(why));
  };
  auto text = read_small_file(path, kMaxFile);
  if (text) return std::move(*text);
  const bool large = text.error().kind == FileError::Kind::kTooLarge;
  return failed(large ? "larger than 1 MiB" : text.error().text);
}

void Certificate::Deleter::operator()(evp_pkey_st* key) const { EVP_PKEY_free(key); }
void Certificate::Deleter::operator()(stack_st_X509* chain) const {
  sk_X509_pop_free(chain, X509_free);
}
void Certificate::Deleter::operator()(x509_st* certificate) const { X509_free(certificate); }

std::expected<CertificatePtr, std::string> Certificate::load(const std::string& cert_file,
                                                             const std::string& key_file) {
  const auto cert_text = read_pem_file(cert_file);
  if (!cert_text) return std::unexpected(cert_text.error());
  auto key_text = read_pem_file(key_file);
  if (!key_text) return std::unexpected(key_text.error());
  std::shared_ptr<Certificate> made(new Certificate);

  ERR_clear_error();
  const BioPtr certs = open_text(*cert_text);
  made->leaf_.reset(next_certificate(certs.get()).release());
  if (made->leaf_ == nullptr) {
    return std::unexpected(cert_file + (at_end() ? ": has no PEM certificate in it"
                                                 : ": its certificate can't be read"));
  }
  made->chain_.reset(sk_X509_new_null());
  while (X509Ptr next = next_certificate(certs.get())) {
    sk_X509_push(made->chain_.get(), next.release());
    if (sk_X509_num(made->chain_.get()) > static_cast<int>(kMaxChain)) {
      return std::unexpected(cert_file + ": has more than 32 certificates in its chain");
    }
  }
  if (!at_end()) return std::unexpected(cert_file + ": a certificate of its chain can't be read");

  const BioPtr key = open_text(*key_text);
  made->key_.reset(PEM_read_bio_PrivateKey(key.get(), nullptr, no_password, nullptr));
  const bool encrypted = key_text->find("ENCRYPTED") != std::string::npos;
  const bool any = key_text->find("PRIVATE KEY-----") != std::string::npos;
  OPENSSL_cleanse(key_text->data(), key_text->size());
  if (made->key_ == nullptr) {
    return std::unexpected(key_file + (encrypted ? ": is encrypted: give it without a password"
                                       : any     ? ": its private key can't be read"
                                                 : ": has no PEM private key in it"));
  }
  if (X509_check_private_key(made->leaf_.get(), made->key_.get()) != 1) {
    ERR_clear_error();
    return std::unexpected(key_file + ": is not the key of the certificate in " + cert_file);
  }
  const std::unique_ptr<SSL_CTX, Free> trial(SSL_CTX_new(TLS_server_method()));
  if (const std::string wrong = made->use_in(trial.get()); !wrong.empty()) {
    return std::unexpected(cert_file + ": can't be used: " + wrong);
  }

  const X509* leaf = made->leaf_.get();
  for (const auto& name : alternative_names(leaf, GEN_DNS)) made->names_.push_back(lower(name));
  if (!has_alternative_names(leaf)) {
    if (const std::string name = common_name(leaf); !name.empty()) {
      made->names_.push_back(lower(name));
    }
  }
  made->title_ = made->names_.empty() ? subject_of(leaf) : made->names_.front();
  made->fingerprint_ = fingerprint_of(leaf);
  made->not_after_ = seconds(X509_get0_notAfter(leaf));
  return made;
}

std::string Certificate::use_in(ssl_ctx_st* context) const {
  ERR_clear_error();
  const int used =
      SSL_CTX_use_cert_and_key(context, leaf_.get(), key_.get(), chain_.get(), /*override=*/1);
  return used == 1 ? std::string() : reason();
}

bool trust_authorities(ssl_ctx_st* context, std::string_view pem, bool announce) {
  ERR_clear_error();
  const BioPtr text = open_text(pem);
  size_t count = 0;
  while (const X509Ptr next = next_certificate(text.get())) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), next.get());
    if (announce) SSL_CTX_add_client_CA(context, next.get());
    ++count;
  }
  return at_end() && count > 0;
}

void trust_system(ssl_ctx_st* context) {
  static X509_STORE* const store = [] {
    X509_STORE* made = X509_STORE_new();
    X509_STORE_set_default_paths(made);
    ERR_clear_error();
    return made;
  }();
  SSL_CTX_set1_cert_store(context, store);
}

TlsPeer describe_peer(const x509_st* certificate) {
  TlsPeer peer;
  peer.subject = subject_of(certificate);
  if (peer.subject.size() > kMaxForwarded) peer.subject.clear();
  add_element(peer.forwarded, "Hash", fingerprint_of(certificate), false);
  add_element(peer.forwarded, "Subject", peer.subject, true);
  for (const auto& uri : alternative_names(certificate, GEN_URI)) {
    add_element(peer.forwarded, "URI", uri, false);
  }
  for (const auto& name : alternative_names(certificate, GEN_DNS)) {
    add_element(peer.forwarded, "DNS", name, false);
  }
  return peer;
}

}  // namespace lictor
