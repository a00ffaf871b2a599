#include "io/tcp.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <thread>

#include "io/sockets.h"

using lictor::Failure;
using lictor::Loop;
using lictor::SocketAddress;
using lictor::Tcp;
using lictor::Transport;
using lictor::TransportPtr;
using lictor::testing::Door;
using lictor::testing::NoteTaker;
using lictor::testing::RawSocket;
using lictor::testing::run_a_little;
using lictor::testing::run_until;

namespace {

// A connection: a raw socket at one end, a transport with its user at the other.
struct Line {
  Line() : door(loop), far(door.visit()), near(std::move(door.accepted.back())) {
    door.accepted.clear();
    near->set_user(&user);
    near->resume();
  }
  bool until(std::string_view event) {
    return run_until(loop, [&] { return user.heard(event); });
  }

  Loop loop;
  NoteTaker user;
  Door door;
  RawSocket far;
  TransportPtr near;
};

// Bytes whose order shows.
std::string pattern(size_t size) {
  std::string text;
  text.reserve(size + 8);
  for (size_t i = 0; text.size() < size; ++i) text += std::to_string(i % 10'007) + ",";
  text.resize(size);
  return text;
}

// Reads the far end to its end, on a thread of its own.
struct FarReader {
  explicit FarReader(RawSocket& socket)
      : thread([this, &socket] {
          while (last != "(end)" && last != "(reset)" && last != "(nothing)") {
            last = socket.receive();
            if (!last.starts_with('(')) text += last;
          }
        }) {}
  std::string text;
  std::string last;
  std::thread thread;
};

// An address that nobody listens on.
struct DeadEnd {
  DeadEnd() : fd(*lictor::bind_socket(*SocketAddress::parse("127.0.0.1:0"), false)) {}
  SocketAddress address() const { return lictor::socket_name(fd.fd()); }
  RawSocket fd;
};

}  // namespace

TEST_CASE("bytes go both ways") {
  Line line;
  line.far.send("hello");
  REQUIRE(line.until("read"));
  CHECK(line.user.text == "hello");
  line.near->write("world");
  run_a_little(line.loop);
  CHECK(line.far.receive() == "world");
  CHECK(line.near->peer().ip().to_string() == "127.0.0.1");
  CHECK(line.near->peer().port() != 0);
}

TEST_CASE("small writes wait for the end of the turn and go out together") {
  Line line;
  line.near->write("one ");
  line.near->output().append(std::string_view("two "));
  line.near->write("three");
  CHECK(line.near->queued() == 13);
  CHECK(line.far.receive_now() == "(nothing)");
  line.loop.end_turn();
  CHECK(line.near->queued() == 0);
  CHECK(line.far.receive() == "one two three");
}

TEST_CASE("what was queued goes before a large write") {
  Line line;
  FarReader reader(line.far);
  const std::string large = pattern(100'000);
  line.near->write("first ");
  line.near->write(large);
  line.near->write(" last");
  line.near->shutdown();
  line.loop.end_turn();
  run_until(line.loop, [&] { return line.near->queued() == 0; });
  reader.thread.join();
  CHECK(reader.text == "first " + large + " last");
  CHECK(reader.last == "(end)");
}

TEST_CASE("a reader that is slow stops the writer, and nothing is lost") {
  for (const size_t piece : {100, 5'000, 300'000}) {
    CAPTURE(piece);
    Line line;
    const std::string all = pattern(8'000'000);
    size_t sent = 0;
    const auto pump = [&] {
      while (sent < all.size()) {
        const auto next = std::string_view(all).substr(sent, piece);
        sent += next.size();
        if (!line.near->write(next)) return;
      }
      line.near->shutdown();
    };
    line.user.then = [&](std::string_view event) {
      if (event == "drain") {
        CHECK(line.near->queued() <= Transport::kLowMark);
        pump();
      }
    };
    pump();
    for (size_t before = 0; before != sent;) {
      before = sent;
      run_a_little(line.loop);
    }
    CHECK(sent < all.size());  // nobody reads: the kernel's buffers are full
    const size_t queued = line.near->queued();
    CHECK(queued > Transport::kLowMark);
    CHECK(queued < Transport::kHighMark + piece);
    FarReader reader(line.far);
    CHECK(run_until(line.loop, [&] { return sent == all.size() && line.near->queued() == 0; }));
    line.loop.end_turn();
    reader.thread.join();
    CHECK(reader.text == all);
    CHECK(reader.last == "(end)");
  }
}

TEST_CASE("shutdown ends our direction after the queue, not the peer's") {
  Line line;
  line.near->write("last words");
  line.near->shutdown();
  line.loop.end_turn();
  CHECK(line.far.receive() == "last words");
  CHECK(line.far.receive() == "(end)");
  line.far.send("still here");
  REQUIRE(line.until("read"));
  CHECK(line.user.text == "still here");
}

TEST_CASE("shutdown waits until the last byte of a long queue is out") {
  Line line;
  std::string all;
  while (line.near->queued() < 1'000'000) {
    all += pattern(100'000);
    line.near->write(std::string_view(all).substr(all.size() - 100'000));
    line.loop.end_turn();
  }
  line.near->shutdown();
  std::string got;
  std::string more;
  while (more != "(end)" && more != "(reset)") {
    run_a_little(line.loop);
    more = line.far.receive();
    if (!more.starts_with('(')) got += more;
  }
  CHECK(more == "(end)");
  CHECK((got == all));
  CHECK_FALSE(line.user.heard("error"));
}

TEST_CASE("the peer's end leaves ours open") {
  Line line;
  line.far.send("bye");
  line.far.end();
  REQUIRE(line.until("eof"));
  CHECK(line.user.events == "read eof ");
  line.near->write("answer");
  run_a_little(line.loop);
  CHECK(line.far.receive() == "answer");
  CHECK(line.user.events == "read eof ");
}

TEST_CASE("paused transports read nothing until resumed") {
  Line line;
  line.near->pause();
  line.near->pause();
  line.far.send("hello");
  run_a_little(line.loop);
  CHECK(line.user.events.empty());
  line.near->resume();
  line.near->resume();
  REQUIRE(line.until("read"));
  CHECK(line.user.text == "hello");
}

TEST_CASE("a pause from inside of a read holds what comes next") {
  Line line;
  line.user.then = [&](std::string_view) { line.near->pause(); };
  line.far.send("a");
  REQUIRE(line.until("read"));
  line.far.send("b");
  run_a_little(line.loop);
  CHECK(line.user.text == "a");
}

TEST_CASE("a reset by the peer is an error, told outside of the user's calls") {
  Line line;
  line.far.reset();
  REQUIRE(line.until("error"));
  CHECK(line.user.error.failure == Failure::kUpstreamReset);
  CHECK(line.user.events == "error ");
  CHECK(line.near->write("more"));
  line.near->shutdown();
  line.near->resume();
  run_a_little(line.loop);
  CHECK(line.user.events == "error ");
}

TEST_CASE("a write that fails tells so when the turn ends") {
  Line line;
  line.near->pause();
  line.far.reset();
  run_a_little(line.loop);
  const std::string large(1'000'000, 'x');
  bool inside = true;
  line.user.then = [&](std::string_view) { CHECK_FALSE(inside); };
  for (int i = 0; i < 3; ++i) line.near->write(large);
  inside = false;
  line.loop.end_turn();
  CHECK(line.until("error"));
  CHECK(line.near->queued() == 0);
}

TEST_CASE("close ends in order") {
  Line line;
  line.near.reset();
  run_a_little(line.loop);
  CHECK(line.far.receive() == "(end)");
  CHECK(line.user.events.empty());
}

TEST_CASE("a reset right behind bytes is an error, not their end") {
  Line line;
  line.near->resume();
  line.far.send("half");
  line.far.reset();
  REQUIRE(run_until(line.loop, [&] { return line.user.heard("error") || line.user.heard("eof"); }));
  CHECK(line.user.text == "half");
  CHECK(line.user.heard("error"));
}

TEST_CASE("abort ends with a reset") {
  Line line;
  line.near.release()->abort();
  run_a_little(line.loop);
  CHECK(line.far.receive() == "(reset)");
}

TEST_CASE("a message that was cut short after its shutdown began ends somehow") {
  Line line;
  line.near->write("x");
  line.near->shutdown();
  line.loop.end_turn();
  line.near.release()->abort();
  run_a_little(line.loop);
  CHECK(line.far.receive() == "x");
}

TEST_CASE("close may be said twice") {
  Line line;
  Transport* transport = line.near.get();
  transport->write("lost");
  transport->close();
  transport->close();
  transport->abort();
  line.near.release();
  run_a_little(line.loop);
  CHECK(line.far.receive() == "(end)");
}

TEST_CASE("a user may close in any event") {
  for (const std::string_view when : {"read", "eof", "error", "drain"}) {
    CAPTURE(when);
    Line line;
    line.user.then = [&](std::string_view event) {
      if (event == when) line.near.reset();
    };
    if (when == "read") line.far.send("x");
    if (when == "eof") line.far.end();
    if (when == "error") line.far.reset();
    if (when == "drain") {
      while (line.near->write(std::string(50'000, 'x'))) {
      }
      std::thread([far = std::move(line.far)]() mutable {
        while (!far.receive().starts_with('(')) {
        }
      }).detach();
    }
    CHECK(line.until(when));
    CHECK(line.near == nullptr);
    const std::string before = line.user.events;
    run_a_little(line.loop);
    CHECK(line.user.events == before);
  }
}

TEST_CASE("connecting") {
  Loop loop;
  Door door(loop);
  NoteTaker user;
  TransportPtr transport = Tcp::connect(loop, door.address(), &user);
  transport->resume();
  CHECK(user.events.empty());
  CHECK(transport->write("early "));
  transport->write(std::string(10'000, 'x'));
  CHECK(transport->queued() == 10'006);
  REQUIRE(run_until(loop, [&] { return user.heard("connect") && !door.accepted.empty(); }));
  CHECK(transport->peer().to_string() == door.address().to_string());
  NoteTaker far;
  door.accepted[0]->set_user(&far);
  door.accepted[0]->resume();
  REQUIRE(run_until(loop, [&] { return far.text.size() == 10'006; }));
  CHECK(far.text.starts_with("early x"));
  door.accepted[0]->write("answer");
  REQUIRE(run_until(loop, [&] { return user.text == "answer"; }));
}

TEST_CASE("a refused connection is an error, never from inside of the call") {
  Loop loop;
  const DeadEnd nobody;
  NoteTaker user;
  const TransportPtr transport = Tcp::connect(loop, nobody.address(), &user);
  CHECK(user.events.empty());
  transport->write("never sent");
  REQUIRE(run_until(loop, [&] { return user.heard("error"); }));
  CHECK(user.error.failure == Failure::kConnectRefused);
  CHECK_FALSE(user.error.possibly_sent);
  CHECK(user.events == "error ");
}

TEST_CASE("an address that can't be connected to is an error like a refusal") {
  Loop loop;
  NoteTaker user;
  const TransportPtr transport =
      Tcp::connect(loop, *SocketAddress::parse("255.255.255.255:1"), &user);
  CHECK(user.events.empty());
  REQUIRE(run_until(loop, [&] { return user.heard("error"); }));
  CHECK(user.error.failure == Failure::kConnectRefused);
}

TEST_CASE("a connection that is no longer wanted ends without a word") {
  Loop loop;
  Door door(loop);
  const DeadEnd nobody;
  NoteTaker user;
  for (const auto& address : {door.address(), nobody.address()}) {
    TransportPtr transport = Tcp::connect(loop, address, &user);
    transport.reset();
  }
  run_a_little(loop);
  CHECK(user.events.empty());
}

TEST_CASE("a user may close when its connection comes or fails") {
  Loop loop;
  Door door(loop);
  const DeadEnd nobody;
  for (const auto& address : {door.address(), nobody.address()}) {
    NoteTaker user;
    TransportPtr transport;
    user.then = [&](std::string_view) { transport.reset(); };
    transport = Tcp::connect(loop, address, &user);
    REQUIRE(run_until(loop, [&] { return transport == nullptr; }));
    run_a_little(loop);
    CHECK((user.events == "connect " || user.events == "error "));
  }
}
