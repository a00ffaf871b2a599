#include "control/http_client.h"

#include <curl/curl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <deque>
#include <new>
#include <unordered_map>
#include <utility>

#include "base/version.h"

namespace lictor {
namespace {

constexpr size_t kMaxHeaders = 100;
constexpr size_t kMaxHeaderBytes = 8192;

// A peer that vanished without a word is noticed in about 30 s, so that a blocking query of
// minutes doesn't wait for it. Options that a unix socket lacks fail, which is fine.
void watch_for_dead_peers(curl_socket_t fd) {
  const auto set = [fd](int level, int name, int value) {
    (void)setsockopt(fd, level, name, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 15);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 30'000);
}

std::string url_part(CURLU* url, CURLUPart part, unsigned flags) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  std::string out = text;
  curl_free(text);
  return out;
}

// Another name in the URL for the same peer, and what CURLOPT_CONNECT_TO needs to reach it.
struct Renamed {
  std::string url;
  std::string connect_to;
};
Renamed rename_host(const std::string& url, const std::string& name) {
  Renamed out{url, {}};
  CURLU* parsed = curl_url();
  if (parsed != nullptr && curl_url_set(parsed, CURLUPART_URL, url.c_str(), 0) == CURLUE_OK) {
    const auto host = url_part(parsed, CURLUPART_HOST, 0);
    const auto port = url_part(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    if (curl_url_set(parsed, CURLUPART_HOST, name.c_str(), 0) == CURLUE_OK) {
      out.url = url_part(parsed, CURLUPART_URL, 0);
      out.connect_to = name + ":" + port + ":" + host + ":" + port;
    }
  }
  curl_url_cleanup(parsed);
  return out;
}

}  // namespace

class HttpClient::Impl {
 public:
  Impl(uv_loop_t* loop, HttpClientOptions options);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  uint64_t begin(const HttpRequest& request, std::function<void(HttpResponse)> done);
  void cancel(uint64_t id);
  size_t connections() const { return connections_; }

 private:
  struct Transfer {
    Impl* client = nullptr;
    uint64_t id = 0;
    CURL* easy = nullptr;
    curl_slist* headers = nullptr;
    curl_slist* connect_to = nullptr;
    size_t max_body = 0;
    bool too_large = false;
    bool only_once = false;
    bool added = false;  // curl has it
    bool sent = false;
    bool sent_again = false;
    bool whole_head = false;  // curl is content with a head that just ends
    HttpResponse response;
    std::function<void(HttpResponse)> done;
    std::array<char, CURL_ERROR_SIZE> error{};

    Transfer() = default;
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;
    ~Transfer() {
      curl_easy_cleanup(easy);
      curl_slist_free_all(headers);
      curl_slist_free_all(connect_to);
    }
  };
  struct Poll {
    uv_poll_t uv;
    Impl* client;
    curl_socket_t fd;
  };

  template <class T>
  static void set(Transfer& transfer, CURLoption option, T value) {
    curl_easy_setopt(transfer.easy, option, value);
  }
  void prepare(Transfer& transfer, const HttpRequest& request);
  void prepare_tls(Transfer& transfer) const;
  int on_socket_wanted(curl_socket_t fd, int what, Poll* poll);
  void on_timer_wanted(long ms);
  void act(curl_socket_t fd, int events);
  void finish(CURL* easy, CURLcode code);
  void add_waiting();
  void remove(const Transfer& transfer);

  static size_t on_header(char* data, size_t size, size_t count, void* transfer);
  static int before_sending(void* transfer, char*, char*, int, int);
  static size_t on_body(char* data, size_t size, size_t count, void* transfer);
  static curl_socket_t open_socket(void* client, curlsocktype purpose, curl_sockaddr* address);
  static int close_socket(void* client, curl_socket_t fd);

  const HttpClientOptions options_;
  uv_loop_t* const loop_;
  const std::string user_agent_;
  CURLM* multi_;
  uv_timer_t* timer_;
  size_t connections_ = 0;
  uint64_t last_id_ = 0;
  // With HTTP/2, or as long as nobody knows, the next request waits until this one has a
  // connection: curl would open one for each that finds the others full.
  bool one_by_one_ = true;
  size_t unsent_ = 0;             // of those that curl has
  std::deque<uint64_t> waiting_;  // to be added
  std::unordered_map<uint64_t, std::unique_ptr<Transfer>> transfers_;
};

HttpClient::Impl::Impl(uv_loop_t* loop, HttpClientOptions options)
    : options_(std::move(options)),
      loop_(loop),
      user_agent_("lictor/" + std::string(version())),
      timer_(new uv_timer_t) {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  multi_ = global == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi_ == nullptr) throw std::bad_alloc();
  uv_timer_init(loop_, timer_);
  timer_->data = this;

  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(
      multi_, CURLMOPT_SOCKETFUNCTION,
      +[](CURL*, curl_socket_t fd, int what, void* client, void* poll) {
        return static_cast<Impl*>(client)->on_socket_wanted(fd, what, static_cast<Poll*>(poll));
      });
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(
      multi_, CURLMOPT_TIMERFUNCTION, +[](CURLM*, long ms, void* client) {
        static_cast<Impl*>(client)->on_timer_wanted(ms);
        return 0;
      });
  const long most = std::max<long>(1, options_.max_connections);
  curl_multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, most);
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, most);
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, long{CURLPIPE_MULTIPLEX});
}

HttpClient::Impl::~Impl() {
  for (auto& [id, transfer] : transfers_) remove(*transfer);
  transfers_.clear();
  curl_multi_cleanup(multi_);  // closes the connections, and with them their polls
  uv_close(reinterpret_cast<uv_handle_t*>(timer_),
           [](uv_handle_t* uv) { delete reinterpret_cast<uv_timer_t*>(uv); });
}

uint64_t HttpClient::Impl::begin(const HttpRequest& request,
                                 std::function<void(HttpResponse)> done) {
  auto transfer = std::make_unique<Transfer>();
  transfer->client = this;
  transfer->id = ++last_id_;
  transfer->only_once = request.only_once;
  transfer->max_body = request.max_body;
  transfer->done = std::move(done);
  transfer->easy = curl_easy_init();
  if (transfer->easy == nullptr) throw std::bad_alloc();
  prepare(*transfer, request);
  const uint64_t id = transfer->id;
  transfers_.emplace(id, std::move(transfer));
  waiting_.push_back(id);
  add_waiting();
  return id;
}

void HttpClient::Impl::add_waiting() {
  while (!waiting_.empty() && (unsent_ == 0 || !one_by_one_)) {
    const auto found = transfers_.find(waiting_.front());
    waiting_.pop_front();
    if (found == transfers_.end()) continue;  // cancelled
    Transfer& transfer = *found->second;
    if (curl_multi_add_handle(multi_, transfer.easy) != CURLM_OK) throw std::bad_alloc();
    transfer.added = true;
    ++unsent_;
  }
}

// Takes it away from curl.
void HttpClient::Impl::remove(const Transfer& transfer) {
  if (!transfer.added) return;
  curl_multi_remove_handle(multi_, transfer.easy);
  if (!transfer.sent) --unsent_;
}

void HttpClient::Impl::cancel(uint64_t id) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end()) return;
  remove(*found->second);
  transfers_.erase(found);
  add_waiting();
}

void HttpClient::Impl::prepare(Transfer& t, const HttpRequest& request) {
  std::string url = request.url;
  if (!options_.tls_server_name.empty() && url.starts_with("https:")) {
    auto renamed = rename_host(url, options_.tls_server_name);
    url = std::move(renamed.url);
    if (options_.unix_socket.empty()) {
      t.connect_to = curl_slist_append(nullptr, renamed.connect_to.c_str());
      set(t, CURLOPT_CONNECT_TO, t.connect_to);
    }
  }
  set(t, CURLOPT_URL, url.c_str());
  set(t, CURLOPT_PRIVATE, &t);
  set(t, CURLOPT_ERRORBUFFER, t.error.data());
  set(t, CURLOPT_NOSIGNAL, 1L);
  set(t, CURLOPT_PROXY, "");
  set(t, CURLOPT_PROTOCOLS_STR, "http,https");
  const bool tls = url.starts_with("https:");
  one_by_one_ = one_by_one_ && tls;
  set(t, CURLOPT_HTTP_VERSION, long{tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1});
  set(t, CURLOPT_USERAGENT, user_agent_.c_str());
  set(t, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
  set(t, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  if (!options_.unix_socket.empty()) {
    set(t, CURLOPT_UNIX_SOCKET_PATH, options_.unix_socket.c_str());
  }
  prepare_tls(t);

  set(t, CURLOPT_PREREQFUNCTION, &before_sending);
  set(t, CURLOPT_PREREQDATA, &t);
  set(t, CURLOPT_HEADERFUNCTION, &on_header);
  set(t, CURLOPT_HEADERDATA, &t);
  set(t, CURLOPT_WRITEFUNCTION, &on_body);
  set(t, CURLOPT_WRITEDATA, &t);
  set(t, CURLOPT_OPENSOCKETFUNCTION, &open_socket);
  set(t, CURLOPT_OPENSOCKETDATA, this);
  set(t, CURLOPT_CLOSESOCKETFUNCTION, &close_socket);
  set(t, CURLOPT_CLOSESOCKETDATA, this);

  if (request.method != "GET" || !request.body.empty()) {
    set(t, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
    set(t, CURLOPT_COPYPOSTFIELDS, request.body.c_str());
    set(t, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  t.headers = curl_slist_append(nullptr, "Expect:");  // no waiting for 100 Continue
  for (const auto& line : request.headers) t.headers = curl_slist_append(t.headers, line.c_str());
  set(t, CURLOPT_HTTPHEADER, t.headers);
}

void HttpClient::Impl::prepare_tls(Transfer& t) const {
  const auto or_null = [](const std::string& s) { return s.empty() ? nullptr : s.c_str(); };
  set(t, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  set(t, CURLOPT_SSL_VERIFYPEER, options_.tls_verify ? 1L : 0L);
  set(t, CURLOPT_SSL_VERIFYHOST, options_.tls_verify ? 2L : 0L);
  if (!options_.ca_file.empty() || !options_.ca_path.empty()) {
    // curl keeps its built-in one of the two unless both are set.
    set(t, CURLOPT_CAINFO, or_null(options_.ca_file));
    set(t, CURLOPT_CAPATH, or_null(options_.ca_path));
  }
  if (!options_.cert_file.empty()) set(t, CURLOPT_SSLCERT, options_.cert_file.c_str());
  if (!options_.key_file.empty()) set(t, CURLOPT_SSLKEY, options_.key_file.c_str());
}

int HttpClient::Impl::on_socket_wanted(curl_socket_t fd, int what, Poll* poll) {
  if (what == CURL_POLL_REMOVE) {
    if (poll == nullptr) return 0;
    uv_poll_stop(&poll->uv);  // before curl closes the socket, which it does next
    uv_close(reinterpret_cast<uv_handle_t*>(&poll->uv),
             [](uv_handle_t* uv) { delete static_cast<Poll*>(uv->data); });
    curl_multi_assign(multi_, fd, nullptr);
    return 0;
  }
  if (poll == nullptr) {
    auto fresh = std::make_unique<Poll>();
    fresh->client = this;
    fresh->fd = fd;
    if (uv_poll_init_socket(loop_, &fresh->uv, fd) != 0) return -1;
    poll = fresh.release();
    poll->uv.data = poll;
    curl_multi_assign(multi_, fd, poll);
  }
  const int events =
      (what != CURL_POLL_OUT ? UV_READABLE : 0) | (what != CURL_POLL_IN ? UV_WRITABLE : 0);
  uv_poll_start(&poll->uv, events, [](uv_poll_t* uv, int status, int seen) {
    const auto* p = static_cast<Poll*>(uv->data);
    const int flags = (status < 0 ? CURL_CSELECT_ERR : 0) |
                      ((seen & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0) |
                      ((seen & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0);
    p->client->act(p->fd, flags);
  });
  return 0;
}

void HttpClient::Impl::on_timer_wanted(long ms) {
  if (ms < 0) {
    uv_timer_stop(timer_);
    return;
  }
  uv_update_time(loop_);
  uv_timer_start(
      timer_, [](uv_timer_t* uv) { static_cast<Impl*>(uv->data)->act(CURL_SOCKET_TIMEOUT, 0); },
      static_cast<uint64_t>(ms), 0);
}

void HttpClient::Impl::act(curl_socket_t fd, int events) {
  int running = 0;
  curl_multi_socket_action(multi_, fd, events, &running);
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg == CURLMSG_DONE) finish(message->easy_handle, message->data.result);
  }
  add_waiting();
}

void HttpClient::Impl::finish(CURL* easy, CURLcode code) {
  Transfer* ended = nullptr;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &ended);
  remove(*ended);
  auto node = transfers_.extract(ended->id);
  const std::unique_ptr<Transfer> transfer = std::move(node.mapped());

  HttpResponse response = std::move(transfer->response);
  if (code == CURLE_OK && !transfer->whole_head) {
    response.error = "answer cut short";
  } else if (code == CURLE_OK) {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    response.status = static_cast<int>(status);
    long version = 0;
    curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    response.multiplexed = version >= CURL_HTTP_VERSION_2_0;
    one_by_one_ = response.multiplexed;
  } else {
    response.status = 0;
    response.timed_out = code == CURLE_OPERATION_TIMEDOUT;
    response.error = transfer->too_large
                         ? "answer larger than " + std::to_string(transfer->max_body) + " bytes"
                     : transfer->sent_again       ? "connection closed before an answer"
                     : transfer->error[0] != '\0' ? std::string(transfer->error.data())
                                                  : std::string(curl_easy_strerror(code));
  }
  transfer->done(std::move(response));
}

size_t HttpClient::Impl::on_header(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  auto& headers = transfer.response.headers;
  std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) {
    headers.clear();  // the one before was a 1xx
    transfer.whole_head = false;
  }
  if (line == "\r\n" || line == "\n") transfer.whole_head = true;
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || line.size() > kMaxHeaderBytes ||
      headers.size() >= kMaxHeaders) {
    return size * count;
  }
  std::string name(line.substr(0, colon));
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  std::string_view value = line.substr(colon + 1);
  constexpr std::string_view kSpace = " \t\r\n";
  value.remove_prefix(std::min(value.find_first_not_of(kSpace), value.size()));
  value = value.substr(0, value.find_last_not_of(kSpace) + 1);
  headers[std::move(name)] = value;
  return size * count;
}

// When a used connection ends without an answer, curl would send the same request once more on
// another. It must not: an agent that restarted would keep a query with an old index waiting.
int HttpClient::Impl::before_sending(void* user, char*, char*, int, int) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (!transfer.sent) --transfer.client->unsent_;
  const bool again = std::exchange(transfer.sent, true);
  transfer.sent_again = again && transfer.only_once;
  return transfer.sent_again ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

size_t HttpClient::Impl::on_body(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  if (bytes > transfer.max_body - transfer.response.body.size()) {
    transfer.too_large = true;
    return 0;  // ends the transfer
  }
  transfer.response.body.append(data, bytes);
  return bytes;
}

curl_socket_t HttpClient::Impl::open_socket(void* client, curlsocktype, curl_sockaddr* address) {
  const int fd =
      socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
  if (fd < 0) return CURL_SOCKET_BAD;
  watch_for_dead_peers(fd);
  ++static_cast<Impl*>(client)->connections_;
  return fd;
}

int HttpClient::Impl::close_socket(void* client, curl_socket_t fd) {
  --static_cast<Impl*>(client)->connections_;
  return close(fd);
}

HttpClient::HttpClient(uv_loop_t* loop, HttpClientOptions options)
    : impl_(std::make_unique<Impl>(loop, std::move(options))) {}
HttpClient::~HttpClient() = default;

std::unique_ptr<Fetch> HttpClient::fetch(HttpRequest request,
                                         std::function<void(HttpResponse)> done) {
  class Handle final : public Fetch {
   public:
    Handle(Impl& client, uint64_t id) : client_(client), id_(id) {}
    ~Handle() override { client_.cancel(id_); }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;

   private:
    Impl& client_;
    uint64_t id_;
  };
  return std::make_unique<Handle>(*impl_, impl_->begin(request, std::move(done)));
}

size_t HttpClient::connections() const { return impl_->connections(); }

}  // namespace lictor
