// Small files that documents and the bootstrap file name: certificates, secrets, passwords.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>

namespace lictor {

struct FileError {
  enum class Kind : uint8_t { kSystem, kNotAFile, kTooLarge };
  Kind kind = Kind::kSystem;
  std::string text;  // for people: "No such file or directory"
};

// All of a regular file of at most `most` bytes. Never waits for a writer, should `path` be a pipe.
std::expected<std::string, FileError> read_small_file(const std::string& path, size_t most);

}  // namespace lictor
