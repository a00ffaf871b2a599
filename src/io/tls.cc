#include "io/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <utility>

#include "base/log.h"

namespace lictor {
namespace {

constexpr size_t kPlain = 65'536;

// Never in use twice at a time: only a read callback or a flush fills it, and these don't nest.
char* plain_buffer() {
  thread_local const auto buffer = std::make_unique_for_overwrite<char[]>(kPlain);
  return buffer.get();
}

// What people who forget the "s" get to see.
constexpr std::string_view kPlainHttpAnswer =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 48\r\n"
    "Connection: close\r\n\r\nThis port speaks TLS: use https:// instead of it";

int last_reason() {
  const auto code = ERR_peek_last_error();
  return ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
}

bool is_certificate_alert(int reason) {
  switch (reason) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return true;
    default:
      return false;
  }
}

// Why an instance's certificate was not accepted.
const char* verify_text(long result) {
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "the instance's certificate has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "the instance's certificate is not valid yet";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "the instance's certificate is for another name";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return "the instance's certificate is of an unknown authority";
    default:
      return X509_verify_cert_error_string(result);
  }
}

}  // namespace

// --- the beginning -------------------------------------------------------------------------------

Tls::Tls(Loop& loop, TransportPtr lower, SslPtr ssl)
    : loop_(loop), lower_(std::move(lower)), ssl_(std::move(ssl)), peer_address_(lower_->peer()) {}

Tls::~Tls() {
  // A session outlives the connection, however that ended.
  SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

TransportPtr Tls::start(Tls* tls) {
  TransportPtr made(tls);
  BIO* const bio = BIO_new(method());
  if (bio == nullptr) throw std::bad_alloc();
  BIO_set_data(bio, tls);
  BIO_set_init(bio, 1);
  SSL* const ssl = tls->ssl_.get();
  SSL_set_bio(ssl, bio, bio);
  SSL_set_app_data(ssl, tls);
  SSL_set_info_callback(ssl, watch);
  tls->lower_->set_user(tls);
  tls->lower_->resume();
  return made;
}

TransportPtr Tls::accept(Loop& loop, TransportPtr lower, TlsServerPtr server,
                         TlsObserver* observer) {
  auto* const tls = new Tls(loop, std::move(lower), server->connection());
  tls->server_ = std::move(server);
  tls->observer_ = observer;
  return start(tls);
}

TransportPtr Tls::connect(Loop& loop, TransportPtr lower, const TlsClient& client,
                          std::string_view host, TlsSessionPtr session) {
  auto* const tls = new Tls(loop, std::move(lower), client.connection(host, session.get()));
  tls->session_ = std::move(session);
  tls->state_ = State::kConnecting;
  return start(tls);
}

void Tls::on_connect() {
  state_ = State::kHandshake;
  handshake();
}

void Tls::handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    established();
  } else if (SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) {
    fail_handshake();
  } else if (handshake_bytes_ > kMaxHandshakeBytes) {
    count(TlsHandshake::kProtocol);
    fail({Failure::kTlsProtocol, false, "the TLS handshake is too large"});
  }
}

void Tls::established() {
  state_ = State::kOpen;
  if (serves() && server_->asks_for_certificate()) {
    const X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
    if (certificate != nullptr && SSL_get_verify_result(ssl_.get()) == X509_V_OK) {
      peer_ = std::make_unique<const TlsPeer>(describe_peer(certificate));
    }
  }
  count(SSL_session_reused(ssl_.get()) == 1 ? TlsHandshake::kResumed : TlsHandshake::kFull);
  if (paused_) lower_->pause();
  if (!output_.empty() || want_shutdown_) loop_.flush_later(*this);
  if (!serves() && user_ != nullptr) user_->on_connect();
}

void Tls::fail_handshake() {
  const Error error = handshake_error();
  const int reason = last_reason();
  const bool certificate = reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE ||
                           reason == SSL_R_CERTIFICATE_VERIFY_FAILED;
  count(certificate ? TlsHandshake::kCertificate : TlsHandshake::kProtocol);
  if (serves() && log::level() <= log::Level::kDebug) {
    const char* text = ERR_reason_error_string(ERR_peek_last_error());
    log::debug("TLS handshake with {} failed: {}", peer_address_.to_string(),
               text == nullptr ? "unknown error" : text);
  }
  if (serves() && reason == SSL_R_HTTP_REQUEST) lower_->write(kPlainHttpAnswer);
  fail(error);
}

// As the exchange that waits for an instance's connection is told.
Error Tls::handshake_error() const {
  const int reason = last_reason();
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    return {Failure::kTlsCertificate, false, verify_text(SSL_get_verify_result(ssl_.get()))};
  }
  if (is_certificate_alert(reason)) {
    return {Failure::kTlsCertificate, false, "the instance did not accept our certificate"};
  }
  const char* text = ERR_reason_error_string(ERR_peek_last_error());
  return {Failure::kTlsProtocol, false, text == nullptr ? "the TLS handshake failed" : text};
}

void Tls::count(TlsHandshake outcome) const {
  if (observer_ != nullptr) observer_->on_handshake(outcome);
}

const TlsPeer* Tls::tls() const {
  static const TlsPeer nobody;
  return peer_ == nullptr ? &nobody : peer_.get();
}

// --- from below ----------------------------------------------------------------------------------

// OpenSSL sets aside as much as a ClientHello says that it is long, up to 128 KiB: a few bytes from
// each of many clients would cost a gigabyte. One whose length is cut up is taken for such, too.
bool Tls::hello_fits(std::string_view bytes) {
  constexpr uint8_t kHandshakeRecord = 22;
  constexpr uint8_t kClientHello = 1;
  if (!serves() || handshake_bytes_ >= hello_.size()) return true;
  bytes = bytes.substr(0, hello_.size() - handshake_bytes_);
  std::copy(bytes.begin(), bytes.end(), hello_.begin() + handshake_bytes_);
  if (handshake_bytes_ + bytes.size() < hello_.size() || hello_[0] != kHandshakeRecord) return true;
  const uint32_t record = uint32_t{hello_[3]} << 8 | hello_[4];
  const uint32_t size = uint32_t{hello_[6]} << 16 | uint32_t{hello_[7]} << 8 | hello_[8];
  return hello_[5] != kClientHello || (record >= 4 && size <= kMaxHello);
}

void Tls::on_read(std::span<char> bytes) {
  if (done() || saw_end_) return;
  incoming_ = {bytes.data(), bytes.size()};
  if (state_ == State::kHandshake) {
    if (!hello_fits(incoming_)) {
      count(TlsHandshake::kProtocol);
      fail({Failure::kTlsProtocol, false, "the ClientHello is too large"});
      return;
    }
    handshake_bytes_ += static_cast<uint32_t>(bytes.size());
    handshake();
  }
  if (state_ == State::kOpen) deliver();
  incoming_ = {};
}

bool Tls::has_more() const {
  return !incoming_.empty() || !held_.empty() || SSL_pending(ssl_.get()) > 0;
}

// Hands up all that is there, unless the user pauses or goes.
void Tls::deliver() {
  while (state_ == State::kOpen && !paused_ && !saw_end_ && has_more()) {
    size_t filled = 0;
    // Judged before the user, who may have OpenSSL do other things, has its say.
    const Read end = decrypt(filled);
    const Error error = end == Read::kBroken ? read_error() : Error{};
    if (filled > 0) user_->on_read({plain_buffer(), filled});
    if (state_ != State::kOpen) return;
    if (end == Read::kEnd) {
      saw_end_ = true;
      lower_->pause();
      held_.clear();
      user_->on_eof();
      return;
    }
    if (end == Read::kBroken) {
      fail(error);
      return;
    }
    if (oddities_ > kMaxOddities) {
      fail({Failure::kUpstreamProtocol, true, "too many TLS key updates or alerts"});
      return;
    }
  }
  keep_rest();
}

Tls::Read Tls::decrypt(size_t& filled) {
  char* const plain = plain_buffer();
  ERR_clear_error();
  while (filled < kPlain && has_more()) {
    size_t got = 0;
    if (SSL_read_ex(ssl_.get(), plain + filled, kPlain - filled, &got) != 1) {
      const int why = SSL_get_error(ssl_.get(), 0);
      if (why == SSL_ERROR_WANT_READ) return Read::kMore;
      return why == SSL_ERROR_ZERO_RETURN ? Read::kEnd : Read::kBroken;
    }
    filled += got;
  }
  return Read::kMore;
}

// In TLS 1.3 a server says only after the handshake what it thinks of our certificate.
Error Tls::read_error() {
  if (is_certificate_alert(last_reason())) {
    return {Failure::kTlsCertificate, true, "the instance did not accept our certificate"};
  }
  const char* text = ERR_reason_error_string(ERR_peek_last_error());
  return {Failure::kUpstreamProtocol, true, text == nullptr ? "TLS failed" : text};
}

// What its user does not want yet: at most what one read gave.
void Tls::keep_rest() {
  if (incoming_.empty()) return;
  held_.append(incoming_);
  incoming_ = {};
}

void Tls::on_eof() {
  if (done() || saw_end_) return;
  if (state_ == State::kOpen) {
    fail({Failure::kUpstreamReset, true, "closed without an end of TLS (close_notify)"});
  } else {
    count(TlsHandshake::kAborted);
    fail({Failure::kTlsProtocol, false, "closed during the TLS handshake"});
  }
}

void Tls::on_error(const Error& error) {
  if (done()) return;
  const bool shaking = state_ == State::kHandshake;
  if (shaking) count(TlsHandshake::kAborted);
  const bool reset = shaking && error.failure == Failure::kUpstreamReset;
  fail(reset ? Error{Failure::kTlsProtocol, false, "reset during the TLS handshake"} : error);
}

void Tls::on_drain() {
  if (done() || !std::exchange(want_drain_, false)) return;
  if (user_ != nullptr) user_->on_drain();
}

void Tls::pause() {
  paused_ = true;
  if (state_ == State::kOpen) lower_->pause();
}

void Tls::resume() {
  if (done() || saw_end_) return;
  paused_ = false;
  if (state_ == State::kOpen && has_more()) {
    loop_.flush_later(*this);
  } else {
    lower_->resume();
  }
}

// --- to below ------------------------------------------------------------------------------------

Buffer& Tls::output() {
  if (!done()) loop_.flush_later(*this);
  return output_;
}

bool Tls::write(std::string_view bytes) {
  if (done()) return true;
  if (state_ == State::kOpen && bytes.size() >= kRecord) {
    seal_output();
    seal(bytes, true);
  } else {
    output().append(bytes);
  }
  if (queued() < kHighMark) return true;
  want_drain_ = true;
  return false;
}

// With `send` the last record goes out at once, and what is queued with it, as far as the socket
// takes it.
void Tls::seal(std::string_view bytes, bool send) {
  while (!bytes.empty() && state_ == State::kOpen) {
    const std::string_view piece = bytes.substr(0, kRecord);
    bytes.remove_prefix(piece.size());
    send_now_ = send && bytes.empty();
    size_t written = 0;
    if (SSL_write_ex(ssl_.get(), piece.data(), piece.size(), &written) != 1) {
      state_ = State::kBroken;
      error_ = {Failure::kUpstreamReset, true, "TLS can't write any more"};
      loop_.flush_later(*this);
    }
  }
  send_now_ = false;
}

void Tls::seal_output() {
  if (output_.empty()) return;
  ERR_clear_error();
  while (!output_.empty() && state_ == State::kOpen) {
    const std::string_view piece = output_.front();
    seal(piece, false);
    output_.consume(piece.size());
  }
}

void Tls::flush() {
  if (state_ == State::kOpen && !paused_ && !saw_end_ && has_more()) {
    deliver();
    if (state_ == State::kOpen && !paused_ && !saw_end_) lower_->resume();
  }
  if (state_ == State::kOpen) {
    seal_output();
    if (std::exchange(want_shutdown_, false)) {
      sent_end_ = true;
      SSL_shutdown(ssl_.get());
      lower_->shutdown();
    }
    const bool full = want_drain_ && !lower_->write({});
    lower_->flush();
    if (want_drain_ && !full) on_drain();
  }
  if (state_ == State::kBroken) fail(error_);
}

void Tls::shutdown() {
  if (done()) return;
  want_shutdown_ = true;
  loop_.flush_later(*this);
}

// --- the end -------------------------------------------------------------------------------------

// From events alone.
void Tls::fail(const Error& error) {
  if (state_ == State::kClosed || std::exchange(told_error_, true)) return;
  state_ = State::kBroken;
  error_ = error;
  ERR_clear_error();
  held_.clear();
  output_.clear();
  lower_->flush();  // an alert
  lower_->pause();
  if (user_ != nullptr) user_->on_error(error_);
}

void Tls::close() {
  if (state_ == State::kClosed) return;
  if (state_ == State::kHandshake) count(TlsHandshake::kAborted);
  const bool whole = state_ == State::kOpen && !sent_end_ && queued() == 0;
  end();
  if (whole) {
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
    lower_->flush();
  }
  lower_.reset();
}

void Tls::abort() {
  if (state_ == State::kClosed) return;
  if (state_ == State::kHandshake) count(TlsHandshake::kAborted);
  end();
  lower_.release()->abort();
}

void Tls::end() {
  state_ = State::kClosed;
  user_ = nullptr;
  held_.clear();
  output_.clear();
  incoming_ = {};
  Flushable::unlink();
  loop_.bury(this);
}

// --- OpenSSL's side ------------------------------------------------------------------------------

bio_method_st* Tls::method() {
  static BIO_METHOD* const made = [] {
    BIO_METHOD* fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "lictor");
    BIO_meth_set_read(fresh, take);
    BIO_meth_set_write(fresh, give);
    BIO_meth_set_ctrl(fresh, control);
    return fresh;
  }();
  return made;
}

int Tls::take(bio_st* bio, char* out, int size) {
  auto* const self = static_cast<Tls*>(BIO_get_data(bio));
  const bool held = !self->held_.empty();
  const std::string_view from = held ? self->held_.front() : self->incoming_;
  BIO_clear_retry_flags(bio);
  if (from.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const size_t part = std::min(from.size(), static_cast<size_t>(size));
  std::memcpy(out, from.data(), part);
  held ? self->held_.consume(part) : self->incoming_.remove_prefix(part);
  return static_cast<int>(part);
}

int Tls::give(bio_st* bio, const char* bytes, int size) {
  auto* const self = static_cast<Tls*>(BIO_get_data(bio));
  const std::string_view record(bytes, static_cast<size_t>(size));
  BIO_clear_retry_flags(bio);
  if (self->send_now_) {
    self->lower_->write(record);
  } else {
    self->lower_->output().append(record);
  }
  return size;
}

long Tls::control(bio_st*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

void Tls::watch(const ssl_st* ssl, int where, int) {
  auto* const self = static_cast<Tls*>(SSL_get_app_data(ssl));
  if (self->state_ == State::kOpen && (where & (SSL_CB_LOOP | SSL_CB_ALERT)) != 0) {
    ++self->oddities_;
  }
}

}  // namespace lictor
