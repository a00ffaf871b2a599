// What TLS connections are made from: a listener's certificates and rules (TlsServer), an
// upstream's (TlsClient), the keys of session tickets. Made on the control thread; the contexts are
// immutable and shared by all workers, a connection keeps the one it began with.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/tls_certificate.h"

struct ssl_ctx_st;
struct ssl_session_st;
struct ssl_st;

namespace lictor {

struct SslFree {
  void operator()(ssl_st* ssl) const;
  void operator()(ssl_ctx_st* context) const;
};
using SslPtr = std::unique_ptr<ssl_st, SslFree>;
using SslContextPtr = std::unique_ptr<ssl_ctx_st, SslFree>;

// The keys that session tickets are sealed with: the current one, and the one before it, so that a
// ticket is good for at least a period. Any thread.
class TicketKeys {
 public:
  static constexpr int64_t kPeriodSeconds = 12 * 3600;  // and the longest life of a session

  struct Key {
    std::array<uint8_t, 16> name;
    std::array<uint8_t, 32> cipher;
    std::array<uint8_t, 32> mac;
    ~Key();
  };

  TicketKeys();
  void rotate();
  Key current() const;
  // Null: of no key that is still known.
  std::optional<Key> find(std::span<const uint8_t, 16> name) const;

 private:
  mutable std::mutex mutex_;
  std::array<Key, 2> keys_;  // guarded by mutex_; the current one first
};

// How a client's handshake went.
enum class TlsHandshake : uint8_t {
  kFull,
  kResumed,
  kCertificate,  // the client's was missing, or not good enough
  kProtocol,     // no common version or suite, or no TLS at all
  kAborted,      // the client went away, or took too long
};
inline constexpr size_t kTlsHandshakes = 5;

class TlsObserver {
 public:
  virtual void on_handshake(TlsHandshake outcome) = 0;

 protected:
  ~TlsObserver() = default;
};

enum class TlsVersion : uint8_t { k12, k13 };
enum class ClientCert : uint8_t { kOff, kRequest, kRequire };

struct TlsServerOptions {
  std::vector<CertificatePtr> certificates;  // not empty; the first is for names that none is for
  TlsVersion min_version = TlsVersion::k12;
  ClientCert client_cert = ClientCert::kOff;
  std::string client_ca;  // file; not empty unless kOff
};

// Of one listener. Mozilla's "intermediate" suites, less those of finite-field Diffie-Hellman.
class TlsServer {
 public:
  static std::expected<std::shared_ptr<const TlsServer>, std::string> make(
      const TlsServerOptions& options, std::shared_ptr<TicketKeys> tickets);

  SslPtr connection() const;  // never null
  bool asks_for_certificate() const { return client_cert_ != ClientCert::kOff; }

 private:
  TlsServer() = default;
  std::string add(const Certificate& certificate, const TlsServerOptions& options,
                  std::string_view authorities);
  ssl_ctx_st* find(std::string_view name) const;

  struct Callbacks;

  std::vector<SslContextPtr> contexts_;  // one a certificate
  std::map<std::string, ssl_ctx_st*, std::less<>> exact_;
  std::map<std::string, ssl_ctx_st*, std::less<>> wildcard_;  // by what is behind "*."
  std::shared_ptr<TicketKeys> tickets_;
  ClientCert client_cert_ = ClientCert::kOff;
};
using TlsServerPtr = std::shared_ptr<const TlsServer>;

struct TlsClientOptions {
  std::string ca_file;      // empty = the system's authorities
  std::string server_name;  // empty = as the connection says
  bool verify = true;
  std::string cert_file;  // of our own, with key_file, or both empty
  std::string key_file;
};

// The last session with one server, to make the next connection with less work. Belongs to one
// thread, and to one TlsClient or others of the same identity: who resumes is not verified again.
class TlsSession {
 public:
  TlsSession() = default;
  ~TlsSession() { set(nullptr); }
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

 private:
  friend class TlsClient;
  void set(ssl_session_st* session);  // takes it
  ssl_session_st* session_ = nullptr;
};
using TlsSessionPtr = std::shared_ptr<TlsSession>;

// To the instances of one upstream.
class TlsClient {
 public:
  // What is wrong, and with which of the options ("ca_file").
  struct Refusal {
    std::string_view key;
    std::string text;
  };
  static std::expected<std::shared_ptr<const TlsClient>, Refusal> make(
      const TlsClientOptions& options);

  // To `host`, a name or an IP address: what the server's certificate must be for, and the name it
  // is told; the options' server_name wins. `session` may be null, else it outlives the
  // connection.
  SslPtr connection(std::string_view host, TlsSession* session) const;
  // Equal for contexts of equal options and files: connections of one will do for the other.
  const std::string& identity() const { return identity_; }

 private:
  TlsClient() = default;
  struct Callbacks;

  SslContextPtr context_;
  std::string server_name_;
  std::string identity_;
};
using TlsClientPtr = std::shared_ptr<const TlsClient>;

}  // namespace lictor
