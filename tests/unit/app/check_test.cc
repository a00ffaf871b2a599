#include "app/check.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

namespace fs = std::filesystem;

namespace {

// A folder of files that goes with the test.
class Folder {
 public:
  Folder() {
    static int count = 0;
    root_ = fs::temp_directory_path() /
            ("lictor-check-" + std::to_string(getpid()) + "-" + std::to_string(++count));
    fs::create_directories(root_);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string put(const std::string& name, const std::string& text) {
    const fs::path path = root_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path.string();
  }
  std::string path() const { return root_.string(); }

 private:
  fs::path root_;
};

struct Result {
  int code;
  std::string out;
  std::string err;
};

Result check(const std::vector<std::string>& paths, const std::optional<std::string>& config = {}) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = lictor::run_check(config, paths, out, err);
  return {code, out.str(), err.str()};
}

Result check_stdin(const std::string& text) {
  std::istringstream in(text);
  std::streambuf* const before = std::cin.rdbuf(in.rdbuf());
  Result result = check({"-"});
  std::cin.rdbuf(before);
  return result;
}

const std::string kRoute = R"({"path": "/x", "service": "s"})";

}  // namespace

TEST_CASE("check of nothing is bad usage") {
  const auto result = check({});
  CHECK(result.code == 2);
  CHECK(result.err.starts_with("lictor check: nothing to check"));
  CHECK(result.out.empty());
}

TEST_CASE("a file is known by its folder") {
  Folder folder;
  CHECK(check({folder.put("routes/r.json", kRoute)}).code == 0);
  const auto bad = folder.put("upstreams/u.json", R"({"path": "/x"})");
  const auto result = check({bad});
  CHECK(result.code == 1);
  CHECK(result.out == bad + ": $.path: unknown key\n");
  CHECK(check({folder.put("gateway.json", R"({"filters": []})")}).code == 0);
  const auto name = folder.put("routes/a b.json", kRoute);
  CHECK(check({name}).out.starts_with(name + ": $: a name has letters"));
}

TEST_CASE("a file elsewhere, and stdin, is known by its keys") {
  Folder folder;
  CHECK(check({folder.put("a.json", kRoute)}).code == 0);
  CHECK(check({folder.put("b.json", R"({"balance": "round_robin"})")}).code == 0);
  CHECK(check({folder.put("c.json", R"({"upstream_defaults": {}})")}).code == 0);
  CHECK(check({folder.put("d.json", R"({"filters": []})")}).code == 0);
  CHECK(check({folder.put("e.jsonc", "// local\n{\"workers\": 2}")}).code == 0);
  CHECK(check({folder.put("f.json", R"({"respond": {"status": 503}})")}).code == 0);
  CHECK(check_stdin(kRoute).code == 0);
  const auto broken = check_stdin(R"({"path": )");
  CHECK(broken.code == 1);
  CHECK(broken.out.starts_with("-: $: line 1, column 10: syntax error"));
  CHECK(check_stdin(R"({"endpoints": [{"address": "x"}]})")
            .out.starts_with("-: $.endpoints[0].address: "));
  CHECK(check_stdin("").code == 1);
  CHECK(check_stdin("[]").out == "-: $: must be an object, not an array\n");
}

TEST_CASE("the bootstrap file") {
  Folder folder;
  const auto good = folder.put("lictor.json", "{\"workers\": 2} // two");
  CHECK(check({}, good).code == 0);
  const auto bad = folder.put("bad.json", R"({"workers": -1, "lisseners": []})");
  const auto result = check({}, bad);
  CHECK(result.code == 1);
  CHECK(result.out == bad + ": $.lisseners: unknown key (did you mean \"listeners\"?)\n" + bad +
                          ": $.workers: must be a whole number from 0 to 256\n");
}

TEST_CASE("a folder is checked as one set") {
  Folder folder;
  folder.put("gateway.json", "{}");
  folder.put("routes/good.json", kRoute);
  folder.put("upstreams/s.json", "{}");
  folder.put("filters/stop.json", R"({"respond": {"status": 503}})");
  folder.put("routes/uses.json", R"({"path": "/y", "filters": [{"use": "stop"}]})");
  folder.put("lictor.json", R"({"workers": 2})");
  folder.put(".hidden/x.json", "{");
  folder.put("README.md", "no document");
  const auto good = check({folder.path()});
  CHECK(good.code == 0);
  CHECK(good.out == "valid: 6 files\n");

  const auto bad = folder.put("routes/bad.json",
                              R"({"path": "/z", "service": "s", "filters": [{"use": "stopp"}]})");
  const auto lost = folder.put("route/lost.json", kRoute);
  const auto result = check({folder.path()});
  CHECK(result.code == 1);
  CHECK(result.out.find(
            bad + ": $.filters[0].use: there is no filters/stopp (did you mean \"stop\"?)\n") !=
        std::string::npos);
  CHECK(result.out.find(lost + ": $: unknown kind of document \"route/lost\"") !=
        std::string::npos);
  CHECK(result.out.find("good.json") == std::string::npos);
  CHECK(result.out.find("valid") == std::string::npos);
}

TEST_CASE("one file doesn't say what others do") {
  Folder folder;
  const auto uses = folder.put("routes/uses.json", R"({"path": "/y", "filters": [{"use": "f"}]})");
  CHECK(check({uses}).code == 0);
  CHECK(check({folder.path() + "/routes"}).code == 0);
  CHECK(check({folder.path()}).code == 1);
  const auto nowhere = folder.put("routes/nowhere.json", R"({"path": "/y"})");
  CHECK(check({nowhere}).out.starts_with(nowhere + ": $: leads nowhere"));
}

TEST_CASE("routes that tie are warned of, and valid") {
  Folder folder;
  folder.put("routes/a.json", kRoute);
  const auto loser = folder.put("routes/b.json", kRoute);
  const auto result = check({folder.path()});
  CHECK(result.code == 0);
  CHECK(result.out.starts_with(loser + ": $: warning: route \"a\" takes the same requests"));
}

TEST_CASE("what can't be read is told, and the rest is still checked") {
  Folder folder;
  const auto bad = folder.put("routes/bad.json", "{");
  const auto result = check({folder.path() + "/nowhere.json", bad});
  CHECK(result.code == 2);
  CHECK(result.err.find("nowhere.json: No such file or directory") != std::string::npos);
  CHECK(result.out.starts_with(bad + ": $: line 1"));
  CHECK(check({}, folder.path() + "/nowhere.json").code == 2);
}

TEST_CASE("a file that is too large is refused without being read to its end") {
  Folder folder;
  const auto large = folder.put("routes/large.json", std::string(3 << 20, ' '));
  CHECK(check({large}).out == large + ": $: larger than 1 MiB\n");
}
