// Reads the answers of /v1/kv/<prefix>/?recurse: from bytes to documents, whole or not at all.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/compiler.h"

namespace lictor {

inline constexpr size_t kMaxDocuments = 50'000;

// Standard alphabet with padding, as Go writes it; nothing else.
std::optional<std::string> decode_base64(std::string_view text);

// Documents with the key below `prefix` (without a slash at its end; empty = everything), sorted by
// key. Keys that end with a slash are folders, and left out.
std::expected<std::vector<Document>, std::string> parse_kv(std::string_view body,
                                                           std::string_view prefix);

}  // namespace lictor
