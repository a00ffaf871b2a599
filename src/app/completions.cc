#include "app/completions.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <vector>

namespace lictor {
namespace {

struct Option {
  std::vector<std::string> names;  // "-H", "--header"; none = a word by its place
  std::string about;
  bool has_value = false;
  bool is_file = false;
  bool repeats = false;
  std::vector<std::string> words;  // that the value may be
};

struct Command {
  std::string name;
  std::string about;
  std::vector<Option> options;
};

std::vector<std::string> words_in(std::string_view type) {
  std::vector<std::string> words;
  const size_t open = type.find('{');
  if (open == std::string_view::npos || type.back() != '}') return words;
  type = type.substr(open + 1, type.size() - open - 2);
  while (!type.empty()) {
    const size_t comma = std::min(type.find(','), type.size());
    words.emplace_back(type.substr(0, comma));
    type.remove_prefix(std::min(comma + 1, type.size()));
  }
  return words;
}

Option describe(const CLI::Option& option) {
  Option made;
  for (const auto& name : option.get_snames()) made.names.push_back("-" + name);
  for (const auto& name : option.get_lnames()) made.names.push_back("--" + name);
  made.about = option.get_description();
  made.has_value = option.get_items_expected_max() > 0;
  const std::string type = option.get_type_name();
  made.repeats = option.get_items_expected_max() > 1;
  made.is_file = type == "FILE";
  made.words = words_in(type);
  return made;
}

std::vector<Command> describe(const CLI::App& app) {
  std::vector<Command> commands;
  for (const CLI::App* one : app.get_subcommands([](const CLI::App*) { return true; })) {
    Command& command = commands.emplace_back(one->get_name(), one->get_description());
    for (const CLI::Option* option : one->get_options()) {
      command.options.push_back(describe(*option));
    }
  }
  return commands;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

// In single quotes, for any of the shells.
std::string quoted(std::string_view text, std::string_view quote_inside) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += quote_inside;
    } else {
      out += c;
    }
  }
  return out + "'";
}

// --- bash ----------------------------------------------------------------------------------------

// The values of the options of one command: what follows `previous`.
std::string bash_values(const Command& command) {
  std::string out;
  for (const Option& option : command.options) {
    if (option.names.empty() || !option.has_value) continue;
    std::string names;
    for (const auto& name : option.names) names += (names.empty() ? "" : "|") + name;
    out += "        " + names + ") ";
    if (option.is_file) {
      out += "COMPREPLY=($(compgen -f -- \"$word\")); ";
    } else if (!option.words.empty()) {
      out += "COMPREPLY=($(compgen -W '" + joined(option.words) + "' -- \"$word\")); ";
    }
    out += "return ;;\n";
  }
  return out.empty() ? "" : "      case $previous in\n" + out + "      esac\n";
}

std::string bash(const std::vector<Command>& commands) {
  std::string names;
  std::string cases;
  for (const Command& command : commands) {
    names += (names.empty() ? "" : " ") + command.name;
    std::string words;
    bool files = false;
    for (const Option& option : command.options) {
      const auto& own = option.names.empty() ? option.words : option.names;
      if (!own.empty()) words += (words.empty() ? "" : " ") + joined(own);
      files = files || (option.names.empty() && option.is_file);
    }
    cases += "    " + command.name + ")\n" + bash_values(command);
    cases += "      COMPREPLY=($(compgen -W '" + words + "' " + (files ? "-f " : "") +
             "-- \"$word\"))\n      ;;\n";
  }
  return "# bash completion of lictor; made by: lictor completions bash\n"
         "_lictor() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
         "  COMPREPLY=()\n"
         "  if ((COMP_CWORD == 1)); then\n"
         "    COMPREPLY=($(compgen -W '" +
         names +
         " --help' -- \"$word\"))\n"
         "    return\n"
         "  fi\n"
         "  case ${COMP_WORDS[1]} in\n" +
         cases +
         "  esac\n"
         "}\n"
         "complete -o filenames -F _lictor lictor\n";
}

// --- zsh -----------------------------------------------------------------------------------------

std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_value(const Option& option) {
  if (option.is_file) return ":file:_files";
  if (!option.words.empty()) return ":word:(" + joined(option.words) + ")";
  return ":value: ";
}

std::string zsh_arguments(const Command& command) {
  std::string out;
  const auto add = [&out](const std::string& spec) {
    out += " \\\n        " + quoted(spec, "'\\''");
  };
  for (const Option& option : command.options) {
    for (const auto& name : option.names) {
      add("*" + name + "[" + zsh_text(option.about) + "]" +
          (option.has_value ? zsh_value(option) : ""));
    }
    if (option.names.empty()) add((option.repeats ? "*" : "") + zsh_value(option));
  }
  return out;
}

std::string zsh(const std::vector<Command>& commands) {
  std::string names;
  std::string cases;
  for (const Command& command : commands) {
    names += "    " + quoted(command.name + ":" + zsh_text(command.about), "'\\''") + "\n";
    cases +=
        "    " + command.name + ")\n      _arguments -S" + zsh_arguments(command) + "\n      ;;\n";
  }
  return "#compdef lictor\n"
         "# zsh completion of lictor; made by: lictor completions zsh\n"
         "_lictor() {\n"
         "  local -a commands\n"
         "  commands=(\n" +
         names +
         "  )\n"
         "  if ((CURRENT == 2)); then\n"
         "    _describe command commands\n"
         "    return\n"
         "  fi\n"
         "  local command=${words[2]}\n"
         "  shift words\n"
         "  ((CURRENT--))\n"
         "  case $command in\n" +
         cases +
         "  esac\n"
         "}\n"
         "if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then\n"
         "  _lictor \"$@\"\n"
         "else\n"
         "  compdef _lictor lictor\n"
         "fi\n";
}

// --- fish ----------------------------------------------------------------------------------------

std::string fish_option(const Command& command, const Option& option) {
  std::string out = "complete -c lictor -n '__fish_seen_subcommand_from " + command.name + "'";
  for (const auto& name : option.names) {
    out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (option.has_value && !option.names.empty()) out += " -r";
  if (option.is_file) out += " -F";
  if (!option.words.empty()) out += " -a " + quoted(joined(option.words), "\\'");
  return out + " -d " + quoted(option.about, "\\'") + "\n";
}

std::string fish(const std::vector<Command>& commands) {
  std::string out =
      "# fish completion of lictor; made by: lictor completions fish\n"
      "complete -c lictor -f\n";
  for (const Command& command : commands) {
    out += "complete -c lictor -n __fish_use_subcommand -a " + command.name + " -d " +
           quoted(command.about, "\\'") + "\n";
  }
  for (const Command& command : commands) {
    for (const Option& option : command.options) {
      const bool helps = !option.names.empty() || option.is_file || !option.words.empty();
      if (helps) out += fish_option(command, option);
    }
  }
  return out;
}

}  // namespace

std::string completions(const CLI::App& app, std::string_view shell) {
  const auto commands = describe(app);
  if (shell == "bash") return bash(commands);
  return shell == "zsh" ? zsh(commands) : fish(commands);
}

}  // namespace lictor
