// Which content coding a client wants: Accept-Encoding (RFC 9110, section 12.5.3).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "http/message.h"

namespace lictor {

enum class Coding : uint8_t { kZstd, kBrotli, kGzip };
std::string_view coding_name(Coding coding);
std::optional<Coding> parse_coding(std::string_view name);  // as documents name it

// The one of `offered` that the client likes best, the first of them when it likes several as much.
// None when it takes none, or likes the body as it is better, or does not say: who is silent takes
// anything by the letter, and is most often a program that decodes nothing.
std::optional<Coding> choose_coding(const Fields& request, std::span<const Coding> offered);

}  // namespace lictor
