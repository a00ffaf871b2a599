// An authority of the tests' own, and its certificates as files.
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "io/tls_certificate.h"

namespace lictor::testing {

// A folder that goes with the test.
class TestFolder {
 public:
  TestFolder() {
    static int count = 0;
    root_ = std::filesystem::temp_directory_path() /
            ("lictor-tls-" + std::to_string(getpid()) + "-" + std::to_string(++count));
    std::filesystem::create_directories(root_);
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  std::string path(const std::string& name) const { return (root_ / name).string(); }
  std::string put(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
    return path(name);
  }

 private:
  std::filesystem::path root_;
};

class TestAuthority {
 public:
  TestAuthority() : key_(EVP_EC_gen("P-256")) {
    static int authorities = 0;
    certificate_ = make("authority " + std::to_string(++authorities), "", key_, 30);
    ca = write("ca.pem", certificate_);
  }
  ~TestAuthority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  struct Files {
    std::string cert;
    std::string key;
  };
  // `names` as OpenSSL takes them: "DNS:a.example,IP:127.0.0.1"; empty = no SAN.
  Files issue(const std::string& common_name, const std::string& names, int days = 30) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = make(common_name, names, key, days);
    const std::string stem = std::to_string(++count_);
    Files files{write(stem + ".pem", certificate), folder_.path(stem + ".key")};
    FILE* out = std::fopen(files.key.c_str(), "w");
    PEM_write_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(out);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return files;
  }
  CertificatePtr load(const std::string& names) {
    const Files files = issue("test", names);
    return Certificate::load(files.cert, files.key).value();
  }
  const TestFolder& folder() const { return folder_; }

  std::string ca;

 private:
  X509* make(const std::string& common_name, const std::string& names, EVP_PKEY* key, int days) {
    X509* made = X509_new();
    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made), ++serial_);
    constexpr int kDay = 24 * 3600;
    X509_gmtime_adj(X509_getm_notBefore(made), -100L * kDay);
    X509_gmtime_adj(X509_getm_notAfter(made), static_cast<long>(days) * kDay);
    X509_set_pubkey(made, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                               0);
    const bool root = certificate_ == nullptr;
    X509_set_issuer_name(made, X509_get_subject_name(root ? made : certificate_));
    const auto extend = [made](int nid, const char* value) {
      X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
      X509_add_ext(made, extension, -1);
      X509_EXTENSION_free(extension);
    };
    if (root) extend(NID_basic_constraints, "critical,CA:TRUE");
    if (!names.empty()) extend(NID_subject_alt_name, names.c_str());
    X509_sign(made, key_, EVP_sha256());
    return made;
  }
  std::string write(const std::string& name, X509* certificate) const {
    FILE* out = std::fopen(folder_.path(name).c_str(), "w");
    PEM_write_X509(out, certificate);
    std::fclose(out);
    return folder_.path(name);
  }

  TestFolder folder_;
  int count_ = 0;
  long serial_ = 0;
  EVP_PKEY* key_;
  X509* certificate_ = nullptr;
};

}  // namespace lictor::testing
