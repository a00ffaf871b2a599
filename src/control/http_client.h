// HTTP requests by libcurl's multi interface, driven by the uv loop: curl says which sockets it
// wants to hear of and when it wants to be woken; uv_poll and one uv_timer tell it. Connections are
// kept and used again, never more than `max_connections` at once; requests beyond wait for one.
// With https, HTTP/2 carries up to 100 requests on each, if the peer speaks it.
// Redirects are not followed and proxies of the environment are not used: what is sent carries a
// token.
#pragma once

#include "control/fetcher.h"

using uv_loop_t = struct uv_loop_s;

namespace lictor {

struct HttpClientOptions {
  std::string unix_socket;  // not empty: connected to instead of the URL's host
  std::string ca_file;      // either one replaces the system's authorities
  std::string ca_path;
  std::string cert_file;  // with the files read again for every new connection
  std::string key_file;
  std::string tls_server_name;  // for SNI and verification instead of the URL's host
  bool tls_verify = true;
  uint32_t max_connections = 100;
  Millis connect_timeout{5'000};
};

class HttpClient final : public Fetcher {
 public:
  HttpClient(uv_loop_t* loop, HttpClientOptions options);
  // Not from inside a callback. The loop must run once more, so that handles can close.
  ~HttpClient() override;
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  [[nodiscard]] std::unique_ptr<Fetch> fetch(HttpRequest request,
                                             std::function<void(HttpResponse)> done) override;
  size_t connections() const override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lictor
