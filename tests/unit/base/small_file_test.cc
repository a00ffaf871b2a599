#include "base/small_file.h"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

using lictor::FileError;
using lictor::read_small_file;

TEST_CASE("a small file is read whole, and nothing else is") {
  char folder[] = "/tmp/lictor-files-XXXXXX";
  REQUIRE(mkdtemp(folder) != nullptr);
  const std::string file = std::string(folder) + "/file";
  const std::string pipe = std::string(folder) + "/pipe";
  std::ofstream(file, std::ios::binary) << std::string("a\0\n", 3);
  CHECK(*read_small_file(file, 3) == std::string("a\0\n", 3));
  CHECK(read_small_file(file, 2).error().kind == FileError::Kind::kTooLarge);
  CHECK(read_small_file(folder, 100).error().kind == FileError::Kind::kNotAFile);
  // Whose writer never comes.
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(read_small_file(pipe, 100).error().kind == FileError::Kind::kNotAFile);
  unlink(file.c_str());
  unlink(pipe.c_str());
  const auto gone = read_small_file(file, 100);
  CHECK(gone.error().kind == FileError::Kind::kSystem);
  CHECK(gone.error().text == "No such file or directory");
  rmdir(folder);
}
