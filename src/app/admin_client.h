// Asks the admin port of a running gateway, for the commands that show it.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace lictor {

inline constexpr std::string_view kDefaultAdmin = "http://127.0.0.1:9900";

struct AdminAnswer {
  long status = 0;
  std::string body;
};

class AdminClient {
 public:
  // `url` as people type it: "http://127.0.0.1:9900", or without the scheme. `token` may be empty.
  AdminClient(std::string url, std::string token);

  // The error says why there is no answer; one with another status than 200 is an answer.
  std::expected<AdminAnswer, std::string> get(std::string_view target) const;

 private:
  std::string url_;
  std::string token_;
};

// Everything but unreserved characters as %XX.
std::string percent_encode(std::string_view text);

}  // namespace lictor
