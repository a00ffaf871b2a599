// A client that is OpenSSL's own and a server that is ours, and what happens to their bytes between
// them: cut anywhere, changed, mixed with others, held back. Each side hears what the other said,
// from its beginning and in order, or an error; an end only when one was announced.
#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "fake_transport.h"
#include "io/test_authority.h"
#include "io/tls.h"
#include "messages.h"

namespace {

using namespace lictor;

class Heard final : public TransportUser {
 public:
  void on_read(std::span<char> bytes) override {
    fuzz::require(!paused, "nothing is read while paused");
    fuzz::require(!ended && !failed, "nothing follows an end");
    text.append(bytes.data(), bytes.size());
  }
  void on_eof() override {
    fuzz::require(!ended && !failed, "one end");
    ended = true;
  }
  void on_drain() override { fuzz::require(!failed, "nothing follows an error"); }
  void on_error(const Error& error) override {
    fuzz::require(!failed, "one error", error.detail);
    failed = true;
  }

  std::string text;
  bool paused = false;
  bool ended = false;
  bool failed = false;
};

class Conversation {
 public:
  Conversation(Loop& loop, TlsServerPtr server, SSL_CTX* context)
      : loop_(loop), below_(loop), ssl_(SSL_new(context)) {
    SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_);
    side_ = Tls::accept(loop, below_.handle(), std::move(server), nullptr);
    side_->set_user(&heard_);
    side_->resume();
  }
  ~Conversation() {
    side_.reset();
    loop_.end_turn();
    SSL_free(ssl_);
  }
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  void run(std::string_view input) {
    shake();
    while (!input.empty()) {
      step(input);
      loop_.end_turn();
      check();
    }
  }

 private:
  static size_t number(std::string_view& input) {
    if (input.empty()) return 0;
    const auto value = static_cast<unsigned char>(input.front());
    input.remove_prefix(1);
    return value;
  }

  // Most inputs begin behind a good handshake; those with few bytes between are left alone.
  void shake() {
    for (int i = 0; i < 3; ++i) {
      SSL_do_handshake(ssl_);
      collect();
      deliver(SIZE_MAX);
      listen();
    }
  }

  void step(std::string_view& input) {
    switch (number(input) % 12) {
      case 0: {
        const std::string text = pattern(said_.size(), number(input) * 97);
        if (!text.empty() && SSL_write(ssl_, text.data(), static_cast<int>(text.size())) > 0) {
          said_ += text;
        }
        return collect();
      }
      case 1:
        return deliver(SIZE_MAX);
      case 2:
        return deliver(number(input));
      case 3: {
        const size_t at = number(input) * 5;
        if (at < wire_.size()) wire_[at] = static_cast<char>(wire_[at] ^ (1 + number(input) % 255));
        return;
      }
      case 4: {
        const std::string_view raw = input.substr(0, number(input));
        wire_.append(raw);
        return input.remove_prefix(std::min(input.size(), raw.size()));
      }
      case 5: {
        const std::string text = pattern(answered_.size(), number(input) * 301);
        answered_ += text;
        if (!heard_.failed) side_->write(text);
        return;
      }
      case 6:
        heard_.paused = !heard_.paused;
        heard_.paused ? side_->pause() : side_->resume();
        loop_.end_turn();
        return below_.deliver();
      case 7:
        return below_.stop_taking();
      case 8:
        return below_.take_all();
      case 9:
        return listen();
      case 10:
        SSL_shutdown(ssl_);
        announced_ = true;
        return collect();
      default:
        SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED);
        return;
    }
  }

  static std::string pattern(size_t from, size_t size) {
    std::string text(size, ' ');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (from + i) * 7 % 26);
    return text;
  }
  void collect() {
    char* data = nullptr;
    const long size = BIO_get_mem_data(SSL_get_wbio(ssl_), &data);
    wire_.append(data, static_cast<size_t>(size));
    (void)BIO_reset(SSL_get_wbio(ssl_));
  }
  void deliver(size_t size) {
    if (!below_.open()) return;
    const std::string bytes = wire_.substr(0, size);
    wire_.erase(0, bytes.size());
    below_.receive(bytes);
  }
  void listen() {
    const std::string bytes = below_.sent();
    BIO_write(SSL_get_rbio(ssl_), bytes.data(), static_cast<int>(bytes.size()));
    if (SSL_is_init_finished(ssl_) == 0) return;
    char buffer[4096];
    int got = 0;
    while ((got = SSL_read(ssl_, buffer, sizeof(buffer))) > 0) {
      read_.append(buffer, static_cast<size_t>(got));
    }
    collect();
  }
  void check() const {
    fuzz::require(said_.starts_with(heard_.text), "the server heard what was said");
    fuzz::require(answered_.starts_with(read_), "the client read what was answered");
    fuzz::require(!heard_.ended || announced_, "an end was announced");
  }

  Loop& loop_;
  testing::FakeTransport below_;
  SSL* ssl_;
  Heard heard_;
  TransportPtr side_;
  std::string wire_;  // from the client, not delivered yet
  std::string said_;
  std::string answered_;
  std::string read_;
  bool announced_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static testing::TestAuthority authority;
  static const auto server = TlsServer::make({.certificates = {authority.load("DNS:a.example")}},
                                             std::make_shared<TicketKeys>())
                                 .value();
  static SSL_CTX* const modern = SSL_CTX_new(TLS_client_method());
  static SSL_CTX* const old = [] {
    SSL_CTX* made = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(made, TLS1_2_VERSION);
    return made;
  }();
  static Loop loop;
  if (size == 0) return 0;
  Conversation conversation(loop, server, data[0] % 4 == 0 ? old : modern);
  conversation.run({reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
