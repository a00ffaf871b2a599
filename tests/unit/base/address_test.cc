#include "base/address.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>

using lictor::Cidr;
using lictor::IpAddress;
using lictor::SocketAddress;
using lictor::split_host_port;

TEST_CASE("IP addresses are read and written") {
  struct Case {
    const char* text;
    const char* out;
    bool v4;
    bool loopback;
  };
  for (const auto& [text, out, v4, loopback] : {
           Case{"10.0.0.1", "10.0.0.1", true, false},
           Case{"127.8.9.10", "127.8.9.10", true, true},
           Case{"255.255.255.255", "255.255.255.255", true, false},
           Case{"0.0.0.0", "0.0.0.0", true, false},
           Case{"::1", "::1", false, true},
           Case{"[::1]", "::1", false, true},
           Case{"::", "::", false, false},
           Case{"2001:DB8::7", "2001:db8::7", false, false},
           Case{"::ffff:10.0.0.1", "10.0.0.1", true, false},
           Case{"::ffff:127.0.0.1", "127.0.0.1", true, true},
       }) {
    CAPTURE(text);
    const auto ip = IpAddress::parse(text);
    REQUIRE(ip);
    CHECK(ip->to_string() == out);
    CHECK(ip->is_v4() == v4);
    CHECK(ip->is_loopback() == loopback);
  }
  CHECK(IpAddress::parse("10.0.0.1") == IpAddress::parse("::ffff:a00:1"));
}

TEST_CASE("what is no IP address is refused") {
  for (const std::string_view text : {"", "10.0.0", "10.0.0.256", "10.0.0.1.2", "010.0.0.1",
                                      " 10.0.0.1", "10.0.0.1 ", "[10.0.0.1]", "[::1", "::1]", ":::",
                                      "::12345", "fe80::1%eth0", "localhost", "0x7f.0.0.1", "[]"}) {
    CAPTURE(text);
    CHECK_FALSE(IpAddress::parse(text));
  }
  CHECK_FALSE(IpAddress::parse(std::string(1000, '1')));
  CHECK_FALSE(IpAddress::parse(std::string("10.0.0.1\0.5", 11)));
}

TEST_CASE("socket addresses keep family, address and port") {
  const auto v4 = SocketAddress::parse("10.0.0.7:80");
  REQUIRE(v4);
  CHECK(v4->raw()->sa_family == AF_INET);
  CHECK(v4->length() == sizeof(sockaddr_in));
  CHECK(v4->port() == 80);
  CHECK(v4->to_string() == "10.0.0.7:80");
  const auto v6 = SocketAddress::parse("[2001:db8::1]:65535");
  REQUIRE(v6);
  CHECK(v6->raw()->sa_family == AF_INET6);
  CHECK(v6->length() == sizeof(sockaddr_in6));
  CHECK(v6->to_string() == "[2001:db8::1]:65535");
  CHECK(SocketAddress::from(v4->raw()).to_string() == "10.0.0.7:80");
  CHECK(SocketAddress::from(v6->raw()).to_string() == "[2001:db8::1]:65535");
}

TEST_CASE("host and port are split") {
  const auto named = split_host_port("consul.example:8500");
  REQUIRE(named);
  CHECK(named->host == "consul.example");
  CHECK(named->port == 8500);
  CHECK(split_host_port("[::1]:1")->host == "::1");
  CHECK(split_host_port(":80")->host == "");
  for (const std::string_view text :
       {"", "host", "host:", "host:x", "host:65536", "host:-1", "host:+1", "host: 1", "::1:80",
        "[::1]", "[::1]80", "[host]:80", "[::1:80"}) {
    CAPTURE(text);
    CHECK_FALSE(split_host_port(text));
  }
}

TEST_CASE("ranges contain what they cover") {
  struct Case {
    const char* range;
    const char* ip;
    bool inside;
  };
  for (const auto& [range, ip, inside] : {
           Case{"10.0.0.0/8", "10.255.0.1", true},
           Case{"10.0.0.0/8", "11.0.0.0", false},
           Case{"10.1.2.3/8", "10.9.9.9", true},
           Case{"192.168.4.0/22", "192.168.7.255", true},
           Case{"192.168.4.0/22", "192.168.8.0", false},
           Case{"10.0.0.1", "10.0.0.1", true},
           Case{"10.0.0.1", "10.0.0.2", false},
           Case{"10.0.0.0/31", "10.0.0.1", true},
           Case{"0.0.0.0/0", "8.8.8.8", true},
           Case{"0.0.0.0/0", "::1", false},
           Case{"::/0", "2001:db8::1", true},
           Case{"::/0", "10.0.0.1", false},
           Case{"2001:db8::/33", "2001:db8:7fff::1", true},
           Case{"2001:db8::/33", "2001:db8:8000::1", false},
           Case{"::ffff:10.0.0.0/104", "10.9.9.9", true},
           Case{"::1", "::1", true},
           Case{"10.0.0.0/8", "::ffff:10.1.1.1", true},
       }) {
    CAPTURE(range);
    CAPTURE(ip);
    const auto cidr = Cidr::parse(range);
    REQUIRE(cidr);
    CHECK(cidr->contains(*IpAddress::parse(ip)) == inside);
  }
  for (const std::string_view text : {"", "/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1",
                                      "10.0.0.0/8/8", "::/129", "10.0.0.0/ 8", "x/8"}) {
    CAPTURE(text);
    CHECK_FALSE(Cidr::parse(text));
  }
}
