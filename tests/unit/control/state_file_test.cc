#include "control/state_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>

#include "control/support.h"

using namespace lictor;

namespace {

StateToSave state_of(const std::string& source) {
  StateToSave state;
  state.source = source;
  state.documents = std::make_shared<const std::vector<DocumentVersions>>();
  return state;
}

std::string source_in(const std::string& path) {
  const auto found = read_state_file(path);
  if (!found) return "error: " + found.error();
  return *found ? (*found)->source : "none";
}

size_t files_in(const test::TempFolder& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder.path()),
                                           std::filesystem::directory_iterator()));
}

}  // namespace

TEST_CASE("a state file: written, read, replaced, by its owner alone") {
  const test::TempFolder folder;
  const std::string path = folder / "snapshot.json";
  CHECK(source_in(path) == "none");
  StateFile file(path);
  CHECK(file.write(1, state_of("one")).empty());
  CHECK(source_in(path) == "one");
  CHECK(file.write(2, state_of("two")).empty());
  CHECK(source_in(path) == "two");
  CHECK(files_in(folder) == 1);
  struct stat info{};
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("a state file: an older state never replaces a newer one") {
  const test::TempFolder folder;
  StateFile file(folder / "s");
  CHECK(file.write(2, state_of("two")).empty());
  CHECK(file.write(1, state_of("one")).empty());
  CHECK(source_in(folder / "s") == "two");
}

TEST_CASE("a state file: what can't be written leaves the old one, and nothing else") {
  const test::TempFolder folder;
  CHECK_FALSE(StateFile(folder / "not-there/s").write(1, state_of("x")).empty());
  CHECK_FALSE(can_write_state_file(folder / "not-there/s"));
  CHECK(can_write_state_file(folder / "s"));
  CHECK(can_write_state_file("relative.json"));
  // A folder of that name can't be renamed over.
  std::filesystem::create_directories(folder / "s/full");
  CHECK_FALSE(StateFile(folder / "s").write(1, state_of("x")).empty());
  CHECK(files_in(folder) == 1);
}

TEST_CASE("a state file: what is no file, damaged or too large is told and not read") {
  const test::TempFolder folder;
  CHECK(source_in(folder.path()) == "error: not a file");
  std::ofstream(folder / "bad") << "nonsense\n";
  CHECK(source_in(folder / "bad").starts_with("error: "));
  std::ofstream(folder / "large") << "x";
  std::filesystem::resize_file(folder / "large", kMaxStateFile + 1);  // has no bytes on disk
  CHECK(source_in(folder / "large") == "error: too large");
}
