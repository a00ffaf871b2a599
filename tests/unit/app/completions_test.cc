#include "app/completions.h"

#include <doctest/doctest.h>

#include <CLI/CLI.hpp>
#include <string>

namespace lictor {
namespace {

struct Line {
  Line() {
    CLI::App* check = app.add_subcommand("check", "It's a check: of [all]");
    check->add_option("--config", file, "A file")->type_name("FILE");
    check->add_flag("-v,--verbose", flag, "More");
    check->add_option("WORD", word, "A word")->check(CLI::IsMember({"one", "two"}));
    app.add_subcommand("version", "Its version");
  }
  CLI::App app{"For tests", "lictor"};
  std::string file;
  std::string word;
  bool flag = false;
};

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

TEST_CASE("completions: every command, option and word, in each shell") {
  const Line line;
  for (const std::string_view shell : kShells) {
    const std::string text = completions(line.app, shell);
    CAPTURE(text);
    for (const char* part : {"check", "version", "config", "verbose", "one", "two", "help"}) {
      CHECK(has(text, part));
    }
  }
}

TEST_CASE("completions: what each shell is told of files, words and odd descriptions") {
  const Line line;
  const std::string bash = completions(line.app, "bash");
  CHECK(has(bash, "--config) COMPREPLY=($(compgen -f -- \"$word\")); return ;;"));
  CHECK(has(bash, "complete -o filenames -F _lictor lictor"));
  const std::string zsh = completions(line.app, "zsh");
  CHECK(has(zsh, "'check:It'\\''s a check\\: of \\[all\\]'"));
  CHECK(has(zsh, "'*--config[A file]:file:_files'"));
  CHECK(has(zsh, "':word:(one two)'"));
  const std::string fish = completions(line.app, "fish");
  CHECK(has(fish, "-a check -d 'It\\'s a check: of [all]'"));
  CHECK(has(fish, "from check' -l config -r -F -d 'A file'"));
  CHECK(has(fish, "from check' -s v -l verbose -d 'More'"));
}

}  // namespace
}  // namespace lictor
