// The gateway's own log, to stderr. Thread-safe; one line a call. Never call it per request
// at info or above, and never with a secret.
#pragma once

#include <fmt/core.h>

#include <optional>
#include <string_view>
#include <utility>

namespace lictor::log {

enum class Level : uint8_t { kTrace, kDebug, kInfo, kWarn, kError, kOff };
enum class Format : uint8_t { kText, kJson };

std::optional<Level> parse_level(std::string_view name);  // trace, debug, info, warn, error, off
std::string_view level_name(Level level);

void configure(Level level, Format format);
void set_level(Level level);
Level level();
void write(Level level, std::string_view message);
void flush();

template <class... Args>
void at(Level lvl, fmt::format_string<Args...> format, Args&&... args) {
  if (lvl >= level()) write(lvl, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::kDebug, format, std::forward<Args>(args)...);
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::kInfo, format, std::forward<Args>(args)...);
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::kWarn, format, std::forward<Args>(args)...);
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::kError, format, std::forward<Args>(args)...);
}

}  // namespace lictor::log
