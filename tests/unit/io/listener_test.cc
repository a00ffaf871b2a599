#include "io/listener.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <string>

#include "base/log.h"
#include "io/sockets.h"

using lictor::bind_socket;
using lictor::Loop;
using lictor::socket_name;
using lictor::SocketAddress;
using lictor::testing::Door;
using lictor::testing::NoteTaker;
using lictor::testing::RawSocket;
using lictor::testing::run_a_little;
using lictor::testing::run_until;

TEST_CASE("connections come to the acceptor") {
  Loop loop;
  Door door(loop);
  CHECK(door.address().port() != 0);
  for (int i = 0; i < 3; ++i) door.visit();
  CHECK(door.accepted.size() == 3);
}

TEST_CASE("IPv6, where there is one") {
  if (const auto fd = bind_socket(*SocketAddress::parse("[::1]:0"), false)) {
    ::close(*fd);
    Loop loop;
    Door door(loop, "[::1]:0");
    const auto client = door.visit();
    CHECK(door.accepted[0]->peer().ip().to_string() == "::1");
  }
}

TEST_CASE("several listeners share an address, so that workers can") {
  Loop loop;
  Door first(loop);
  Door second(loop, first.address().to_string().c_str());
  CHECK(second.address().port() == first.address().port());
}

TEST_CASE("an exclusive address that another one serves is an error for people") {
  const auto other = bind_socket(*SocketAddress::parse("127.0.0.1:0"), true);
  REQUIRE(other);
  const RawSocket owner(*other);
  const SocketAddress address = socket_name(*other);
  REQUIRE(::listen(owner.fd(), 1) == 0);
  const auto taken = bind_socket(address, true);
  REQUIRE_FALSE(taken);
  CHECK(taken.error().starts_with(address.to_string() + ": "));
  CHECK(taken.error().find("in use") != std::string::npos);
  const auto shared = bind_socket(address, false);
  REQUIRE(shared);
  const RawSocket sharer(*shared);
}

TEST_CASE("an address that is not ours is an error for people") {
  for (const bool exclusive : {true, false}) {
    const auto bound = bind_socket(*SocketAddress::parse("192.0.2.1:0"), exclusive);
    REQUIRE_FALSE(bound);
    CHECK(bound.error().starts_with("192.0.2.1:0: "));
  }
}

TEST_CASE("a listener that closes takes in who is connected already") {
  Loop loop;
  Door door(loop);
  auto client = RawSocket::connect(door.address());
  client.send("hello");
  door.close();
  REQUIRE(door.accepted.size() == 1);
  NoteTaker user;
  door.accepted[0]->set_user(&user);
  door.accepted[0]->resume();
  REQUIRE(run_until(loop, [&] { return user.heard("read"); }));
  CHECK(user.text == "hello");
}

TEST_CASE("short of descriptors, a listener takes a rest and then who waited") {
  Loop loop;
  Door door(loop);
  const auto client = RawSocket::connect(door.address());
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const int next = ::dup(client.fd());
  ::close(next);
  const rlimit none{static_cast<rlim_t>(next), before.rlim_max};
  lictor::log::set_level(lictor::log::Level::kOff);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  run_a_little(loop);
  const size_t meanwhile = door.accepted.size();
  // It does not ask again and again: nothing wakes the loop up until the rest is over.
  const bool rests = uv_backend_timeout(loop.uv()) > 0;
  setrlimit(RLIMIT_NOFILE, &before);
  lictor::log::set_level(lictor::log::Level::kInfo);
  CHECK(meanwhile == 0);
  CHECK(rests);
  CHECK(run_until(loop, [&] { return door.accepted.size() == 1; }));
}

TEST_CASE("a closed listener refuses") {
  Loop loop;
  Door door(loop);
  door.close();
  run_a_little(loop);
  const RawSocket client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(::connect(client.fd(), door.address().raw(), door.address().length()) == -1);
  CHECK(errno == ECONNREFUSED);
}
