// An input as several texts: parts that the byte 0xFE divides.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lictor::fuzz {

inline std::vector<std::string> parts_of(const uint8_t* data, size_t size) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < size; ++i) {
    if (data[i] == 0xFE) {
      parts.emplace_back();
    } else {
      parts.back() += static_cast<char>(data[i]);
    }
  }
  return parts;
}

}  // namespace lictor::fuzz
