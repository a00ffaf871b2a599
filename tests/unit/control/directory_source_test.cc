#include "control/directory_source.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "control/support.h"

using namespace lictor;
namespace fs = std::filesystem;

namespace {

struct Bench {
  Bench()
      : root(fs::temp_directory_path() / ("lictor-source-" + std::to_string(getpid()))),
        source(
            scheduler,
            [this](const std::string& path, std::function<void()> changed) {
              auto handle = std::make_shared<std::function<void()>>(std::move(changed));
              watched[path] = handle;
              return std::shared_ptr<void>(handle);
            },
            root.string(), [this](DocumentSet set) { sets.push_back(std::move(set)); }) {
    fs::remove_all(root);
    fs::create_directories(root / "routes");
    // Far from the files' own time, so that their stamps are trusted.
    scheduler.wall_offset = 4'000'000'000'000;
  }
  ~Bench() { fs::remove_all(root); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(root / name, std::ios::trunc) << text;
  }
  // inotify tells of a folder.
  void tell(const std::string& folder) {
    const auto path = folder.empty() ? root : root / folder;
    const auto handle = watched[path.string()].lock();
    REQUIRE(handle != nullptr);
    (*handle)();
  }
  void settle() { scheduler.advance(DirectorySource::kLongestPause); }
  std::string shown() {
    if (sets.empty()) return "none";
    std::string out;
    for (const auto& document : sets.back().documents)
      out += document.key + "=" + document.text + " ";
    for (const auto& bad : sets.back().unreadable) out += bad.key + "! ";
    return out;
  }

  test::ManualScheduler scheduler;
  fs::path root;
  std::map<std::string, std::weak_ptr<std::function<void()>>> watched;
  std::vector<DocumentSet> sets;
  DirectorySource source;
};

}  // namespace

TEST_CASE("the tree is read, and only documents of it") {
  Bench b;
  fs::create_directories(b.root / "upstreams" / "deep.json");
  fs::create_directories(b.root / "other");
  b.write("gateway.json", "G");
  b.write("lictor.json", "the bootstrap file may live here");
  b.write("README.md", "x");
  b.write("routes/b.json", "B");
  b.write("routes/a.json", "A");
  b.write("routes/.a.json.swp", "x");
  b.write("routes/.hidden.json", "x");
  b.write("routes/a.json~", "x");
  b.write("routes/4913", "x");
  b.write("routes/.json", "x");
  b.write("other/c.json", "x");
  b.source.start();
  CHECK(b.sets.empty());
  b.settle();
  CHECK(b.sets.size() == 1);
  CHECK(b.shown() == "gateway=G routes/a=A routes/b=B upstreams/deep! ");
}

TEST_CASE("an empty directory has no documents, and that is an answer") {
  Bench b;
  b.source.start();
  b.settle();
  CHECK(b.sets.size() == 1);
  CHECK(b.shown().empty());
}

TEST_CASE("events are gathered; what changed is delivered, what did not is not") {
  Bench b;
  b.write("routes/a.json", "A");
  b.source.start();
  b.settle();
  for (int i = 0; i < 5; ++i) {
    b.write("routes/a.json", "A" + std::to_string(i));
    b.tell("routes");
    b.scheduler.advance(Millis(10));
  }
  CHECK(b.sets.size() == 1);
  b.settle();
  CHECK(b.sets.size() == 2);
  CHECK(b.shown() == "routes/a=A4 ");
  b.tell("routes");
  b.settle();
  CHECK(b.sets.size() == 2);
}

TEST_CASE("a file renamed over another, and one removed") {
  Bench b;
  b.write("routes/a.json", "A");
  b.write("routes/b.json", "B");
  b.source.start();
  b.settle();
  b.write("routes/.a.json.tmp", "Z");
  fs::rename(b.root / "routes/.a.json.tmp", b.root / "routes/a.json");
  fs::remove(b.root / "routes/b.json");
  b.tell("routes");
  b.settle();
  CHECK(b.shown() == "routes/a=Z ");
}

TEST_CASE("a folder that comes later, or is replaced, is watched") {
  Bench b;
  b.source.start();
  b.settle();
  fs::create_directories(b.root / "upstreams");
  b.tell("");
  b.settle();
  b.write("upstreams/s.json", "S");
  b.tell("upstreams");
  b.settle();
  CHECK(b.shown() == "upstreams/s=S ");
  fs::create_directories(b.root / "new");
  b.write("new/s.json", "S2");
  const auto old = b.watched[(b.root / "upstreams").string()].lock();
  fs::rename(b.root / "upstreams", b.root / "old");
  fs::rename(b.root / "new", b.root / "upstreams");
  b.tell("");
  b.settle();
  CHECK(b.shown() == "upstreams/s=S2 ");
  CHECK(b.watched[(b.root / "upstreams").string()].lock() != old);
}

TEST_CASE("a file that can't be read any more keeps its last text and has an error") {
  Bench b;
  b.write("routes/a.json", "A");
  b.write("routes/b.json", "B");
  b.source.start();
  b.settle();
  fs::remove(b.root / "routes/a.json");
  fs::create_directory(b.root / "routes/a.json");
  b.tell("routes");
  b.settle();
  CHECK(b.shown() == "routes/a=A routes/b=B routes/a! ");
  CHECK(b.sets.back().unreadable[0].error == "not a file");
  fs::remove(b.root / "routes/a.json");
  b.write("routes/a.json", "A2");
  b.tell("routes");
  b.settle();
  CHECK(b.shown() == "routes/a=A2 routes/b=B ");
}

TEST_CASE("odd files do no harm: pipes, dangling links, too large ones") {
  Bench b;
  mkfifo((b.root / "routes/pipe.json").c_str(), 0600);
  fs::create_symlink("/nonexistent", b.root / "routes/dangling.json");
  b.write("routes/large.json", std::string((1 << 20) + 1, ' '));
  b.write("routes/a.json", "A");
  b.source.start();
  b.settle();
  CHECK(b.shown() == "routes/a=A routes/large! routes/pipe! ");
}

TEST_CASE("a directory that is not there yet is waited for; one that goes keeps its documents") {
  Bench b;
  b.write("routes/a.json", "A");
  fs::rename(b.root, b.root.string() + "-away");
  b.source.start();
  b.settle();
  CHECK(b.sets.empty());
  fs::rename(b.root.string() + "-away", b.root);
  b.scheduler.advance(DirectorySource::kRetry);
  CHECK(b.shown() == "routes/a=A ");
  fs::rename(b.root, b.root.string() + "-away");
  b.tell("");
  b.settle();
  CHECK(b.sets.size() == 1);
  fs::rename(b.root.string() + "-away", b.root);
  b.write("routes/b.json", "B");
  b.scheduler.advance(DirectorySource::kRetry);
  CHECK(b.shown() == "routes/a=A routes/b=B ");
}

TEST_CASE("where inotify is blind, a slow rescan sees the change") {
  Bench b;
  b.source.start();
  b.settle();
  b.write("routes/a.json", "A");
  b.scheduler.advance(DirectorySource::kRescan);
  CHECK(b.shown() == "routes/a=A ");
}

TEST_CASE("a second change under the same time stamp is seen") {
  Bench b;
  b.write("routes/a.json", "A");
  struct stat info{};
  REQUIRE(stat((b.root / "routes/a.json").c_str(), &info) == 0);
  // The file is as young as the clock says.
  b.scheduler.wall_offset = int64_t{info.st_mtim.tv_sec} * 1000 + info.st_mtim.tv_nsec / 1'000'000 -
                            b.scheduler.now().count();
  b.source.start();
  b.scheduler.advance(Millis(1));
  CHECK(b.shown() == "routes/a=A ");
  b.write("routes/a.json", "B");
  const timespec times[2] = {info.st_mtim, info.st_mtim};
  REQUIRE(utimensat(AT_FDCWD, (b.root / "routes/a.json").c_str(), times, 0) == 0);
  b.scheduler.advance(DirectorySource::kFresh * 2);
  CHECK(b.shown() == "routes/a=B ");
}
