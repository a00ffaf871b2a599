// Durations ("250ms", "1m30s") and sizes ("64KiB") as documents write them (SPEC, top).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lictor {

using Millis = std::chrono::milliseconds;

// Go's time.ParseDuration without signs: a sequence of decimals with the units ns, us, ms, s, m
// and h; "0" alone is allowed. Rounded up to whole milliseconds. nullopt when malformed or over a
// year.
std::optional<Millis> parse_duration(std::string_view text);
std::string format_duration(Millis duration);

// A decimal integer, with B, KiB, MiB, GiB (or KB, MB, GB: powers of 1000) behind it.
std::optional<uint64_t> parse_size(std::string_view text);

}  // namespace lictor
