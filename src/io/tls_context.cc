#include "io/tls_context.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

#include "base/address.h"

namespace lictor {
namespace {

constexpr const char* kSuites =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kGroups = "X25519:P-256:P-384";
constexpr uint64_t kServerOptions = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION;
constexpr long kMaxPeerChain = 32'768;  // bytes
constexpr int kMaxDepth = 8;
constexpr size_t kMaxName = 255;

// The protocols to choose from by ALPN, ours first; each with its length in front.
constexpr unsigned char kProtocols[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

std::array<uint8_t, 32> digest(std::string_view text) {
  std::array<uint8_t, 32> out{};
  EVP_Digest(text.data(), text.size(), out.data(), nullptr, EVP_sha256(), nullptr);
  return out;
}

void fill(std::span<uint8_t> bytes) {
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    throw std::runtime_error("OpenSSL has no random numbers");
  }
}

TicketKeys::Key new_key() {
  TicketKeys::Key key{};
  fill(key.name);
  fill(key.cipher);
  fill(key.mac);
  return key;
}

// It fails for want of memory alone, and so as all else does then.
SslPtr make_ssl(SSL_CTX& context) {
  SslPtr ssl(SSL_new(&context));
  if (ssl == nullptr) throw std::bad_alloc();
  return ssl;
}

}  // namespace

void SslFree::operator()(ssl_st* ssl) const { SSL_free(ssl); }
void SslFree::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

// --- tickets -------------------------------------------------------------------------------------

TicketKeys::Key::~Key() {
  OPENSSL_cleanse(cipher.data(), cipher.size());
  OPENSSL_cleanse(mac.data(), mac.size());
}

TicketKeys::TicketKeys() : keys_{new_key(), new_key()} {}

void TicketKeys::rotate() {
  const Key fresh = new_key();
  const std::lock_guard lock(mutex_);
  keys_[1] = keys_[0];
  keys_[0] = fresh;
}

TicketKeys::Key TicketKeys::current() const {
  const std::lock_guard lock(mutex_);
  return keys_[0];
}

std::optional<TicketKeys::Key> TicketKeys::find(std::span<const uint8_t, 16> name) const {
  const std::lock_guard lock(mutex_);
  for (const Key& key : keys_) {
    if (std::equal(name.begin(), name.end(), key.name.begin())) return key;
  }
  return std::nullopt;
}

// --- the server's side ---------------------------------------------------------------------------

// What OpenSSL asks during a handshake, on the connection's thread.
struct TlsServer::Callbacks {
  static const TlsServer& server(SSL* ssl) {
    return *static_cast<const TlsServer*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  }

  static int choose_certificate(SSL* ssl, int*, void*) {
    const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
    SSL_CTX* found = server(ssl).find(name);
    if (found == nullptr) return SSL_TLSEXT_ERR_NOACK;
    if (found != SSL_get_SSL_CTX(ssl)) SSL_set_SSL_CTX(ssl, found);
    return SSL_TLSEXT_ERR_OK;
  }

  static int choose_protocol(SSL*, const unsigned char** out, unsigned char* size,
                             const unsigned char* offered, unsigned offered_size, void*) {
    unsigned char* chosen = nullptr;
    const int how =
        SSL_select_next_proto(&chosen, size, kProtocols, sizeof(kProtocols), offered, offered_size);
    *out = chosen;
    return how == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
  }

  // 0: make no ticket, or take none; 2: take it, and give a new one.
  static int seal_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                         EVP_MAC_CTX* mac, int sealing) {
    static EVP_CIPHER* const aes = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
    const TicketKeys& tickets = *server(ssl).tickets_;
    std::optional<TicketKeys::Key> key;
    bool current = true;
    if (sealing == 1) {
      key = tickets.current();
      std::copy(key->name.begin(), key->name.end(), name);
      if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes)) != 1) return -1;
    } else {
      key = tickets.find(std::span<const uint8_t, 16>(name, 16));
      if (!key) return 0;
      // In TLS 1.3 a client uses a ticket once.
      current = SSL_version(ssl) < TLS1_3_VERSION && key->name == tickets.current().name;
    }
    char hash[] = "SHA256";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac.data(), key->mac.size()),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash, 0),
        OSSL_PARAM_construct_end()};
    const int set = sealing == 1
                        ? EVP_EncryptInit_ex2(cipher, aes, key->cipher.data(), iv, nullptr)
                        : EVP_DecryptInit_ex2(cipher, aes, key->cipher.data(), iv, nullptr);
    if (set != 1 || EVP_MAC_CTX_set_params(mac, parameters) != 1) return -1;
    return current ? 1 : 2;
  }

  // A certificate that can't be verified counts as none.
  static int take_any(int, X509_STORE_CTX*) { return 1; }
};

std::expected<TlsServerPtr, std::string> TlsServer::make(const TlsServerOptions& options,
                                                         std::shared_ptr<TicketKeys> tickets) {
  std::shared_ptr<TlsServer> made(new TlsServer);
  made->tickets_ = std::move(tickets);
  made->client_cert_ = options.client_cert;
  std::string authorities;
  if (options.client_cert != ClientCert::kOff) {
    auto text = read_pem_file(options.client_ca);
    if (!text) return std::unexpected(text.error());
    authorities = std::move(*text);
  }
  for (const auto& certificate : options.certificates) {
    if (auto wrong = made->add(*certificate, options, authorities); !wrong.empty()) {
      return std::unexpected(std::move(wrong));
    }
  }
  return made;
}

std::string TlsServer::add(const Certificate& certificate, const TlsServerOptions& options,
                           std::string_view authorities) {
  SslContextPtr made(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* const context = made.get();
  SSL_CTX_set_app_data(context, this);
  SSL_CTX_set_min_proto_version(
      context, options.min_version == TlsVersion::k13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context, kSuites);
  SSL_CTX_set1_groups_list(context, kGroups);
  SSL_CTX_set_options(context, kServerOptions);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_max_cert_list(context, kMaxPeerChain);
  SSL_CTX_set_tlsext_servername_callback(context, Callbacks::choose_certificate);
  SSL_CTX_set_alpn_select_cb(context, Callbacks::choose_protocol, nullptr);

  // Sessions are in tickets alone. One that was made under other rules about clients' certificates
  // is not taken up here.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_timeout(context, TicketKeys::kPeriodSeconds);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, Callbacks::seal_ticket);
  std::string rules(1, static_cast<char>('0' + static_cast<int>(options.client_cert)));
  const auto id = digest(rules.append(authorities));
  SSL_CTX_set_session_id_context(context, id.data(), id.size());

  if (options.client_cert != ClientCert::kOff) {
    if (!trust_authorities(context, authorities, true)) {
      return options.client_ca + ": has no PEM certificate in it, or one that can't be read";
    }
    const bool require = options.client_cert == ClientCert::kRequire;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (require ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                       require ? nullptr : Callbacks::take_any);
    SSL_CTX_set_verify_depth(context, kMaxDepth);
  }
  if (auto wrong = certificate.use_in(context); !wrong.empty()) {
    return certificate.title() + ": " + wrong;
  }
  for (const auto& name : certificate.names()) {
    const bool wildcard = name.starts_with("*.");
    (wildcard ? wildcard_ : exact_).emplace(wildcard ? name.substr(2) : name, context);
  }
  contexts_.push_back(std::move(made));
  return {};
}

// A wildcard covers one label. Null: the first certificate will do.
ssl_ctx_st* TlsServer::find(std::string_view sent) const {
  if (sent.ends_with('.')) sent.remove_suffix(1);
  if (sent.size() > kMaxName) return nullptr;
  std::array<char, kMaxName> lower;
  std::transform(sent.begin(), sent.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  const std::string_view name(lower.data(), sent.size());
  if (const auto found = exact_.find(name); found != exact_.end()) return found->second;
  const size_t dot = name.find('.');
  if (dot == std::string_view::npos || dot == 0) return nullptr;
  const auto found = wildcard_.find(name.substr(dot + 1));
  return found == wildcard_.end() ? nullptr : found->second;
}

SslPtr TlsServer::connection() const {
  SslPtr ssl = make_ssl(*contexts_.front());
  SSL_set_accept_state(ssl.get());
  return ssl;
}

// --- the client's side ---------------------------------------------------------------------------

void TlsSession::set(ssl_session_st* session) {
  if (session_ != nullptr) SSL_SESSION_free(session_);
  session_ = session;
}

struct TlsClient::Callbacks {
  static int keep_session(SSL* ssl, SSL_SESSION* session) {
    auto* const kept = static_cast<TlsSession*>(SSL_get_ex_data(ssl, slot()));
    if (kept == nullptr) return 0;
    kept->set(session);
    return 1;
  }
  static int slot() {
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
  }
};

std::expected<TlsClientPtr, TlsClient::Refusal> TlsClient::make(const TlsClientOptions& options) {
  std::shared_ptr<TlsClient> made(new TlsClient);
  made->context_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* const context = made->context_.get();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_max_cert_list(context, kMaxPeerChain);
  SSL_CTX_set_alpn_protos(context, kProtocols, sizeof(kProtocols));
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, Callbacks::keep_session);
  Callbacks::slot();

  std::string identity = options.verify ? "verify" : "any";
  const auto add = [&identity](std::string_view part) {
    identity += '\0';
    for (const uint8_t byte : digest(part)) identity += static_cast<char>(byte);
  };
  add(options.server_name);
  SSL_CTX_set_verify(context, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (options.ca_file.empty()) {
    trust_system(context);
  } else {
    const auto text = read_pem_file(options.ca_file);
    if (!text) return std::unexpected(Refusal{"ca_file", text.error()});
    if (!trust_authorities(context, *text, false)) {
      return std::unexpected(
          Refusal{"ca_file",
                  options.ca_file + ": has no PEM certificate in it, or one that can't be read"});
    }
    add(*text);
  }
  if (!options.cert_file.empty()) {
    const auto own = Certificate::load(options.cert_file, options.key_file);
    if (!own) return std::unexpected(Refusal{"cert_file", own.error()});
    if (auto wrong = (*own)->use_in(context); !wrong.empty()) {
      return std::unexpected(Refusal{"cert_file", options.cert_file + ": " + wrong});
    }
    add((*own)->fingerprint());
  }
  made->server_name_ = options.server_name;
  made->identity_ = std::move(identity);
  return made;
}

SslPtr TlsClient::connection(std::string_view host, TlsSession* session) const {
  SslPtr made = make_ssl(*context_);
  SSL* const ssl = made.get();
  const std::string name = server_name_.empty() ? std::string(host) : server_name_;
  if (const auto ip = IpAddress::parse(name)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), ip->to_string().c_str());
  } else {
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set1_host(ssl, name.c_str());
    SSL_set_tlsext_host_name(ssl, name.c_str());
  }
  SSL_set_ex_data(ssl, Callbacks::slot(), session);
  if (session != nullptr && session->session_ != nullptr) {
    SSL_set_session(ssl, session->session_);
  }
  SSL_set_connect_state(ssl);
  return made;
}

}  // namespace lictor
