#include "control/uv_lookup.h"

#include <sys/socket.h>
#include <uv.h>

#include <utility>

namespace lictor {
namespace {

struct Request {
  uv_getaddrinfo_t uv;
  std::weak_ptr<Resolver::Answer> answer;
};

void on_resolved(uv_getaddrinfo_t* uv, int status, addrinfo* found) {
  const std::unique_ptr<Request> request(static_cast<Request*>(uv->data));
  std::vector<IpAddress> addresses;
  for (const addrinfo* one = status == 0 ? found : nullptr; one != nullptr; one = one->ai_next) {
    if (one->ai_family == AF_INET || one->ai_family == AF_INET6) {
      addresses.push_back(IpAddress::from(one->ai_addr));
    }
  }
  uv_freeaddrinfo(found);
  if (const auto answer = request->answer.lock()) (*answer)(std::move(addresses));
}

}  // namespace

Resolver::Lookup uv_lookup(uv_loop_t* loop) {
  return [loop](const std::string& name, Resolver::Answer answer) -> std::shared_ptr<void> {
    auto handle = std::make_shared<Resolver::Answer>(std::move(answer));
    auto request = std::make_unique<Request>();
    request->answer = handle;
    request->uv.data = request.get();
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    if (uv_getaddrinfo(loop, &request->uv, on_resolved, name.c_str(), nullptr, &hints) == 0) {
      (void)request.release();  // on_resolved takes it back
    }
    return handle;
  };
}

}  // namespace lictor
