// IP addresses as values: a socket address (IPv4 or IPv6 with port) and a CIDR range.
#pragma once

#include <netinet/in.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lictor {

// An IPv4 or IPv6 address in 16 bytes; IPv4 is held mapped (::ffff:a.b.c.d), so that one
// comparison serves both families.
class IpAddress {
 public:
  IpAddress() = default;
  static IpAddress from(const sockaddr* address);
  static std::optional<IpAddress> parse(std::string_view text);  // "10.0.0.1", "::1", "[::1]"

  bool is_v4() const;
  bool is_loopback() const;
  std::string to_string() const;
  // Writes the text form (at most 45 bytes) to `out`, returns its length; never allocates.
  size_t format(char* out) const;
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  bool operator==(const IpAddress&) const = default;

 private:
  std::array<uint8_t, 16> bytes_{};
};

class SocketAddress {
 public:
  SocketAddress() = default;
  SocketAddress(const IpAddress& ip, uint16_t port);
  static SocketAddress from(const sockaddr* address);
  // "1.2.3.4:80" or "[::1]:80"; names are not resolved.
  static std::optional<SocketAddress> parse(std::string_view text);

  const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t length() const;
  IpAddress ip() const { return IpAddress::from(raw()); }
  uint16_t port() const;
  std::string to_string() const;
  bool operator==(const SocketAddress& other) const {
    return port() == other.port() && ip() == other.ip();
  }

 private:
  sockaddr_in6 storage_{};  // holds sockaddr_in as well
};

class Cidr {
 public:
  static std::optional<Cidr> parse(std::string_view text);  // "10.0.0.0/8"; bare = one address
  bool contains(const IpAddress& ip) const;

 private:
  IpAddress base_;
  uint8_t bits_ = 128;  // of the mapped form
};

// Splits "host:port" and "[v6]:port"; nullopt when the port is missing or not 0-65535.
struct HostPort {
  std::string_view host;
  uint16_t port;
};
std::optional<HostPort> split_host_port(std::string_view text);

}  // namespace lictor
