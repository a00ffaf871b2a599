#include "base/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace lictor {
namespace {

constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

char* format_byte(uint8_t byte, char* out) {
  if (byte >= 100) *out++ = static_cast<char>('0' + byte / 100);
  if (byte >= 10) *out++ = static_cast<char>('0' + byte / 10 % 10);
  *out++ = static_cast<char>('0' + byte % 10);
  return out;
}

template <class T>
std::optional<T> parse_decimal(std::string_view text, T most) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > most) return std::nullopt;
  return value;
}

}  // namespace

IpAddress IpAddress::from(const sockaddr* address) {
  IpAddress ip;
  if (address->sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof(v4));
    std::copy(kMapped.begin(), kMapped.end(), ip.bytes_.begin());
    std::memcpy(ip.bytes_.data() + kMapped.size(), &v4.sin_addr, 4);
  } else if (address->sa_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address, sizeof(v6));
    std::memcpy(ip.bytes_.data(), &v6.sin6_addr, ip.bytes_.size());
  }
  return ip;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  const bool bracketed = text.size() >= 2 && text.front() == '[' && text.back() == ']';
  if (bracketed) text = text.substr(1, text.size() - 2);
  char buffer[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof(buffer) || text.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  IpAddress ip;
  if (inet_pton(AF_INET6, buffer, ip.bytes_.data()) == 1) return ip;
  std::copy(kMapped.begin(), kMapped.end(), ip.bytes_.begin());
  if (!bracketed && inet_pton(AF_INET, buffer, ip.bytes_.data() + kMapped.size()) == 1) return ip;
  return std::nullopt;
}

bool IpAddress::is_v4() const { return std::equal(kMapped.begin(), kMapped.end(), bytes_.begin()); }

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes_[12] == 127;
  return bytes_.back() == 1 &&
         std::all_of(bytes_.begin(), bytes_.end() - 1, [](uint8_t b) { return b == 0; });
}

std::string IpAddress::to_string() const {
  char buffer[INET6_ADDRSTRLEN];
  return {buffer, format(buffer)};
}

size_t IpAddress::format(char* out) const {
  if (!is_v4()) {
    inet_ntop(AF_INET6, bytes_.data(), out, INET6_ADDRSTRLEN);
    return std::strlen(out);
  }
  char* at = out;
  for (size_t i = kMapped.size(); i < bytes_.size(); ++i) {
    if (i != kMapped.size()) *at++ = '.';
    at = format_byte(bytes_[i], at);
  }
  return static_cast<size_t>(at - out);
}

SocketAddress::SocketAddress(const IpAddress& ip, uint16_t port) {
  if (ip.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, ip.bytes().data() + kMapped.size(), 4);
    std::memcpy(&storage_, &v4, sizeof(v4));
  } else {
    storage_.sin6_family = AF_INET6;
    storage_.sin6_port = htons(port);
    std::memcpy(&storage_.sin6_addr, ip.bytes().data(), ip.bytes().size());
  }
}

SocketAddress SocketAddress::from(const sockaddr* address) {
  SocketAddress made;
  if (address->sa_family == AF_INET) std::memcpy(&made.storage_, address, sizeof(sockaddr_in));
  if (address->sa_family == AF_INET6) std::memcpy(&made.storage_, address, sizeof(sockaddr_in6));
  return made;
}

std::optional<SocketAddress> SocketAddress::parse(std::string_view text) {
  const auto parts = split_host_port(text);
  if (!parts) return std::nullopt;
  const auto ip = IpAddress::parse(parts->host);
  if (!ip) return std::nullopt;
  return SocketAddress(*ip, parts->port);
}

socklen_t SocketAddress::length() const {
  return storage_.sin6_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
}

// sin_port and sin6_port are at the same place.
uint16_t SocketAddress::port() const { return ntohs(storage_.sin6_port); }

std::string SocketAddress::to_string() const {
  const IpAddress address = ip();
  const std::string text = address.to_string();
  return (address.is_v4() ? text : "[" + text + "]") + ":" + std::to_string(port());
}

std::optional<Cidr> Cidr::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto ip = IpAddress::parse(text.substr(0, slash));
  if (!ip) return std::nullopt;
  Cidr cidr;
  cidr.base_ = *ip;
  if (slash == std::string_view::npos) return cidr;
  // "::ffff:10.0.0.0/104" counts from the front of the 16 bytes, "10.0.0.0/8" from the IPv4 part.
  const bool dotted = text.substr(0, slash).find(':') == std::string_view::npos;
  const auto bits = parse_decimal<uint8_t>(text.substr(slash + 1), dotted ? 32 : 128);
  if (!bits) return std::nullopt;
  cidr.bits_ = static_cast<uint8_t>(*bits + (dotted ? 96 : 0));
  return cidr;
}

bool Cidr::contains(const IpAddress& ip) const {
  // "::/0" is every IPv6 address, not the mapped IPv4 ones too.
  if (ip.is_v4() != base_.is_v4()) return false;
  const size_t whole = bits_ / 8;
  if (!std::equal(base_.bytes().begin(), base_.bytes().begin() + whole, ip.bytes().begin())) {
    return false;
  }
  const unsigned rest = bits_ % 8;
  return rest == 0 || ((base_.bytes()[whole] ^ ip.bytes()[whole]) >> (8 - rest)) == 0;
}

std::optional<HostPort> split_host_port(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos) return std::nullopt;
  } else if (host.find_first_of(":[]") != std::string_view::npos) {
    return std::nullopt;
  }
  const auto port = parse_decimal<uint16_t>(text.substr(colon + 1), UINT16_MAX);
  if (!port) return std::nullopt;
  return HostPort{host, *port};
}

}  // namespace lictor
