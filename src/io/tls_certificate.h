// Certificates: our own, read from PEM files with their keys; those of authorities; and what a
// peer's says. Not for the data path but at a handshake.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/transport.h"

struct evp_pkey_st;
struct ssl_ctx_st;
struct stack_st_X509;
struct x509_st;

namespace lictor {

// Of PEM files: a text, or what is wrong, with the name of the file.
std::expected<std::string, std::string> read_pem_file(const std::string& path);

// A certificate with its chain and its key. Immutable, shared by all that show it.
class Certificate {
 public:
  static std::expected<std::shared_ptr<const Certificate>, std::string> load(
      const std::string& cert_file, const std::string& key_file);

  // Names of hosts that it is for, in lower case: those of its SANs, without any its common name.
  const std::vector<std::string>& names() const { return names_; }
  // What it is called in metrics and logs: its first name, else its subject.
  const std::string& title() const { return title_; }
  int64_t not_after() const { return not_after_; }  // seconds since the epoch

  const std::string& fingerprint() const { return fingerprint_; }  // SHA-256, in hex

  // Empty, or why it can't be shown.
  std::string use_in(ssl_ctx_st* context) const;

 private:
  Certificate() = default;
  struct Deleter {
    void operator()(evp_pkey_st* key) const;
    void operator()(stack_st_X509* chain) const;
    void operator()(x509_st* certificate) const;
  };

  std::unique_ptr<x509_st, Deleter> leaf_;
  std::unique_ptr<stack_st_X509, Deleter> chain_;
  std::unique_ptr<evp_pkey_st, Deleter> key_;
  std::vector<std::string> names_;
  std::string title_;
  std::string fingerprint_;
  int64_t not_after_ = 0;
};
using CertificatePtr = std::shared_ptr<const Certificate>;

// The authorities in a PEM text are trusted by `context`; with `announce` it also tells clients
// that it takes their certificates. False when there is none in it.
bool trust_authorities(ssl_ctx_st* context, std::string_view pem, bool announce);
// Those of the system, read once.
void trust_system(ssl_ctx_st* context);

// Of a certificate that was verified.
TlsPeer describe_peer(const x509_st* certificate);

}  // namespace lictor
