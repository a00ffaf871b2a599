#include "io/tls.h"

#include <doctest/doctest.h>
#include <openssl/ssl.h>

#include "io/test_authority.h"
#include "io/tls_support.h"

using lictor::Certificate;
using lictor::ClientCert;
using lictor::Failure;
using lictor::Loop;
using lictor::TicketKeys;
using lictor::TlsClient;
using lictor::TlsClientPtr;
using lictor::TlsHandshake;
using lictor::TlsServer;
using lictor::TlsServerPtr;
using lictor::TlsSession;
using lictor::Transport;
using lictor::testing::NoteTaker;
using lictor::testing::TestAuthority;
using lictor::testing::TlsPair;

namespace {

struct Fixture {
  TestAuthority authority;
  Loop loop;
  std::shared_ptr<TicketKeys> tickets = std::make_shared<TicketKeys>();
  TlsServerPtr server = make_server({});
  TlsClientPtr client = make_client({.ca_file = authority.ca});

  TlsServerPtr make_server(lictor::TlsServerOptions options) {
    if (options.certificates.empty()) {
      options.certificates = {authority.load("DNS:a.example,IP:192.0.2.1")};
    }
    auto made = TlsServer::make(options, tickets);
    REQUIRE_MESSAGE(made, made.error());
    return *made;
  }
  static TlsClientPtr make_client(const lictor::TlsClientOptions& options) {
    auto made = TlsClient::make(options);
    REQUIRE_MESSAGE(made, made.error().text);
    return *made;
  }
};

// The lengths of the records in what was sent.
std::vector<size_t> records(std::string_view bytes) {
  std::vector<size_t> sizes;
  while (bytes.size() >= 5) {
    const auto size = static_cast<size_t>(static_cast<unsigned char>(bytes[3])) * 256 +
                      static_cast<unsigned char>(bytes[4]);
    sizes.push_back(size);
    bytes.remove_prefix(std::min(bytes.size(), size + 5));
  }
  return sizes;
}

std::string letters(size_t size) {
  std::string text(size, ' ');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 26);
  return text;
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a handshake, then bytes both ways, in pieces of any size") {
  for (const size_t step : {SIZE_MAX, size_t{1}, size_t{7}, size_t{1000}}) {
    TlsPair pair(loop, server, *client);
    pair.client_side->write("early");  // waits for the handshake
    pair.pump(step);
    CHECK(pair.client_user.events == "connect ");
    CHECK(pair.server_user.text == "early");
    CHECK(pair.handshakes.seen == std::vector{TlsHandshake::kFull});
    const std::string large = letters(100'000);
    pair.server_side->write(large);
    pair.client_side->output().append(std::string_view("in place"));
    pair.pump(step);
    CHECK(pair.client_user.text == large);
    CHECK(pair.server_user.text == "earlyin place");
    CHECK(pair.server_side->tls() != nullptr);
    CHECK(pair.server_side->tls()->subject.empty());
  }
}

TEST_CASE_FIXTURE(Fixture, "a turn's small writes are one record") {
  TlsPair pair(loop, server, *client);
  pair.pump();
  pair.server_side->output().append(std::string_view("head"));
  pair.server_side->write("body");
  pair.server_side->write("more");
  loop.end_turn();
  const std::string sent = pair.below_server.sent();
  CHECK(records(sent).size() == 1);
  pair.below_client.receive(sent);
  CHECK(pair.client_user.text == "headbodymore");
}

TEST_CASE_FIXTURE(Fixture, "a large write is full records behind what was queued, in order") {
  TlsPair pair(loop, server, *client);
  pair.pump();
  const std::string large = letters(50'000);
  pair.server_side->write("head");
  pair.server_side->write(large);
  pair.server_side->write("tail");
  loop.end_turn();
  const std::string sent = pair.below_server.sent();
  CHECK(records(sent).size() == 6);  // 4 of the large one
  pair.below_client.receive(sent);
  CHECK(pair.client_user.text == "head" + large + "tail");
}

TEST_CASE_FIXTURE(Fixture, "an announced end is an end, in both directions") {
  TlsPair pair(loop, server, *client);
  pair.pump();
  pair.client_side->write("last words");
  pair.client_side->shutdown();
  pair.pump();
  CHECK(pair.server_user.text == "last words");
  CHECK(pair.server_user.heard("eof"));
  CHECK(pair.below_client.ended());
  pair.server_side->write("an answer to it");  // a half is closed, not the whole
  pair.server_side->shutdown();
  pair.pump();
  CHECK(pair.client_user.text == "an answer to it");
  CHECK(pair.client_user.heard("eof"));
  pair.below_client.eof();
  CHECK_FALSE(pair.client_user.heard("error"));
}

TEST_CASE_FIXTURE(Fixture, "close announces the end when nothing is lost by it") {
  TlsPair pair(loop, server, *client);
  pair.pump();
  SUBCASE("idle") {
    pair.server_side.reset();
    CHECK_FALSE(pair.below_server.open());
    pair.pump();
    CHECK(pair.client_user.heard("eof"));
  }
  SUBCASE("with bytes queued") {
    pair.server_side->write("half");
    pair.server_side.reset();
    pair.pump();
    CHECK_FALSE(pair.client_user.heard("eof"));
  }
  SUBCASE("abort") {
    pair.server_side.release()->abort();
    CHECK(pair.below_server.aborted());
    pair.pump();
    CHECK_FALSE(pair.client_user.heard("eof"));
  }
}

TEST_CASE_FIXTURE(Fixture, "an end that is not announced is an error") {
  TlsPair pair(loop, server, *client);
  pair.pump();
  pair.server_side->write("the first half");
  pair.pump();
  pair.below_client.eof();
  CHECK(pair.client_user.events == "connect read error ");
  CHECK(pair.client_user.error.failure == Failure::kUpstreamReset);
}

TEST_CASE_FIXTURE(Fixture, "a changed byte is an error, and nothing of its record is heard") {
  TlsPair pair(loop, server, *client);
  pair.pump();
  pair.server_side->write("secret");
  loop.end_turn();
  std::string sent = pair.below_server.sent();
  sent[sent.size() - 3] ^= 1;
  pair.below_client.receive(sent);
  CHECK(pair.client_user.text.empty());
  CHECK(pair.client_user.error.failure == Failure::kUpstreamProtocol);
  CHECK(pair.below_client.sent().size() > 0);  // the alert
}

TEST_CASE_FIXTURE(Fixture, "an alert behind data is an error, whatever the data led to") {
  TlsPair pair(loop, server, *client);
  TlsPair other(loop, server, *client);
  pair.pump();
  other.pump();
  pair.client_side->write("broken on its way");
  pair.server_side->write("data");
  loop.end_turn();
  std::string broken = pair.below_client.sent();
  broken.back() ^= 1;
  pair.below_server.receive(broken);
  // The user has OpenSSL do other things when it hears of the data, ahead of the alert.
  pair.client_user.then = [&](std::string_view what) {
    if (what == "read") other.client_side.reset();
  };
  pair.below_client.receive(pair.below_server.sent());
  CHECK(pair.client_user.text == "data");
  CHECK(pair.client_user.events == "connect read error ");
}

TEST_CASE_FIXTURE(Fixture, "who does not read stops who writes") {
  TlsPair pair(loop, server, *client);
  pair.pump();
  pair.below_server.stop_taking();
  const std::string piece = letters(20'000);
  size_t written = 0;
  bool room = true;
  while (room && written < 1'000'000) {
    room = pair.server_side->write(piece);
    written += piece.size();
  }
  CHECK(written < Transport::kHighMark + 2 * piece.size());
  loop.end_turn();
  CHECK(pair.server_side->queued() >= Transport::kHighMark);
  CHECK_FALSE(pair.server_user.heard("drain"));
  pair.below_server.take(10'000);
  CHECK_FALSE(pair.server_user.heard("drain"));
  pair.below_server.take_all();
  CHECK(pair.server_user.events == "drain ");
  pair.pump();
  CHECK(pair.client_user.text.size() == written);
}

TEST_CASE_FIXTURE(Fixture, "a queue of small writes drains, too") {
  TlsPair pair(loop, server, *client);
  pair.pump();
  bool room = true;
  size_t written = 0;
  while (room) {
    room = pair.server_side->write(letters(1000));
    written += 1000;
  }
  pair.pump();
  CHECK(pair.server_user.events == "drain ");
  CHECK(pair.client_user.text.size() == written);
}

TEST_CASE_FIXTURE(Fixture, "pause holds what is there, resume hands it over once") {
  TlsPair pair(loop, server, *client);
  pair.pump();
  const std::string large = letters(200'000);
  size_t pauses = 0;
  pair.client_user.then = [&](std::string_view) {
    ++pauses;
    pair.client_side->pause();
  };
  pair.client_user.events.clear();
  pair.server_side->write(large);
  for (size_t i = 0; i < 100 && pair.client_user.text.size() < large.size(); ++i) {
    pair.pump();
    const size_t before = pair.client_user.text.size();
    pair.below_client.deliver();
    pair.pump();
    CHECK(pair.client_user.text.size() == before);  // paused
    pair.client_user.events.clear();
    pair.client_side->resume();
    loop.end_turn();
    pair.below_client.deliver();
  }
  CHECK(pair.client_user.text == large);
  CHECK(pauses >= 3);
}

TEST_CASE_FIXTURE(Fixture, "a handshake that breaks off is told, and counted") {
  TlsPair pair(loop, server, *client);
  SUBCASE("closed") {
    pair.below_client.eof();
    CHECK(pair.client_user.error.failure == Failure::kTlsProtocol);
    pair.below_server.eof();
    CHECK(pair.handshakes.seen == std::vector{TlsHandshake::kAborted});
  }
  SUBCASE("no TLS at all") {
    pair.below_client.receive("SSH-2.0-OpenSSH_9.2\r\n");
    CHECK(pair.client_user.error.failure == Failure::kTlsProtocol);
    pair.below_server.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(pair.below_server.sent().starts_with("HTTP/1.1 400 Bad Request\r\n"));
    CHECK(pair.handshakes.seen == std::vector{TlsHandshake::kProtocol});
  }
  SUBCASE("given up") {
    pair.server_side.reset();
    CHECK(pair.handshakes.seen == std::vector{TlsHandshake::kAborted});
  }
}

TEST_CASE_FIXTURE(Fixture, "a hello that would be huge is refused at its head, however it comes") {
  using namespace std::string_literals;
  const std::string huge = "\x16\x03\x01\x10\x00\x01\x01\xff\x00"s;
  const std::string cut = "\x16\x03\x01\x00\x02\x01\x00\x16\x03\x01"s;
  for (const std::string& bytes : {huge, cut}) {
    for (const size_t step : {SIZE_MAX, size_t{1}}) {
      TlsPair pair(loop, server, *client);
      for (size_t at = 0; at < bytes.size(); at += std::min(step, bytes.size() - at)) {
        CHECK_FALSE(pair.server_user.heard("error"));
        pair.below_server.receive(std::string_view(bytes).substr(at, step));
        if (at + 1 == 9) break;
      }
      CHECK(pair.server_user.error.failure == Failure::kTlsProtocol);
      CHECK(pair.handshakes.seen == std::vector{TlsHandshake::kProtocol});
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "a handshake without end is given up") {
  TlsPair pair(loop, server, *client);
  loop.end_turn();
  pair.below_server.receive(pair.below_client.sent());  // a good hello
  const std::string change_cipher_spec("\x14\x03\x03\x00\x01\x01", 6);
  size_t sent = 0;
  for (; !pair.server_user.heard("error") && sent < 200'000; sent += 6) {
    pair.below_server.receive(change_cipher_spec);
  }
  CHECK(sent < 70'000);
  CHECK(pair.handshakes.seen == std::vector{TlsHandshake::kProtocol});
}

TEST_CASE_FIXTURE(Fixture, "an instance's certificate is verified") {
  const auto error = [&](const TlsClient& with, const char* host, TlsServerPtr of = nullptr) {
    TlsPair pair(loop, of ? of : server, with, host);
    pair.pump();
    if (pair.client_user.heard("connect")) return std::string("connected");
    CHECK(pair.client_user.error.failure == Failure::kTlsCertificate);
    CHECK_FALSE(pair.client_user.error.possibly_sent);
    return std::string(pair.client_user.error.detail);
  };
  CHECK(error(*client, "a.example") == "connected");
  CHECK(error(*client, "192.0.2.1") == "connected");
  CHECK(error(*client, "b.example") == "the instance's certificate is for another name");
  CHECK(error(*client, "192.0.2.2") == "the instance's certificate is for another name");
  const auto named = make_client({.ca_file = authority.ca, .server_name = "a.example"});
  CHECK(error(*named, "192.0.2.2") == "connected");
  const TestAuthority other;
  CHECK(error(*make_client({.ca_file = other.ca}), "a.example") ==
        "the instance's certificate is of an unknown authority");
  CHECK(error(*make_client({.verify = false}), "b.example") == "connected");
  const auto old = authority.issue("old", "DNS:a.example", -1);
  CHECK(error(*client, "a.example",
              make_server({.certificates = {*Certificate::load(old.cert, old.key)}})) ==
        "the instance's certificate has expired");
}

TEST_CASE_FIXTURE(Fixture, "a client's certificate, required and described") {
  const auto asking = make_server({.client_cert = ClientCert::kRequire, .client_ca = authority.ca});
  const auto own = authority.issue("api, \"x\"", "DNS:c.example,URI:spiffe://t/a");
  const auto showing =
      make_client({.ca_file = authority.ca, .cert_file = own.cert, .key_file = own.key});
  TlsPair good(loop, asking, *showing);
  good.pump();
  const auto& peer = *good.server_side->tls();
  CHECK(peer.subject == R"(CN=api\, \"x\")");
  CHECK(
      peer.forwarded.ends_with(R"(;Subject="CN=api\\, \\\"x\\\"";URI=spiffe://t/a;DNS=c.example)"));
  CHECK(peer.forwarded.starts_with("Hash="));

  // In TLS 1.3 the client hears of it only when it reads on.
  TlsPair bad(loop, asking, *client);
  bad.pump();
  CHECK(bad.handshakes.seen == std::vector{TlsHandshake::kCertificate});
  CHECK(bad.client_user.error.failure == Failure::kTlsCertificate);
  CHECK(bad.client_user.error.possibly_sent);
}

TEST_CASE_FIXTURE(Fixture, "sessions are resumed, with the current and the last ticket key") {
  const auto session = std::make_shared<TlsSession>();
  const auto resumes = [&](const TlsServerPtr& with) {
    TlsPair pair(loop, with, *client, "a.example", session);
    pair.pump();
    REQUIRE(pair.client_user.heard("connect"));
    return pair.handshakes.seen.front() == TlsHandshake::kResumed;
  };
  CHECK_FALSE(resumes(server));
  CHECK(resumes(server));
  const auto next = make_server({});
  CHECK(resumes(next));  // after a reload
  CHECK(resumes(next));
  CHECK(resumes(server));
  tickets->rotate();
  CHECK(resumes(server));
  tickets->rotate();  // the ticket that it got was of the key before
  CHECK(resumes(server));
  tickets->rotate();
  tickets->rotate();
  CHECK_FALSE(resumes(server));
  CHECK(resumes(server));
  // Never under other rules about certificates.
  CHECK_FALSE(
      resumes(make_server({.client_cert = ClientCert::kRequest, .client_ca = authority.ca})));
}

namespace {

// A client that does what ours would not.
class RawClient {
 public:
  explicit RawClient(Loop& loop, lictor::testing::FakeTransport& below, int version = 0)
      : loop_(loop), below_(below), context_(SSL_CTX_new(TLS_client_method())) {
    if (version != 0) SSL_CTX_set_max_proto_version(context_, version);
    ssl_ = SSL_new(context_);
    SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_);
    for (int i = 0; i < 4; ++i) {
      SSL_do_handshake(ssl_);
      exchange();
    }
    REQUIRE(SSL_is_init_finished(ssl_) == 1);
  }
  ~RawClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  SSL* ssl() { return ssl_; }
  std::string take() {
    char* data = nullptr;
    const long size = BIO_get_mem_data(SSL_get_wbio(ssl_), &data);
    std::string bytes(data, static_cast<size_t>(size));
    (void)BIO_reset(SSL_get_wbio(ssl_));
    return bytes;
  }
  void exchange() {
    below_.receive(take());
    loop_.end_turn();
    const std::string back = below_.sent();
    BIO_write(SSL_get_rbio(ssl_), back.data(), static_cast<int>(back.size()));
  }

 private:
  Loop& loop_;
  lictor::testing::FakeTransport& below_;
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "key updates are fine, a flood of them is not") {
  lictor::testing::FakeTransport below(loop);
  NoteTaker user;
  auto side = lictor::Tls::accept(loop, below.handle(), server, nullptr);
  side->set_user(&user);
  side->resume();
  RawClient raw(loop, below);
  for (int i = 0; i < 1000 && !user.heard("error"); ++i) {
    SSL_key_update(raw.ssl(), SSL_KEY_UPDATE_REQUESTED);
    REQUIRE(SSL_write(raw.ssl(), "x", 1) == 1);
    raw.exchange();
    if (i == 10) CHECK(user.text == std::string(11, 'x'));
  }
  CHECK(user.heard("error"));
  CHECK(user.text.size() < 300);
}

TEST_CASE_FIXTURE(Fixture, "renegotiation is refused, and asked for often it ends the connection") {
  lictor::testing::FakeTransport below(loop);
  NoteTaker user;
  auto side = lictor::Tls::accept(loop, below.handle(), server, nullptr);
  side->set_user(&user);
  side->resume();
  RawClient raw(loop, below, TLS1_2_VERSION);
  SSL_renegotiate(raw.ssl());
  SSL_do_handshake(raw.ssl());
  raw.exchange();
  SSL_do_handshake(raw.ssl());
  CHECK(SSL_is_init_finished(raw.ssl()) == 0);
  CHECK(user.text.empty());
}

TEST_CASE_FIXTURE(Fixture, "certificates: names, and what is wrong with files") {
  const auto names = [&](const char* common, const char* alternative) {
    const auto files = authority.issue(common, alternative);
    return (*Certificate::load(files.cert, files.key))->names();
  };
  using Names = std::vector<std::string>;
  CHECK(names("cn.example", "DNS:A.example,DNS:*.b.example") == Names{"a.example", "*.b.example"});
  CHECK(names("CN.example", "") == Names{"cn.example"});
  CHECK(names("cn.example", "IP:192.0.2.1").empty());

  const auto one = authority.issue("one", "DNS:one");
  const auto two = authority.issue("two", "DNS:two");
  const auto wrong = [](const std::string& cert, const std::string& key) {
    const auto loaded = Certificate::load(cert, key);
    return loaded ? std::string("good") : loaded.error();
  };
  CHECK(wrong(one.cert, one.key) == "good");
  CHECK(wrong(one.cert, two.key) == two.key + ": is not the key of the certificate in " + one.cert);
  CHECK(wrong("/nowhere/x.pem", one.key) == "/nowhere/x.pem: No such file or directory");
  CHECK(wrong(one.key, one.key) == one.key + ": has no PEM certificate in it");
  CHECK(wrong(one.cert, one.cert) == one.cert + ": has no PEM private key in it");
  CHECK(wrong("/", one.key) == "/: not a file");
  const std::string broken = authority.folder().put(
      "broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  CHECK(wrong(broken, one.key) == broken + ": its certificate can't be read");
}
