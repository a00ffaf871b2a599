// HTTP as the control plane uses it: one request, one whole answer, cancelled by dropping the
// handle. The real one is http_client.h (libcurl); tests have a scripted one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"

namespace lictor {

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::string body;
  Millis timeout{0};             // of the whole exchange; 0 = none
  size_t max_body = 64UL << 20;  // a larger answer is an error
  // A used connection that ends without an answer is an error, and not tried again on another.
  bool only_once = false;
};

struct HttpResponse {
  int status = 0;                              // 0 = no answer: `error` says why
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string error;  // empty = a whole answer came, whatever its status
  bool timed_out = false;
  bool multiplexed = false;  // came over a connection that carries many at once (HTTP/2)

  std::string_view header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string_view() : std::string_view(found->second);
  }
};

// A request on its way. Dropping it cancels the request; its callback is never called then.
class Fetch {
 public:
  virtual ~Fetch() = default;
};

class Fetcher {
 public:
  virtual ~Fetcher() = default;
  // `done` is called once, from the loop, never inside fetch(). It may drop the handle, start
  // other requests and drop theirs. Handles die before their fetcher.
  [[nodiscard]] virtual std::unique_ptr<Fetch> fetch(HttpRequest request,
                                                     std::function<void(HttpResponse)> done) = 0;
  virtual size_t connections() const = 0;  // open now
};

}  // namespace lictor
