#include "control/state_saver.h"

#include <doctest/doctest.h>

#include "control/support.h"

using namespace lictor;

namespace {

struct Bench {
  Bench() : Bench("snapshot.json") {}
  explicit Bench(const std::string& name)
      : path(folder / name), saver(scheduler, background.background(), path, [this] {
          StateToSave state;
          state.source = source;
          state.documents = std::make_shared<const std::vector<DocumentVersions>>();
          return state;
        }) {}
  void change(const std::string& to) {
    source = to;
    saver.touch();
  }
  std::string saved() const {
    const auto found = read_state_file(path);
    return found && *found ? (*found)->source : "none";
  }

  test::ManualScheduler scheduler;
  test::FakeBackground background;
  test::TempFolder folder;
  std::string path;
  std::string source;
  StateSaver saver;
};

}  // namespace

TEST_CASE("a change is written within a second, and what follows it soon goes along") {
  Bench b;
  b.change("one");
  b.scheduler.advance(Millis(400));
  b.change("two");
  CHECK(b.background.pending() == 0);
  b.scheduler.advance(Millis(100));
  REQUIRE(b.background.pending() == 1);
  b.background.run();
  CHECK(b.saved() == "two");
  b.scheduler.advance(Millis(60'000));
  CHECK(b.background.pending() == 0);
}

TEST_CASE("changes without end are written once a second") {
  Bench b;
  size_t written = 0;
  for (int i = 0; i < 1'000; ++i) {
    b.change(std::to_string(i));
    b.scheduler.advance(Millis(10));
    for (; b.background.pending() != 0; ++written) b.background.run();
  }
  CHECK(written >= 9);
  CHECK(written <= 10);
}

TEST_CASE("a slow disk: one writing at a time, the next has what came meanwhile") {
  Bench b;
  b.change("one");
  b.scheduler.advance(Millis(10'000));
  b.change("two");
  b.scheduler.advance(Millis(10'000));
  CHECK(b.background.pending() == 1);
  b.background.run();
  CHECK(b.saved() == "one");
  b.scheduler.advance(Millis(500));
  b.background.run();
  CHECK(b.saved() == "two");
}

TEST_CASE("a writing that failed is tried again") {
  Bench b("not-yet/snapshot.json");
  b.change("one");
  b.scheduler.advance(Millis(500));
  b.background.run();
  CHECK(b.saved() == "none");
  std::filesystem::create_directory(b.folder / "not-yet");
  b.scheduler.advance(StateSaver::kRetry);
  b.background.run();
  CHECK(b.saved() == "one");
}

TEST_CASE("the end writes what is left, and a writing under way doesn't undo it") {
  Bench b;
  b.change("one");
  b.scheduler.advance(Millis(500));
  b.change("two");
  b.saver.finish();
  CHECK(b.saved() == "two");
  b.background.run();
  CHECK(b.saved() == "two");
  b.scheduler.advance(Millis(60'000));
  CHECK(b.background.pending() == 0);
}

TEST_CASE("the end without a change writes nothing") {
  Bench b;
  b.saver.finish();
  CHECK(b.saved() == "none");
}
