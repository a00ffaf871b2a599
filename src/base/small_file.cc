#include "base/small_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace lictor {
namespace {

std::unexpected<FileError> failed(int code) {
  return std::unexpected(
      FileError{FileError::Kind::kSystem, std::generic_category().message(code)});
}

}  // namespace

std::expected<std::string, FileError> read_small_file(const std::string& path, size_t most) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return failed(errno);
  struct stat info{};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return std::unexpected(FileError{FileError::Kind::kNotAFile, "not a file"});
  }
  std::string text(most + 1, '\0');
  size_t size = 0;
  ssize_t got = 1;
  while (got > 0 && size < text.size()) {
    got = ::read(fd, text.data() + size, text.size() - size);
    if (got > 0) size += static_cast<size_t>(got);
  }
  const int code = errno;
  ::close(fd);
  if (got < 0) return failed(code);
  if (size > most) return std::unexpected(FileError{FileError::Kind::kTooLarge, "too large"});
  text.resize(size);
  return text;
}

}  // namespace lictor
