// libcurl on a real loop against a real server: what the fake fetcher of the other tests stands
// for.
#include "control/http_client.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace lictor;

namespace {

// Answers each request on a connection with what is scripted for its path; "" = never.
class Server {
 public:
  static constexpr auto kClose = "close";  // without an answer
  using Script = std::map<std::string, std::string>;

  explicit Server(Script script, const std::string& unix_path = {}) : script_(std::move(script)) {
    if (unix_path.empty()) {
      fd_ = socket(AF_INET, SOCK_STREAM, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof address;
      REQUIRE(bind(fd_, reinterpret_cast<sockaddr*>(&address), size) == 0);
      getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
      url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    } else {
      fd_ = socket(AF_UNIX, SOCK_STREAM, 0);
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      unix_path.copy(address.sun_path, sizeof address.sun_path - 1);
      unlink(unix_path.c_str());
      REQUIRE(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
      url_ = "http://localhost";
    }
    listen(fd_, 64);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~Server() {
    shutdown(fd_, SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : clients_) shutdown(fd, SHUT_RDWR);
    }
    for (auto& thread : threads_) thread.join();
    for (const int fd : clients_) close(fd);
    close(fd_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  const std::string& url() const { return url_; }
  size_t connections() const { return count_; }
  size_t requests() const { return requests_; }
  std::string last_request() {
    const std::lock_guard lock(mutex_);
    return last_request_;
  }

 private:
  void accept_all() {
    while (true) {
      const int client = accept(fd_, nullptr, nullptr);
      if (client < 0) return;
      ++count_;
      const std::lock_guard lock(mutex_);
      clients_.push_back(client);
      threads_.emplace_back([this, client] { serve(client); });
    }
  }
  void serve(int client) {
    std::string in;
    char buffer[4096];
    while (true) {
      const ssize_t got = recv(client, buffer, sizeof buffer, 0);
      if (got <= 0) return;
      in.append(buffer, static_cast<size_t>(got));
      const size_t end = in.find("\r\n\r\n");
      if (end == std::string::npos) continue;
      const std::string path =
          in.substr(in.find(' ') + 1, in.find(' ', in.find(' ') + 1) - in.find(' ') - 1);
      {
        const std::lock_guard lock(mutex_);
        last_request_ = in;
      }
      in.clear();
      ++requests_;
      const auto answer = script_.find(path);
      if (answer == script_.end() || answer->second.empty()) continue;
      if (answer->second == kClose) {
        shutdown(client, SHUT_RDWR);
        return;
      }
      send(client, answer->second.data(), answer->second.size(), MSG_NOSIGNAL);
      if (answer->second.find("keep-alive") == std::string::npos) shutdown(client, SHUT_RDWR);
    }
  }

  const Script script_;
  int fd_ = -1;
  std::string url_;
  std::atomic<size_t> requests_{0};
  std::atomic<size_t> count_{0};
  std::mutex mutex_;
  std::string last_request_;
  std::vector<int> clients_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

std::string keep(const std::string& body, const std::string& fields = "") {
  return "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n" + fields +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

struct Bench {
  explicit Bench(HttpClientOptions options = {}) {
    uv_loop_init(&loop);
    client = std::make_unique<HttpClient>(&loop, std::move(options));
  }
  ~Bench() {
    fetches.clear();
    client.reset();
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&loop) == 0);  // nothing was left behind
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void ask(HttpRequest request) {
    fetches.push_back(client->fetch(std::move(request), [this](HttpResponse response) {
      responses.push_back(std::move(response));
    }));
  }
  void ask(const std::string& url) {
    HttpRequest request;
    request.url = url;
    ask(std::move(request));
  }
  HttpResponse get(const std::string& url) {
    ask(url);
    return next();
  }
  HttpResponse next() {
    const size_t before = taken++;
    while (responses.size() <= before) uv_run(&loop, UV_RUN_ONCE);
    return responses[before];
  }

  uv_loop_t loop{};
  std::unique_ptr<HttpClient> client;
  std::vector<std::unique_ptr<Fetch>> fetches;
  std::vector<HttpResponse> responses;
  size_t taken = 0;
};

}  // namespace

TEST_CASE("an answer with its headers; the connection is used again") {
  Server server({{"/a", "HTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n" +
                            keep("hello", "X-Consul-Index:  7 \r\nX-EMPTY:\r\n")}});
  Bench b;
  for (int i = 0; i < 5; ++i) {
    const auto response = b.get(server.url() + "/a");
    CHECK(response.status == 200);
    CHECK(response.error.empty());
    CHECK(response.body == "hello");
    CHECK(response.header("x-consul-index") == "7");
    CHECK(response.headers.contains("x-empty"));
    CHECK_FALSE(response.headers.contains("x-hint"));
  }
  CHECK(server.connections() == 1);
  CHECK(b.client->connections() == 1);
}

TEST_CASE("a method with a body and headers") {
  Server server({{"/a", keep("")}});
  Bench b;
  HttpRequest request;
  request.method = "PUT";
  request.url = server.url() + "/a";
  request.headers = {"X-Consul-Token: t", "Content-Type: application/json"};
  request.body = R"({"a":1})";
  b.ask(request);
  CHECK(b.next().status == 200);
  const auto sent = server.last_request();
  CHECK(sent.starts_with("PUT /a HTTP/1.1\r\n"));
  CHECK(sent.find("X-Consul-Token: t\r\n") != std::string::npos);
  CHECK(sent.find("Content-Length: 7\r\n") != std::string::npos);
  CHECK(sent.find("Expect:") == std::string::npos);
}

TEST_CASE("what is not a whole answer is an error") {
  Server server({{"/cut", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"},
                 {"/chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"},
                 {"/garbage", "SSH-2.0-OpenSSH\r\n\r\n"},
                 {"/head", "HTTP/1.1 200 OK\r\nX-Con"}});
  Bench b;
  for (const std::string path : {"/head", "/cut", "/chunks", "/garbage"}) {
    const auto response = b.get(server.url() + path);
    CAPTURE(path);
    CHECK(response.status == 0);
    CHECK_FALSE(response.error.empty());
    CHECK_FALSE(response.timed_out);
  }
  CHECK(b.client->connections() == 0);
  CHECK_FALSE(b.get("http://127.0.0.1:1/").error.empty());
  CHECK_FALSE(b.get("file:///etc/passwd").error.empty());
  CHECK_FALSE(b.get("not a url").error.empty());
}

TEST_CASE("an answer beyond the bound is an error, one at the bound is not") {
  Server server({{"/a", keep(std::string(1000, 'x'))}});
  Bench b;
  HttpRequest request;
  request.url = server.url() + "/a";
  request.max_body = 999;
  b.ask(request);
  CHECK(b.next().error == "answer larger than 999 bytes");
  request.max_body = 1000;
  b.ask(request);
  CHECK(b.next().body.size() == 1000);
}

TEST_CASE("a request that takes too long is given up") {
  Server server(Server::Script{{"/hang", ""}});
  Bench b;
  HttpRequest request;
  request.url = server.url() + "/hang";
  request.timeout = Millis(20);
  b.ask(request);
  CHECK(b.next().timed_out);
  CHECK(b.client->connections() == 0);
}

TEST_CASE("a dropped request never calls back, and its connection closes") {
  Server server({{"/hang", ""}, {"/a", keep("x")}});
  Bench b;
  b.ask(server.url() + "/hang");
  while (server.last_request().empty()) uv_run(&b.loop, UV_RUN_NOWAIT);
  b.fetches.clear();
  CHECK(b.get(server.url() + "/a").body == "x");
  CHECK(b.responses.size() == 1);
  CHECK(b.client->connections() == 1);
  b.ask(server.url() + "/a");
  b.fetches.clear();  // before it was even sent
}

TEST_CASE("never more connections than allowed; the others wait their turn") {
  Server server({{"/a", keep("x")}, {"/hang", ""}});
  HttpClientOptions options;
  options.max_connections = 2;
  Bench b(options);
  for (int i = 0; i < 20; ++i) b.ask(server.url() + "/a");
  for (int i = 0; i < 20; ++i) {
    CHECK(b.next().body == "x");
    CHECK(b.client->connections() <= 2);
  }
  CHECK(server.connections() <= 2);
}

TEST_CASE("callbacks may ask again, drop their own request and drop others") {
  Server server({{"/a", keep("x")}, {"/hang", ""}});
  Bench b;
  std::unique_ptr<Fetch> own;
  std::unique_ptr<Fetch> other;
  int called = 0;
  const std::function<void(HttpResponse)> again = [&](const HttpResponse&) {
    other.reset();
    own.reset();
    HttpRequest request;
    request.url = server.url() + "/a";
    if (++called < 5) own = b.client->fetch(request, again);
  };
  HttpRequest request;
  request.url = server.url() + "/hang";
  other = b.client->fetch(request, again);
  request.url = server.url() + "/a";
  own = b.client->fetch(request, again);
  while (called < 5) uv_run(&b.loop, UV_RUN_ONCE);
  CHECK(called == 5);
}

TEST_CASE("a client may go with requests on their way") {
  Server server({{"/hang", ""}, {"/a", keep("x")}});
  Bench b;
  (void)b.get(server.url() + "/a");
  for (int i = 0; i < 5; ++i) b.ask(server.url() + "/hang");
  for (int i = 0; i < 10; ++i) uv_run(&b.loop, UV_RUN_NOWAIT);
}

TEST_CASE("an agent on a unix socket") {
  const std::string path = "/tmp/lictor-http-" + std::to_string(getpid()) + ".sock";
  Server server({{"/v1/x", keep("x")}}, path);
  HttpClientOptions options;
  options.unix_socket = path;
  Bench b(options);
  CHECK(b.get(server.url() + "/v1/x").body == "x");
  unlink(path.c_str());
}

TEST_CASE("a server that went away while idle is met again") {
  HttpClientOptions options;
  Bench b(options);
  Server server(Server::Script{
      {"/a", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"}});  // closes after each
  for (int i = 0; i < 5; ++i) CHECK(b.get(server.url() + "/a").body == "x");
}

TEST_CASE("a request whose used connection ends is not sent again") {
  Server server({{"/a", keep("x")}, {"/gone", Server::kClose}});
  Bench b;
  CHECK(b.get(server.url() + "/a").body == "x");
  HttpRequest request;
  request.url = server.url() + "/gone";
  request.only_once = true;
  b.ask(request);
  const auto response = b.next();
  CHECK(response.status == 0);
  CHECK(response.error == "connection closed before an answer");
  CHECK(server.requests() == 2);
  CHECK(b.get(server.url() + "/a").body == "x");
}
