// `lictor completions`: scripts that make a shell complete the command line. They are made of the
// description that the command line itself is parsed by, so they can't tell another story.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace lictor {

inline constexpr std::array<std::string_view, 3> kShells = {"bash", "fish", "zsh"};

// `shell` is one of kShells. An option whose type is FILE is completed with files, one whose type
// ends with "{a,b}" with those words.
std::string completions(const CLI::App& app, std::string_view shell);

}  // namespace lictor
