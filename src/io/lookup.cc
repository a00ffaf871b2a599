#include "io/lookup.h"

#include <sys/socket.h>
#include <uv.h>

#include <utility>

#include "io/loop.h"

namespace lictor {
namespace {

struct Request {
  uv_getaddrinfo_t uv;
  std::weak_ptr<LookupAnswer> answer;
};

void on_found(uv_getaddrinfo_t* uv, int status, addrinfo* found) {
  const std::unique_ptr<Request> request(static_cast<Request*>(uv->data));
  Loop& loop = *static_cast<Loop*>(uv->loop->data);
  std::vector<IpAddress> addresses;
  for (const addrinfo* one = status == 0 ? found : nullptr; one != nullptr; one = one->ai_next) {
    if (one->ai_family == AF_INET || one->ai_family == AF_INET6) {
      addresses.push_back(IpAddress::from(one->ai_addr));
    }
  }
  uv_freeaddrinfo(found);
  if (const auto answer = request->answer.lock()) (*answer)(std::move(addresses));
  loop.end_turn();
}

}  // namespace

std::shared_ptr<void> look_up(Loop& loop, const std::string& name, LookupAnswer answer) {
  auto handle = std::make_shared<LookupAnswer>(std::move(answer));
  auto request = std::make_unique<Request>();
  request->answer = handle;
  request->uv.data = request.get();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  if (uv_getaddrinfo(loop.uv(), &request->uv, on_found, name.c_str(), nullptr, &hints) != 0) {
    return nullptr;
  }
  (void)request.release();  // on_found takes it back
  return handle;
}

}  // namespace lictor
